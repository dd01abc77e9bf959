"""Sending one admitted request to its upstream: as a bearer's, or with a proof, and once more if the upstream demands its nonce.

A demand for a nonce is no rejected token (RFC 9449 section 9): the same token goes out again with a new proof. The upstream carried
nothing out, so any method may be repeated; content of up to `MAX_KEPT_BYTES` is kept for that.

A token was judged usable when the call was admitted. Until its request is written the call may wait: for its content, for a place,
for a connection, for a failed attempt to be repeated; or the process is stopped. So it is judged again right before, and another
is taken in the place of one that has expired meanwhile (R-347).
"""

from collections.abc import Callable

from bff.errors import UpstreamBusy
from bff.proxy.browser import Receive
from bff.proxy.places import Owner
from bff.proxy.response import Outdated, UpstreamResponse
from bff.proxy.routes import Match
from bff.proxy.upstream_request import upstream_url
from bff.request_head import NO_FIELDS, FieldBlock, RequestHead
from bff.sessions.model import AccessToken, is_over
from bff.tokens.proofs import challenged
from bff.tokens.sources import TokenSource, bearer
from bff.web.gateway import Gateway
from bff.web.kept_content import KeptContent

MAX_TRIES = 3  # of a call whose token expires again and again while it waits


def credentials_of(
    gateway: Gateway, match: Match, head: RequestHead, *, token: AccessToken | None, authority: bytes | None = None
) -> FieldBlock:
    """The fields that carry `token` in this request; those of a bound token serve this request only.

    `authority` is that of the upstream that gets it, of the first of a list unless said. All of a list are one resource server: they
    share nonces.
    """
    if token is None:
        return NO_FIELDS
    if token.dpop_seed is None:
        return bearer(token)
    return gateway.process.proofs.credentials(
        token, method=head.method, url=upstream_url(match, authority), nonces_of=upstream_url(match)
    )


def outdated(gateway: Gateway, token: AccessToken | None) -> Callable[[], bool] | None:
    """Says, whenever it is called, whether the token must not be sent any more; None: it has no known expiry."""
    if token is None or token.expires_at is None:
        return None
    return lambda: is_over(token, now=gateway.process.clock())


async def send(
    gateway: Gateway,
    match: Match,
    head: RequestHead,
    receive: Receive,
    *,
    token: AccessToken | None,
    source: TokenSource | None,
    operators: FieldBlock,
    owner: Owner,
) -> tuple[UpstreamResponse, AccessToken | None]:
    """The response, and the token that was sent: another one of `source` if `token` expired while the request waited. `operators` are
    the operator's own fields for the upstream. Call the response's `relay` or `discard`.

    Raises:
        LoginRequired, ProviderError, StoreUnavailable: there is no other token.
        BffError: as `Forwarder.send`.
    """
    for _ in range(MAX_TRIES):
        try:
            response = await _send(gateway, match, head, receive, token=token, operators=operators, owner=owner)
        except Outdated as late:
            receive = late.receive
            token = None if source is None else await source.usable()
        else:
            return response, token
    origin = gateway.forwarder.upstreams[match.route.prefix].origin
    raise UpstreamBusy("calls wait longer than their tokens live", origin=origin)


async def _send(
    gateway: Gateway,
    match: Match,
    head: RequestHead,
    receive: Receive,
    *,
    token: AccessToken | None,
    operators: FieldBlock,
    owner: Owner,
) -> UpstreamResponse:
    """Raises: Outdated: the token has expired, and nothing was sent (or nothing carried out). BffError: as `Forwarder.send`."""

    def credentials(authority: bytes) -> FieldBlock:
        return credentials_of(gateway, match, head, token=token, authority=authority)

    async def forward(receive: Receive) -> UpstreamResponse:
        # A closed connection may have taken the proof along, which serves once (RFC 9449 section 11.1).
        renew = credentials if bound else None
        return await gateway.forwarder.send(
            match,
            head,
            receive,
            credentials=credentials(match.route.authority),
            operators=operators,
            owner=owner,
            renew=renew,
            is_outdated=outdated(gateway, token),
        )

    bound = token is not None and token.dpop_seed is not None
    if not bound:
        return await forward(receive)
    content = KeptContent(receive)
    response = await forward(content)
    if not _demands_nonce(gateway, match, response) or not content.is_whole:
        return response
    again = content.again(response.hand_on())
    response.discard()
    response = await forward(again)
    _demands_nonce(gateway, match, response)
    return response


def _demands_nonce(gateway: Gateway, match: Match, response: UpstreamResponse) -> bool:
    """Whether the nonce of this answer is what the request lacked. It is kept for the next proof in any case (section 8.2), and does
    not reach the browser."""
    fresh = gateway.process.proofs.heard(response.fields, url=upstream_url(match))
    response.fields = [field for field in response.fields if field[0] != b"dpop-nonce"]
    return fresh and challenged(response.status, response.fields)
