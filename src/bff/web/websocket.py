"""One WebSocket handshake to a route: the same judgements as for a call, `Origin` in the place of the CSRF header."""

from msgspec.structs import replace

from bff.errors import NoRoute
from bff.request_head import FieldBlock, RequestHead
from bff.sessions.model import is_over
from bff.telemetry import requests as telemetry
from bff.web import admission, guards
from bff.web.admission import Admitted
from bff.web.api import Call, call_of
from bff.web.gateway import Gateway
from bff.web.sending import credentials_of


async def admit_websocket(gateway: Gateway, head: RequestHead) -> Call:
    """What a handshake may become: nothing was sent to either side yet.

    Raises:
        BffError: refused.
    """
    return await admit_handshake(gateway, head, admission.route(gateway, head))


async def admit_handshake(gateway: Gateway, head: RequestHead, admitted: Admitted) -> Call:
    """The same for a handshake whose route is known.

    Raises:
        BffError: refused.
    """
    telemetry.routed(admitted.policy.label)
    own = admission.brought(gateway, head, admitted.policy)
    if own is None:
        guards.websocket_origin(head, site=gateway.site)
    if not admitted.match.route.config.websocket:
        raise NoRoute("This path takes no WebSockets.", reason="no_websocket")
    if own is not None:
        return call_of(head, admitted, source=own, token=own.at_once())
    live = await guards.session(gateway, head, touch=admitted.policy.touches) if admitted.policy.reads_session else None
    now = gateway.process.clock()
    admission.access(gateway, admitted.policy, live, now=now)
    source = admission.source(gateway, admitted.policy, live, now=now)
    token = None if source is None else await source.usable()
    return call_of(head, admitted, live=live, source=source, token=token)


async def still_usable(gateway: Gateway, call: Call) -> Call:
    """The call; with another token if its own has expired while a connection was made. Asked right before a handshake is written.

    Raises:
        LoginRequired, ProviderError, StoreUnavailable: there is no other token.
    """
    if call.source is None or call.token is None or not is_over(call.token, now=gateway.process.clock()):
        return call
    return replace(call, token=await call.source.usable())


class HandshakeCredentials:
    """What the handshakes of one call carry on the long way (`app.py`)."""

    def __init__(self, gateway: Gateway, call: Call) -> None:
        self._gateway = gateway
        self._call = call

    async def fresh(self, authority: bytes) -> FieldBlock:
        """The fields with a token that has not expired, for an upstream, by its authority (`still_usable`)."""
        call = self._call = await still_usable(self._gateway, self._call)
        return credentials_of(self._gateway, call.admitted.match, call.head, token=call.token, authority=authority)

    async def instead(self) -> FieldBlock | None:
        """The fields in the place of a token that the upstream rejected, if there is another (R-350)."""
        call = self._call
        token = None if call.source is None or call.token is None else await call.source.instead_of(call.token)
        return None if token is None else credentials_of(self._gateway, call.admitted.match, call.head, token=token)
