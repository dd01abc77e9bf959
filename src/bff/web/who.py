"""Who a request is by, as the operator wants it in the log (`log.user`): not at all unless it is asked for."""

from bff.sessions.model import LiveSession
from bff.web.claims import claim, text_of
from bff.web.gateway import Gateway

MAX_SHOWN = 128  # characters


def user_of(gateway: Gateway, live: LiveSession) -> str | None:
    """The subject, or the claim that `log.user` names, of the latest sign-in; None: not wanted, or not known."""
    wanted = gateway.config.log.user
    if wanted == "none" or not live.session.grants:
        return None
    grant = live.session.grants[0]
    found = grant.subject if wanted == "subject" else text_of(claim(grant.claims, wanted))
    return None if found is None else found[:MAX_SHOWN]
