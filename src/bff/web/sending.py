"""Sending one admitted request to its upstream: as a bearer's, or with a proof, and once more if the upstream demands its nonce.

A demand for a nonce is no rejected token (RFC 9449 section 9): the same token goes out again with a new proof. The upstream carried
nothing out, so any method may be repeated; content of up to `MAX_KEPT_BYTES` is kept for that.
"""

from bff.proxy.browser import Receive
from bff.proxy.places import Owner
from bff.proxy.response import UpstreamResponse
from bff.proxy.rewrite import upstream_url
from bff.proxy.routes import Match
from bff.request_head import NO_FIELDS, FieldBlock, RequestHead
from bff.sessions.model import AccessToken
from bff.tokens.proofs import challenged
from bff.tokens.sources import bearer
from bff.web.gateway import Gateway
from bff.web.kept_content import KeptContent


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


async def send(
    gateway: Gateway,
    match: Match,
    head: RequestHead,
    receive: Receive,
    *,
    token: AccessToken | None,
    operators: FieldBlock,
    owner: Owner,
) -> UpstreamResponse:
    """The response; `operators` are the operator's own fields for the upstream. Call its `relay` or `discard`.

    Raises:
        BffError: as `Forwarder.send`.
    """

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
        )

    bound = token is not None and token.dpop_seed is not None
    if not bound:
        return await forward(receive)
    content = KeptContent(receive)
    response = await forward(content)
    again = content.again()
    if not _demands_nonce(gateway, match, response) or again is None:
        return response
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
