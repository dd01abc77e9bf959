"""The demo provider, made to misbehave: one frozen value says how, and a test replaces it whenever it likes.

    async with fake_provider() as provider:
        provider.misbehave(token_answer=without("expires_in"))
        provider.answer_next("/token", Answer(status=503))
        gate = provider.hold("/token")      # calls wait until gate.set()
        await provider.arrived("/token", count=1)
        provider.sign_in_as = "alice"       # /authorize answers at once, without the page

What is not told otherwise is the honest provider: keys, codes, rotation and reuse detection are real.
"""

import asyncio
import base64
import contextlib
import functools
import hashlib
import hmac
import json
import re
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from joserfc.jwk import Key, RSAKey
from starlette.responses import Response

from bff.demo.authorization_requests import AuthorizationRequest
from bff.demo.grants import Client
from bff.demo.loopback_sockets import bind_loopback, port_of
from bff.demo.parameters import Call
from bff.demo.provider import DemoProvider, Endpoint
from bff.demo.signing import new_key, sign
from bff.server.process import serving
from support import asserted_clients
from support.recorded_provider import RecordedProvider

Json = dict[str, Any]
Edit = Callable[[Json], Json]
Pairs = list[tuple[str, str]]

GATEWAY = "http://localhost:8080"


def same(value: Any) -> Any:
    """The edit that changes nothing."""
    return value


def having(**members: object) -> Edit:
    """An edit that sets these members."""
    return lambda answer: {**answer, **members}


def without(*names: str) -> Edit:
    """An edit that drops these members."""
    return lambda answer: {name: value for name, value in answer.items() if name not in names}


def with_parameters(**parameters: str) -> Callable[[Pairs], Pairs]:
    """An edit of an authorization response that sets these parameters."""
    return lambda pairs: [*((k, v) for k, v in pairs if k not in parameters), *parameters.items()]


def without_parameters(*names: str) -> Callable[[Pairs], Pairs]:
    """An edit of an authorization response that drops these parameters."""
    return lambda pairs: [(k, v) for k, v in pairs if k not in names]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A canned response; `truncated` announces more bytes than it sends and then closes."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    fields: tuple[tuple[str, str], ...] = ()
    truncated: bool = False
    repeat_body: int = 1  # sends `body` so many times, without holding it all


def oauth_error(error: str, *, status: int = 400, description: str = "scripted") -> Answer:
    """An OAuth error response (RFC 6749 section 5.2)."""
    return Answer(status=status, body=json.dumps({"error": error, "error_description": description}).encode())


def redirect(location: str, *, status: int = 302) -> Answer:
    """A redirect where none is allowed (R-077)."""
    return Answer(status=status, fields=(("location", location),))


@dataclass(frozen=True, slots=True, kw_only=True)
class Misbehaviour:
    """How the provider departs from the rules. Edits get the honest value and return what is sent."""

    metadata: Edit = same
    jwks: Edit = same
    id_token_header: Edit = same
    id_token_claims: Edit = same
    id_token_signature: str = "honest"  # none | hs256_public_pem | wrong_key | unknown_kid | no_kid | broken
    id_token: Callable[[str], str] = same  # the compact form, last
    refreshed_id_token_claims: Edit = same  # on top of id_token_claims, for refresh only
    token_answer: Edit = same
    userinfo: Edit = same
    authorization_response: Callable[[Pairs], Pairs] = same
    logout_token_header: Edit = same
    logout_token_claims: Edit = same
    rotate: bool = True  # False: a refresh answers without a new refresh token and the old one stays good
    answers: dict[str, Answer] = field(default_factory=dict)  # path -> what that endpoint says instead


def shop(gateway: str = GATEWAY, *, provider: str = "demo", **changes: Any) -> Client:
    """A client as the gateway registers it: base path `/bff`, the provider's configured name in the redirect URI."""
    client = Client(
        client_id="shop",
        secret="a secret of the shop that is long enough",
        redirect_uris=(f"{gateway}/bff/callback/{provider}",),
        post_logout_redirect_uris=(f"{gateway}/",),
        scopes=("openid", "profile", "email", "offline_access", "rates:read"),
        backchannel_logout_uri=f"{gateway}/bff/backchannel-logout/{provider}",
        name="The shop",
    )
    return replace(client, **changes)


class FakeProvider(RecordedProvider):
    """A provider under a test's control."""

    def __init__(
        self,
        *,
        issuer: str,
        clients: Sequence[Client],
        access_token_lifetime_seconds: int = 60,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(
            issuer=issuer, clients=clients, access_token_lifetime_seconds=access_token_lifetime_seconds, clock=clock
        )
        self.misbehaviour = Misbehaviour()
        self.sign_in_as: str | None = None
        self.accepted_keys: Sequence[
            Key
        ] = ()  # of clients that authenticate by private_key_jwt (`asserted_clients.py`)
        self._next: dict[str, deque[Answer]] = {}
        self._gates: dict[str, asyncio.Event] = {}
        self._arrival = asyncio.Event()
        self._refreshing = False
        self._proved = False

    @functools.cached_property
    def foreign_key(self) -> RSAKey:
        """A key with the name of a real one, but not that key."""
        return new_key(self.keys.current.kid)

    # --- what a test says ---------------------------------------------------------------------------------------------

    def misbehave(self, **changes: Any) -> None:
        """Depart from the rules in these ways, beside those already named."""
        self.misbehaviour = replace(self.misbehaviour, **changes)

    def behave(self) -> None:
        """Keep all the rules again; open every gate."""
        self.misbehaviour = Misbehaviour()
        self._next.clear()
        for path in list(self._gates):
            self.release(path)

    def answer_next(self, path: str, *answers: Answer) -> None:
        """The next calls to this endpoint get these answers, one each; then it is honest again."""
        self._next.setdefault(path, deque()).extend(answers)

    def hold(self, path: str) -> asyncio.Event:
        """Calls to this endpoint wait, after they were recorded, until the returned event is set."""
        return self._gates.setdefault(path, asyncio.Event())

    def release(self, path: str) -> None:
        """Let the held calls go, and hold no more."""
        gate = self._gates.pop(path, None)
        if gate is not None:
            gate.set()

    async def arrived(self, path: str, *, count: int = 1) -> None:
        """Wait until so many calls to this endpoint were recorded since the start."""
        async with asyncio.timeout(10):
            while len(self.calls_to(path)) < count:
                self._arrival.clear()
                await self._arrival.wait()

    # --- how it departs -----------------------------------------------------------------------------------------------

    async def respond(self, call: Call, endpoint: Endpoint) -> Response:
        """Keep the call, wait at the gate, then say what was scripted, or the truth."""
        self.calls.append(call)
        self._arrival.set()
        gate = self._gates.get(call.path)
        if gate is not None:
            await gate.wait()
        scripted = self._next.get(call.path)
        answer = scripted.popleft() if scripted else self.misbehaviour.answers.get(call.path)
        if answer is not None:
            return _Canned(answer)
        known = asserted_clients.authenticated(call, accepted=self.accepted_keys, clients=self.clients)
        if known is None:
            return _Canned(oauth_error("invalid_client", status=401))
        call = known
        self._refreshing = ("grant_type", "refresh_token") in call.form
        self._proved = call.header("dpop") is not None
        return await DemoProvider.respond(self, call, endpoint)  # the call is kept already

    def metadata(self) -> dict[str, object]:
        """Edited."""
        return self.misbehaviour.metadata(super().metadata())

    def jwks(self) -> dict[str, object]:
        """Edited."""
        return self.misbehaviour.jwks(super().jwks())

    def token_answer(self, answer: dict[str, object]) -> dict[str, object]:
        """Edited."""
        if self._refreshing and not self.misbehaviour.rotate:
            answer = {name: value for name, value in answer.items() if name != "refresh_token"}
        if (
            self._proved
        ):  # it binds what was asked for with a proof (RFC 9449 section 5), and does not look at the proof
            answer = {**answer, "token_type": "DPoP"}
        return self.misbehaviour.token_answer(answer)

    def rotated(self, refresh_token: str) -> str:
        """The same token again when it must not rotate."""
        return super().rotated(refresh_token) if self.misbehaviour.rotate else refresh_token

    def userinfo_answer(self, claims: dict[str, object]) -> dict[str, object]:
        """Edited."""
        return self.misbehaviour.userinfo(super().userinfo_answer(claims))

    def authorization_response(self, parameters: Pairs) -> Pairs:
        """Edited."""
        return self.misbehaviour.authorization_response(parameters)

    def ask(self, wanted: AuthorizationRequest) -> Response:
        """Skip the page when the test has said who signs in."""
        return super().ask(wanted) if self.sign_in_as is None else self.grant_to(self.sign_in_as, wanted)

    def sign_id_token(self, *, header: dict[str, object], claims: dict[str, object]) -> str:
        """Edited and signed as told."""
        how = self.misbehaviour
        claims = how.id_token_claims(claims)
        if self._refreshing:
            claims = how.refreshed_id_token_claims(claims)
        return how.id_token(self.signed(header=how.id_token_header(header), claims=claims, how=how.id_token_signature))

    def sign_logout_token(self, *, header: dict[str, object], claims: dict[str, object]) -> str:
        """Edited and honestly signed."""
        how = self.misbehaviour
        return super().sign_logout_token(header=how.logout_token_header(header), claims=how.logout_token_claims(claims))

    def signed(self, *, header: Json, claims: Json, how: str) -> str:
        """A JWT whose signature is as asked for; see `Misbehaviour.id_token_signature`."""
        key = self.keys.current
        if how == "none":
            return f"{_segment({**header, 'alg': 'none'})}.{_segment(claims)}."
        if how == "hs256_public_pem":
            return hs256({**header, "kid": key.kid}, claims, secret=key.as_pem(private=False))
        if how == "broken":
            head, payload, signature = sign(key, header=header, claims=claims).split(".")
            return f"{head}.{payload}.{signature[:-8]}{'A' * 8}"
        if how == "no_kid":
            return _without_kid(key, header, claims)
        extra = {"kid": f"unknown-{secrets.token_hex(4)}"} if how == "unknown_kid" else {"kid": key.kid}
        return sign(key if how == "honest" else self.foreign_key, header={**extra, **header}, claims=claims)


class _Canned(Response):
    """A scripted answer, on the wire."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(status_code=answer.status, media_type=answer.content_type, headers=dict(answer.fields))
        self._answer = answer
        length = len(answer.body) * answer.repeat_body + (1000 if answer.truncated else 0)
        self.headers["content-length"] = str(length)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        with contextlib.suppress(OSError):  # the client may hang up on a huge answer: that is what it should do
            for _ in range(self._answer.repeat_body):
                await send({"type": "http.response.body", "body": self._answer.body, "more_body": True})
        if self._answer.truncated:
            receive.__self__.transport.close()  # ASGI has no word for it: the uvicorn cycle behind `receive` has
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _segment(value: object) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def _without_kid(key: Any, header: Json, claims: Json) -> str:
    from joserfc import jwt

    return jwt.encode({"alg": "RS256", **header}, claims, key, default_type=None)


def hs256(header: Json, claims: Json, *, secret: bytes) -> str:
    """A JWT under a symmetric key, made by hand because no decent library signs with a public key."""
    signed = f"{_segment({**header, 'alg': 'HS256'})}.{_segment(claims)}"
    return f"{signed}.{_segment(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


def sign_in_ticket(html: str) -> str:
    """The hidden field of the sign-in page: post it to `/sign_in` as `ticket` with `user`."""
    found = re.search(r'name="ticket" value="([^"]+)"', html)
    assert found is not None, "this is not the sign-in page"
    return found[1]


@contextlib.asynccontextmanager
async def fake_provider(
    *,
    clients: Sequence[Client] | None = None,
    path: str = "",
    access_token_lifetime_seconds: int = 60,
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[FakeProvider]:
    """A provider on a free loopback port for as long as the block lasts; its issuer ends in `path`."""
    sockets = bind_loopback()
    provider = FakeProvider(
        issuer=f"http://127.0.0.1:{port_of(sockets)}{path}",
        clients=[shop()] if clients is None else clients,
        access_token_lifetime_seconds=access_token_lifetime_seconds,
        clock=clock,
    )
    async with serving(provider.app, sockets):
        yield provider
