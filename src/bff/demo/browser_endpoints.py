"""The demo provider's face to browsers: sign in, say no, sign out.

An error goes back to the client as soon as it is known which client asks and that the redirect URI is its own; before
that it is shown here (RFC 6749 section 4.1.2.1).
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit, urlunsplit

from starlette.responses import RedirectResponse, Response

from bff.clock import Clock
from bff.demo.authorization_requests import (
    Addressee,
    AuthorizationRequest,
    parse_addressee,
    parse_authorization_request,
)
from bff.demo.grants import Authorization, Client, OAuthError
from bff.demo.issuing import USERS, TokenIssuer
from bff.demo.pages import error_page, form_post_page, sign_in_page, sign_out_page, signed_out_page
from bff.demo.parameters import Call, Pairs, optional, required
from bff.demo.signing import SigningKeys, TokenError

SESSION_COOKIE = "demo-provider-session"
WAITING_REQUESTS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSession:
    """Who is signed in at the provider itself, behind its own cookie."""

    user: str
    auth_time: float
    sid: str


class BrowserEndpoints(TokenIssuer):
    """`/authorize`, `/sign_in` and `/end_session`; the requests that wait for a user, and the provider's sessions."""

    def __init__(
        self,
        *,
        issuer: str,
        clients: Sequence[Client],
        access_token_lifetime_seconds: int,
        clock: Clock,
        keys: SigningKeys | None = None,
    ) -> None:
        super().__init__(
            issuer=issuer,
            clients=clients,
            access_token_lifetime_seconds=access_token_lifetime_seconds,
            clock=clock,
            keys=keys,
        )
        self._waiting: dict[str, AuthorizationRequest] = {}
        self._sessions: dict[str, ProviderSession] = {}

    def authorize(self, call: Call) -> Response:
        """The authorization endpoint (RFC 6749 section 3.1)."""
        addressee = parse_addressee(call.parameters, self.clients)
        try:
            wanted = parse_authorization_request(call.parameters, addressee)
            session = self._sessions.get(call.cookies.get(SESSION_COOKIE, ""))
            if session is not None and not self._must_ask(wanted, session):
                return self._grant(wanted, session)
            if "none" in wanted.prompts:
                raise OAuthError("login_required", "no user is signed in here")
        except OAuthError as error:
            return self._refuse(addressee, error)
        return self.ask(wanted)

    def _must_ask(self, wanted: AuthorizationRequest, session: ProviderSession) -> bool:
        too_old = wanted.max_age is not None and self.clock() - session.auth_time > wanted.max_age
        return too_old or bool(wanted.prompts - {"none"})

    def ask(self, wanted: AuthorizationRequest) -> Response:
        """Let the user choose; the request waits under a ticket."""
        while len(self._waiting) >= WAITING_REQUESTS:
            del self._waiting[next(iter(self._waiting))]
        ticket = secrets.token_urlsafe(16)
        self._waiting[ticket] = wanted
        client = wanted.addressee.client
        return sign_in_page(
            base_path=self.base_path,
            ticket=ticket,
            client_name=client.name or client.client_id,
            users={name: str(claims["name"]) for name, claims in USERS.items()},
            scopes=wanted.scopes,
        )

    def sign_in(self, call: Call) -> Response:
        """Where the buttons of the sign-in page lead."""
        wanted = self._waiting.pop(required(call.form, "ticket"), None)
        if wanted is None:
            raise OAuthError("invalid_request", "This sign-in is over. Please start again from the application.")
        user = optional(call.form, "user")
        if user not in USERS:
            return self._refuse(wanted.addressee, OAuthError("access_denied", "the user cancelled"))
        return self.grant_to(user, wanted, known=self._sessions.get(call.cookies.get(SESSION_COOKIE, "")))

    def grant_to(self, user: str, wanted: AuthorizationRequest, *, known: ProviderSession | None = None) -> Response:
        """Sign `user` in here and answer the client; a session of the same user keeps its `sid`."""
        sid = known.sid if known is not None and known.user == user else secrets.token_urlsafe(12)
        session = ProviderSession(user=user, auth_time=self.clock(), sid=sid)
        session_id = secrets.token_urlsafe(32)
        self._sessions[session_id] = session
        response = self._grant(wanted, session)
        response.set_cookie(SESSION_COOKIE, session_id, path=self.base_path or "/", httponly=True, samesite="lax")
        return response

    def _grant(self, wanted: AuthorizationRequest, session: ProviderSession) -> Response:
        addressee = wanted.addressee
        authorization = Authorization(
            client_id=addressee.client.client_id,
            redirect_uri=addressee.redirect_uri,
            scopes=wanted.scopes,
            resources=wanted.resources,
            nonce=wanted.nonce,
            code_challenge=wanted.code_challenge,
            user=session.user,
            auth_time=session.auth_time,
            sid=session.sid,
        )
        code = self.grants.issue_code(authorization, now=self.clock())
        return self._answer(addressee, [("code", code)])

    def _refuse(self, addressee: Addressee, error: OAuthError) -> Response:
        return self._answer(addressee, [("error", error.error), ("error_description", error.description)])

    def _answer(self, addressee: Addressee, parameters: list[tuple[str, str]]) -> Response:
        if addressee.state is not None:
            parameters = [*parameters, ("state", addressee.state)]
        answer = self.authorization_response([*parameters, ("iss", self.issuer)])
        if addressee.form_post:
            return form_post_page(base_path=self.base_path, action=addressee.redirect_uri, hidden=answer)
        return RedirectResponse(_with_query(addressee.redirect_uri, answer), status_code=303)

    def authorization_response(self, parameters: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """The last step of every authorization response, errors too (RFC 9207 section 2)."""
        return parameters

    def end_session(self, call: Call) -> Response:
        """The end session endpoint (OpenID Connect RP-Initiated Logout 1.0); asks unless the hint proves who asks."""
        pairs = call.parameters
        hinted = self._hinted_session(optional(pairs, "id_token_hint"))
        target = self._post_logout_target(pairs, client_id=hinted[0] if hinted else optional(pairs, "client_id"))
        session_id = call.cookies.get(SESSION_COOKIE, "")
        session = self._sessions.get(session_id)
        proven = session is None or (hinted is not None and hinted[1] == session.sid)
        if not proven and optional(call.form, "confirm") != "yes":
            return sign_out_page(base_path=self.base_path, hidden=dict(pairs))
        self._sessions.pop(session_id, None)
        response = RedirectResponse(target, status_code=303) if target else signed_out_page(base_path=self.base_path)
        response.delete_cookie(SESSION_COOKIE, path=self.base_path or "/")
        return response

    def _hinted_session(self, id_token_hint: str | None) -> tuple[str, str] | None:
        """Client and `sid` of an ID token of ours; an expired one is fine (RP-Initiated Logout 1.0 section 4)."""
        if id_token_hint is None:
            return None
        try:
            claims = self.keys.verify(id_token_hint, typ="JWT")
        except TokenError:
            return None
        return str(claims["aud"]), str(claims["sid"])

    def _post_logout_target(self, pairs: Pairs, *, client_id: str | None) -> str | None:
        uri = optional(pairs, "post_logout_redirect_uri")
        if uri is None:
            return None
        client = self.clients.get(client_id or "")
        if client is None or uri not in client.post_logout_redirect_uris:
            raise OAuthError("invalid_request", "post_logout_redirect_uri is not registered for this client")
        state = optional(pairs, "state")
        return _with_query(uri, [("state", state)] if state is not None else [])

    def error_page(self, error: OAuthError) -> Response:
        """An error that has nowhere to go but here."""
        return error_page(base_path=self.base_path, description=error.description)


def _with_query(uri: str, parameters: list[tuple[str, str]]) -> str:
    parts = urlsplit(uri)
    query = "&".join(part for part in (parts.query, urlencode(parameters)) if part)
    return urlunsplit(parts._replace(query=query))
