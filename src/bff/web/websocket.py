"""One WebSocket handshake to a route: the same judgements as for a call, `Origin` in the place of the CSRF header."""

from msgspec.structs import replace

from bff.errors import NoRoute
from bff.oauth.step_up import asks_for_another_sign_in
from bff.proxy.upstream_request import upstream_url
from bff.request_head import Field, FieldBlock, RequestHead
from bff.sessions.model import is_over
from bff.telemetry import requests as telemetry
from bff.tokens.proofs import challenged
from bff.web import admission, guards
from bff.web.admission import Admitted
from bff.web.api import Call, call_of
from bff.web.gateway import Gateway
from bff.web.sending import credentials_of
from bff.web.step_up import challenges_of


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
        return call_of(head, admitted, source=own, token=own.at_once(), now=gateway.process.clock())
    live = await guards.session(gateway, head, touch=admitted.policy.touches) if admitted.policy.reads_session else None
    now = gateway.process.clock()
    admission.access(gateway, admitted.policy, live, now=now)
    source = admission.source(gateway, admitted.policy, live, now=now)
    token = None if source is None else await source.usable()
    return call_of(head, admitted, live=live, source=source, token=token, now=now)


class HandshakeCredentials:
    """What the handshakes of one call carry, and whether a refused one is to be made once more."""

    def __init__(self, gateway: Gateway, call: Call) -> None:
        self._gateway = gateway
        self._call = call
        self._has_answered_nonce = False
        self._has_replaced_token = False

    async def fresh(self, authority: bytes) -> FieldBlock:
        """The fields for an upstream, by its authority, with a token that has not expired (R-347). Asked right before a handshake is
        written: a connection takes time.

        Raises:
            LoginRequired, ProviderError, StoreUnavailable: there is no other token.
        """
        call, now = self._call, self._gateway.process.clock()
        if call.source is not None and call.token is not None and is_over(call.token, now=now):
            call = self._call = replace(call, token=await call.source.usable())
        return credentials_of(self._gateway, call.admitted.match, call.head, token=call.token, authority=authority)

    async def asks_again(self, status: int, fields: list[Field]) -> bool:
        """Whether to make the handshake once more after this answer: once with the nonce that it lacked (RFC 9449 section 9), and
        once with another token in the place of a rejected one, if there is another (R-350).

        Raises:
            ProviderError, StoreUnavailable: as `TokenSource.instead_of`.
        """
        return self._lacked_nonce(status, fields) or (status == 401 and await self._other_token(fields))

    def _lacked_nonce(self, status: int, fields: list[Field]) -> bool:
        call = self._call
        if call.token is None or call.token.dpop_seed is None:
            return False
        is_new = self._gateway.process.proofs.heard(fields, url=upstream_url(call.admitted.match))
        if self._has_answered_nonce or not is_new or not challenged(status, fields):
            return False
        self._has_answered_nonce = True
        return True

    async def _other_token(self, fields: list[Field]) -> bool:
        call = self._call
        if self._has_replaced_token or call.source is None or call.token is None:
            return False
        if any(map(asks_for_another_sign_in, challenges_of(fields))):
            return False
        self._has_replaced_token = True
        token = await call.source.instead_of(call.token)
        if token is None:
            return False
        self._call = replace(call, token=token)
        return True
