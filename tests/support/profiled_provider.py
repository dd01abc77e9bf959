"""A fake provider with the habits of one kind of real provider: its paths, what it knows, what it leaves out.

A `Profile` says the habits. The fake keeps all else as the demo provider does: codes, PKCE, keys, rotation and reuse
detection are real. All hosts of the provider are one loopback origin here; the paths are the provider's own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from bff.demo.authorization_requests import parse_addressee
from bff.demo.client_endpoints import json_answer
from bff.demo.grants import Client, Grant, OAuthError
from bff.demo.loopback import LoopbackOnly
from bff.demo.parameters import Call
from bff.demo.provider import Endpoint
from support.fake_provider import Answer, Edit, FakeProvider, Json, Misbehaviour, oauth_error, without_parameters

Parameters = Mapping[str, str]
INVALID_GRANT = oauth_error("invalid_grant")

_PLACES = {
    "authorization_endpoint": "/authorize",
    "token_endpoint": "/token",
    "userinfo_endpoint": "/userinfo",
    "jwks_uri": "/jwks",
    "revocation_endpoint": "/revoke",
    "end_session_endpoint": "/end_session",
}


def endpoints(*, base: str = "", **paths: str) -> dict[str, str]:
    """Metadata names by short names; all paths lie below `base`."""
    names = {"authorize": "authorization_endpoint", "token": "token_endpoint", "userinfo": "userinfo_endpoint"}
    names |= {"jwks": "jwks_uri", "revoke": "revocation_endpoint", "logout": "end_session_endpoint"}
    return {names[short]: base + path for short, path in paths.items()}


def all_of(*edits: Edit) -> Edit:
    """One edit that makes several, in this order."""

    def edit(answer: Json) -> Json:
        for each in edits:
            answer = each(answer)
        return answer

    return edit


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The habits of one kind of provider. `recipe` is the heading of its recipe in docs/how-to/providers.md."""

    name: str
    recipe: str
    hosts: tuple[str, ...]
    issuer: str = ""  # its path, as the tokens say it
    metadata_issuer: str | None = None  # its path in the metadata, where that differs
    endpoints: Mapping[str, str]  # metadata name -> path; what is not named, the provider does not have
    hidden_endpoints: tuple[str, ...] = ()  # those that the metadata leaves out
    metadata_path: str | None = None  # None: no metadata at all
    metadata: Json = field(default_factory=dict)
    habits: Misbehaviour = field(default_factory=Misbehaviour)
    iss: str = "absent"  # of the authorization response: absent | announced | unannounced
    auth_method: str | None = None  # the only client authentication that it takes
    scopes: tuple[str, ...] = ("openid", "profile", "email", "offline_access")
    unknown_scopes: str = "ignored"  # or refused
    refuses: frozenset[str] = frozenset()  # parameters of the authorization request
    needs: Mapping[str, str] = field(default_factory=dict)
    refresh_token: Callable[[Parameters], bool] = lambda asked: "offline_access" in asked["scope"].split()
    form_unless_json_is_accepted: bool = False
    user: Json | None = None  # what UserInfo says instead of standard claims
    return_parameter: str = "post_logout_redirect_uri"
    end_session_needs: tuple[str, ...] = ()
    end_session_refuses: tuple[str, ...] = ()
    subject: str = "alice"
    shows: tuple[str, ...] = ("name", "email")  # claims that /user must have
    after_expiry: str = "refreshed"  # refreshed | ended | lasting (the token does not expire)
    revokes_access_tokens: bool = True
    denial: Mapping[str, str] = field(default_factory=lambda: {"error": "access_denied"})  # the user says no
    refusal: Answer = INVALID_GRANT  # the refresh token no longer works
    essential: tuple[str, ...] = ()  # keys of the recipe without which the walk must fail


class ProfiledProvider(FakeProvider):
    """The fake of one profile at `origin`."""

    def __init__(self, profile: Profile, *, origin: str, client: Client, clock: Callable[[], float]) -> None:
        super().__init__(
            issuer=(origin + profile.issuer).rstrip("/"),
            clients=[client],
            access_token_lifetime_seconds=600,
            clock=clock,
        )
        self.profile = profile
        self.origin = origin
        self.issuer = origin + profile.issuer
        self.misbehaviour = profile.habits
        self.sign_in_as = "alice"
        self.asked: dict[str, str] = {}
        self.user_says_no = False
        self.app = Starlette(routes=self._own_routes(), middleware=[Middleware(LoopbackOnly)])

    def _own_routes(self) -> list[Route]:
        handlers: dict[str, Endpoint] = {
            "/authorize": self.authorize,
            "/token": self.token,
            "/userinfo": self.userinfo,
            "/jwks": lambda _: JSONResponse(self.jwks()),
            "/revoke": self.revoke,
            "/end_session": self.end_session,
        }
        routes = [
            self._route(urlsplit(path).path, _PLACES[name], handlers[_PLACES[name]])
            for name, path in self.profile.endpoints.items()
        ]
        if self.profile.metadata_path is not None:
            routes.append(self._route(self.profile.metadata_path, "/metadata", lambda _: JSONResponse(self.metadata())))
        return routes

    def _route(self, path: str, place: str, endpoint: Endpoint) -> Route:
        handle = self._asgi(place, endpoint)

        async def asked(request: Request) -> Response:
            return await handle(request)

        return Route(path, asked, methods=["GET", "POST"])

    def metadata(self) -> dict[str, object]:
        """What this kind of provider publishes."""
        it = self.profile
        issuer = it.issuer if it.metadata_issuer is None else it.metadata_issuer
        announced: Json = {"authorization_response_iss_parameter_supported": True} if it.iss == "announced" else {}
        return it.habits.metadata(
            {
                "issuer": self.origin + issuer,
                **{name: self.origin + at for name, at in it.endpoints.items() if name not in it.hidden_endpoints},
                "response_types_supported": ["code"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
                **announced,
                **it.metadata,
            }
        )

    # --- authorization ------------------------------------------------------------------------------------------------

    def authorize(self, call: Call) -> Response:
        """Refuse what this provider refuses."""
        self.asked = dict(call.parameters)
        complaint = self._complaint()
        if complaint is not None:
            return self._refuse(parse_addressee(call.parameters, self.clients), complaint)
        return super().authorize(call)

    def _complaint(self) -> OAuthError | None:
        it = self.profile
        for name in sorted(it.refuses & set(self.asked)):
            return OAuthError("invalid_request", f"{name} is not supported")
        for name, value in it.needs.items():
            if self.asked.get(name) != value:
                return OAuthError("invalid_request", f"{name} must be {value}")
        unknown = set(self.asked["scope"].split()) - set(it.scopes)
        return OAuthError("invalid_scope", f"{unknown}") if unknown and it.unknown_scopes == "refused" else None

    def authorization_response(self, parameters: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """With `iss` or without."""
        if self.user_says_no:
            said = [*self.profile.denial.items(), *((name, value) for name, value in parameters if name == "state")]
            return said if self.profile.iss == "absent" else [*said, ("iss", self.issuer)]
        edited = super().authorization_response(parameters)
        return without_parameters("iss")(edited) if self.profile.iss == "absent" else edited

    # --- tokens -------------------------------------------------------------------------------------------------------

    def token(self, call: Call) -> Response:
        """JSON, or a form for clients that do not ask for JSON."""
        answer = super().token(call)
        if self.profile.form_unless_json_is_accepted and "application/json" not in (call.header("accept") or ""):
            return PlainTextResponse("access_token=x", media_type="application/x-www-form-urlencoded")
        return answer

    def _redeem_code(self, call: Call, client: Client) -> dict[str, object]:
        answer = super()._redeem_code(call, client)
        if not self.profile.refresh_token(self.asked):
            answer.pop("refresh_token", None)
        return answer

    def _tokens(
        self, call: Call, client: Client, grant: Grant, *, scopes: tuple[str, ...], first: bool
    ) -> dict[str, object]:
        answer = super()._tokens(call, client, grant, scopes=scopes, first=first)
        return {**answer, "refresh_token": self.grants.issue_refresh_token(grant)} if first else answer

    def userinfo(self, call: Call) -> Response:
        """Standard claims, or this provider's own answer, for a token that works."""
        if self.profile.user is None:
            return super().userinfo(call)
        self.access_token_claims((call.header("authorization") or "").partition(" ")[2])
        return json_answer(self.profile.user)

    def _revoke_access_token(self, token: str, client: Client) -> Response:
        if not self.profile.revokes_access_tokens:
            raise OAuthError("unsupported_token_type", "only refresh tokens can be revoked")
        return super()._revoke_access_token(token, client)

    # --- sign-out -----------------------------------------------------------------------------------------------------

    def end_session(self, call: Call) -> Response:
        """Back to a registered address, under the name that this provider has for it."""
        it, said = self.profile, dict(call.parameters)
        wrong = [name for name in it.end_session_needs if name not in said]
        wrong += [name for name in it.end_session_refuses if name in said]
        target = said.get(it.return_parameter)
        registered = {uri for client in self.clients.values() for uri in client.post_logout_redirect_uris}
        if wrong or target is None or target not in registered:
            raise OAuthError("invalid_request", f"not such a sign-out: {wrong} {target}")
        self._sessions.clear()
        state = f"?{urlencode({'state': said['state']})}" if "state" in said else ""
        return RedirectResponse(target + state, status_code=303)
