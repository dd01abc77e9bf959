"""The demo provider: a small OpenID Provider that keeps the rules, for loopback only.

It signs in alice and bob at a click, so it must never be reachable from elsewhere: a request whose peer or `Host` is
not loopback gets 403, and an issuer that is not loopback cannot be constructed.

    /authorize      authorization code with PKCE S256 only; exact redirect URIs; `iss` in every answer (RFC 9207)
    /sign_in        where the two buttons lead
    /token          authorization_code, refresh_token (rotation, reuse ends the grant), client_credentials
    /userinfo /jwks /revoke /end_session and the metadata under /.well-known/
"""

from collections.abc import Awaitable, Callable, Sequence

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from bff.clock import Clock, wall
from bff.demo.browser_endpoints import BrowserEndpoints
from bff.demo.client_endpoints import ClientEndpoints, json_error
from bff.demo.grants import Client, OAuthError
from bff.demo.loopback import LoopbackOnly
from bff.demo.pages import STYLE
from bff.demo.parameters import Call, parse_pairs
from bff.demo.signing import SigningKeys

BODY_LIMIT = 64 * 1024

Endpoint = Callable[[Call], Response]


class DemoProvider(BrowserEndpoints, ClientEndpoints):
    """The provider as an ASGI app, `app`, with what it remembers in plain attributes; `clock` returns Unix seconds."""

    def __init__(
        self,
        *,
        issuer: str,
        clients: Sequence[Client],
        access_token_lifetime_seconds: int = 60,
        clock: Clock = wall,
        keys: SigningKeys | None = None,
    ) -> None:
        super().__init__(
            issuer=issuer,
            clients=clients,
            access_token_lifetime_seconds=access_token_lifetime_seconds,
            clock=clock,
            keys=keys,
        )
        self.app = Starlette(routes=self._routes(), middleware=[Middleware(LoopbackOnly)])

    # --- from a request to a call -------------------------------------------------------------------------------------

    def _routes(self) -> list[Route]:
        well_known = "/.well-known/openid-configuration"
        table: list[tuple[str, list[str], Endpoint]] = [
            (well_known, ["GET"], lambda _: JSONResponse(self.metadata())),
            ("/jwks", ["GET"], lambda _: JSONResponse(self.jwks())),
            ("/authorize", ["GET", "POST"], self.authorize),
            ("/sign_in", ["POST"], self.sign_in),
            ("/token", ["POST"], self.token),
            ("/userinfo", ["GET", "POST"], self.userinfo),
            ("/revoke", ["POST"], self.revoke),
            ("/end_session", ["GET", "POST"], self.end_session),
            ("/style.css", ["GET"], lambda _: PlainTextResponse(STYLE, media_type="text/css")),
        ]
        routes = [Route(self.base_path + path, self._asgi(path, end), methods=how) for path, how, end in table]
        # RFC 8414 section 3.1 puts the well-known part before the issuer's path, OpenID Connect Discovery behind it.
        oauth = self._asgi("/.well-known/oauth-authorization-server", table[0][2])
        return [*routes, Route(f"/.well-known/oauth-authorization-server{self.base_path}", oauth, methods=["GET"])]

    def _asgi(self, path: str, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            try:
                call = await _read_call(request, path)
            except OAuthError as error:
                return json_error(error)
            return await self.respond(call, endpoint)

        return handle

    async def respond(self, call: Call, endpoint: Endpoint) -> Response:
        """Answer a call; the one place through which every answer goes."""
        try:
            return endpoint(call)
        except OAuthError as error:
            if call.path in {"/authorize", "/sign_in", "/end_session"}:
                return self.error_page(error)
            return json_error(error)


async def _read_call(request: Request, path: str) -> Call:
    """Read one request completely.

    Raises:
        OAuthError: `invalid_request`: not a form, or too large.
    """
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_LIMIT:
            raise OAuthError("invalid_request", "the body is too large", status=413)
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if body and content_type != "application/x-www-form-urlencoded":
        raise OAuthError("invalid_request", "the body is not a form")
    return Call(
        method=request.method,
        path=path,
        query=parse_pairs(request.scope["query_string"].decode("latin-1")),
        form=parse_pairs(body.decode("latin-1")),
        headers=tuple(request.headers.items()),
        cookies=request.cookies,
    )
