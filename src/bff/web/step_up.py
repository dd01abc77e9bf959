"""The ticket that a login URL carries when a call needs a stronger or more recent sign-in (RFC 9470).

A browser cannot choose `acr_values` or `max_age` (R-043): the gateway signs what a route or an upstream asked for, and `/login` takes
only what was signed. A ticket opens nothing and has no end: at worst a sign-in is asked for more than it needs.
"""

from base64 import urlsafe_b64decode
from collections.abc import Iterable

from bff.base64url import base64url
from bff.errors import MalformedRequest, StepUpRequired
from bff.oauth import step_up
from bff.oauth.step_up import StepUp
from bff.request_head import Field
from bff.web.cookies import STEP_UP_NAME, CookieSigner

MAX_TICKET_BYTES = 4096


def challenges_of(fields: Iterable[Field]) -> tuple[bytes, ...]:
    """The challenges of an upstream's answer (RFC 9110 section 11.6.1); names are lower case."""
    return tuple(value for name, value in fields if name == b"www-authenticate")


def required(
    signer: CookieSigner, asked: StepUp, *, provider: str, reason: str, challenges: tuple[bytes, ...] = ()
) -> StepUpRequired:
    """The error that asks for such a sign-in at `provider`."""
    text = f"{provider} {step_up.dump(asked)}"
    ticket = signer.sign(STEP_UP_NAME, base64url(text.encode()))
    detail = "This needs a stronger or more recent sign-in."
    return StepUpRequired(detail, provider=provider, reason=reason, ticket=ticket, challenges=challenges)


def of_ticket(signer: CookieSigner, ticket: str, *, provider: str) -> StepUp:
    """What a ticket asks of a sign-in at `provider`.

    Raises:
        MalformedRequest: this gateway did not make it for this provider.
    """
    signed = ticket.encode("utf-8", "surrogatepass")
    text = signer.verify(STEP_UP_NAME, signed, max_bytes=MAX_TICKET_BYTES)
    padded = (text or "") + "=" * (-len(text or "") % 4)
    name, _, asked = urlsafe_b64decode(padded).decode().partition(" ")
    if name != provider:
        raise MalformedRequest("The parameter step_up is not of this gateway. Sign in without it.")
    return step_up.load(asked)
