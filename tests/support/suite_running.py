"""One module of the OpenID Foundation's suite under way: its endpoints, as the suite answers them."""

import base64
import hashlib
import secrets
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode

from joserfc.jwk import JWKRegistry
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from support import suite_conditions as conditions
from support import suite_keys, suite_metadata, suite_sign_out, suite_tls
from support.suite_judge import ACCOUNTS, Judge
from support.suite_module import FRAME, METADATA, Module

Json = dict[str, Any]
Pairs = list[tuple[str, str]]
SUBJECT = "user-subject-1234531"
FAPI_LIFETIME_SECONDS = 900
MEMBERS = {"profile": {"name": "Demo T. User"}, "email": {"email": "user@example.com", "email_verified": False}}


@dataclass(kw_only=True, eq=False)
class RunningTest:
    """One module under way."""

    module: Module
    judge: Judge
    server_jwk: Json | None  # FAPI's: the tester makes it
    response_mode: str
    called: list[str] = field(default_factory=list)
    stopped: bool = False
    locked: bool = False  # the suite answers one request at a time, and nobody while it calls the client
    id_tokens: set[str] = field(default_factory=set)
    pushed: dict[str, Pairs] = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    access_token: str | None = None
    refresh_token: str | None = None
    granted: dict[str, str] = field(
        default_factory=dict
    )  # the authorization request of the code that was redeemed last
    sid: str = field(default_factory=lambda: secrets.token_hex(8))

    def __post_init__(self) -> None:
        self.keys = self._new_keys()
        self.jwks_path = "jwks" + (secrets.token_hex(5) if self.module.discovery_first else "")
        self.as_nonce, self.rs_nonce = _nonce(self.module), _nonce(self.module)

    @property
    def base(self) -> str:
        """The issuer; ends in a slash."""
        return self.judge.base

    @property
    def client(self) -> Json:
        """The client, as the tester has registered it."""
        return self.judge.client

    @property
    def alg(self) -> str:
        """What ID tokens are signed by, where the module says nothing else."""
        return "RS256" if self.server_jwk is None else str(self.server_jwk["alg"])

    def result(self) -> str:
        """How the suite's page shows the test: `passed`, `skipped`, `waiting: userinfo`, `warning: ...`, `review`, or the failures."""
        if self.judge.failures:
            return "\n".join(self.judge.failures)
        if self.module.skipped_without and self.module.skipped_without not in self.called:
            return "skipped"
        if missing := self._missing():
            return f"waiting: {', '.join(missing)}"
        if self.judge.warnings:
            return f"warning: {'; '.join(self.judge.warnings)}"
        return "review" if FRAME in self.called else "passed"

    def framed(self) -> None:
        """The suite's page says that its frame has loaded; only a person can see what it shows."""
        self._called(FRAME)

    async def answer(self, name: str, request: Request, *, by_mtls: bool = False) -> Response:
        """One request to the endpoint of this name; `by_mtls`: at the listener for certificates."""
        self.judge.connected(name, by_mtls=by_mtls, certificate=_certificate(request))
        if self.stopped and name != self.jwks_path:
            self.judge.note([f"called {name} after an answer that must stop a client"])
        if self._is_over() and (self.judge.fapi or name != "jwks"):
            self.judge.note([f"called {name} after the test had finished [AbstractTestModule]"])
        if self.locked:
            self.judge.note([f"called {name} while the suite sends a logout token, and waits for nothing else"])
        if self.module.discovery_first and METADATA not in [name, *self.called]:
            self.judge.note([f"called {name} before the metadata"])
        endpoints: dict[str, Callable[[Request], Any]] = {
            METADATA: self._metadata,
            self.jwks_path: self._jwks,
            "authorize": self._authorize,
            "par": self._par,
            "token": self._token,
            "userinfo": self._userinfo,
            ACCOUNTS: self._accounts,
            "end_session_endpoint": self._end_session,
        }
        if name not in endpoints:
            self.judge.note([f"called {name}, which is no endpoint"])
            return Response(status_code=404)
        answer: Response = await endpoints[name](request)
        return answer

    def _missing(self) -> list[str]:
        framed = self.module.name.startswith("rp-init-logout") and "frontchannel_logout_uri" in self.client
        ends_after = Counter(self.module.ends_after) + Counter([FRAME] if framed else [])
        return [*(ends_after - Counter(self.called)).elements()]

    def _is_over(self) -> bool:
        """Whether the suite has finished the test: after a fault, and where it might skip it, it waits for some seconds first."""
        return not (self._missing() or self.module.stops_after or self.module.skipped_without)

    def _called(self, name: str) -> None:
        self.called.append(name)
        self.stopped = self.stopped or name == self.module.stops_after

    async def _metadata(self, request: Request) -> Response:
        self._called(METADATA)
        known = suite_metadata.metadata(self.judge, jwks_path=self.jwks_path, module=self.module, alg=self.alg)
        return JSONResponse(self.module.metadata(known))

    async def _jwks(self, request: Request) -> Response:
        self._called("jwks")
        return JSONResponse(self.keys.document())

    async def _authorize(self, request: Request) -> Response:
        if self.module.rotates == "at the second authorization" and "authorize" in self.called:
            self.keys = self._new_keys()
        parameters = self.judge.asked(request.query_params.multi_items(), pushed=self.pushed)
        self.judge.note(conditions.authorization_request(parameters, client=self.client, openid=self.judge.openid))
        if self.judge.fapi and self.module.warns:
            self.judge.warnings += conditions.lengths(parameters, openid=self.judge.openid)
        if self.module.name == "scope-userinfo-claims":
            self.judge.note(conditions.scope_with_claims(parameters))
        asked, code = dict(parameters), secrets.token_urlsafe(12)
        if asked.get("response_mode", "query") != self.response_mode:
            self.judge.note(["response_mode is not that of the plan"])
        self.codes[code] = asked
        self.as_nonce = _nonce(self.module)  # the one of the pushed request has served
        more = ("iss", self.base) if self.judge.fapi else ("session_state", secrets.token_hex(8))
        answer = self.module.response([("code", code), ("state", asked.get("state", "")), more])
        self._called("authorize")
        if self.response_mode == "form_post":
            inputs = "".join(f'<input type="hidden" name="{name}" value="{value}">' for name, value in answer)
            return HTMLResponse(f'<form action="{self.client["redirect_uri"]}" method="post">{inputs}</form>')
        return RedirectResponse(f"{self.client['redirect_uri']}?{urlencode(answer)}", status_code=302)

    async def _par(self, request: Request) -> Response:
        parameters = self.judge.pushed(request, await self._form(request))
        # RFC 9449 section 10.1: dpop_jkt alone would do here, without a proof
        if (
            self.judge.dpop
            and "dpop" in request.headers
            and self.judge.lacks_nonce(request, nonce=self.as_nonce, access_token=None)
        ):
            return self._demand()
        self._called("par")
        reference = f"urn:ietf:params:oauth:request_uri:{secrets.token_urlsafe(24)}"
        self.pushed[reference] = parameters
        return JSONResponse({"request_uri": reference, "expires_in": 600}, status_code=201)

    async def _token(self, request: Request) -> Response:
        pairs = await self._form(request)
        self.judge.authenticated(request, pairs)
        if self.judge.dpop and self.judge.lacks_nonce(request, nonce=self.as_nonce, access_token=None):
            return self._demand()
        form = dict(pairs)
        if form.get("grant_type") == "refresh_token":
            return self._refreshed(form)
        asked = self.codes.pop(form.get("code", ""), None)
        if form.get("grant_type") != "authorization_code" or asked is None:
            self.judge.note(["grant_type is unknown, or the code was used before [ValidateAuthorizationCode]"])
            return JSONResponse({"error": "invalid_grant"}, status_code=400)
        self.judge.redeemed(request, form, asked)
        self.granted = asked
        if self.module.rotates == "before signing":
            self.keys = self._new_keys()
        answer = self.module.token(self._tokens(edit=self.module.id_token))
        self._called("token")
        return JSONResponse(answer)

    def _refreshed(self, form: dict[str, str]) -> Response:
        granted, newest = self.granted["scope"], self.refresh_token or ""
        self.judge.note(conditions.refresh_request(form, granted=granted, refresh_token=newest))
        answer = self._tokens(edit=self.module.refreshed_id_token)
        self._called("refresh")
        return JSONResponse(answer)

    def _tokens(self, *, edit: Callable[[Json], Json]) -> Json:
        self.access_token, self.refresh_token = secrets.token_hex(25), secrets.token_hex(25)
        self.as_nonce = _nonce(self.module)
        now, nonce = int(self.judge.clock()), self.granted.get("nonce")
        claims: Json = {"iss": self.base, "sub": SUBJECT, "aud": self.client["client_id"], "iat": now, "exp": now + 300}
        claims |= {
            "sid": self.sid,
            "at_hash": _half_hash(self.access_token, alg=self.alg),
            **({"nonce": nonce} if nonce else {}),
        }
        id_token = self.keys.signed({}, edit(claims), alg=self.module.alg or self.alg, foreign=self.module.foreign)
        self.id_tokens.add(id_token)
        more: Json = {"id_token": id_token} if self.judge.openid else {}
        more |= {"expires_in": FAPI_LIFETIME_SECONDS} if self.judge.fapi else {}
        return {
            "access_token": self.access_token,
            "token_type": "DPoP" if self.judge.dpop else "Bearer",
            **({"refresh_token": self.refresh_token} if self._refreshes() else {}),
            "scope": self.granted["scope"],
            **more,
        }

    def _refreshes(self) -> bool:
        return self.judge.fapi or self.module.name.startswith("refresh-token")

    async def _userinfo(self, request: Request) -> Response:
        if self._refuses(request):
            return self._challenge()
        members: Json = {"sub": SUBJECT}
        for scope in self.granted["scope"].split():
            members |= MEMBERS.get(scope, {})
        if not self.module.name.startswith("refresh-token") or "refresh" in self.called:
            self._called("userinfo")  # of the refresh modules, the call with the new access token counts
        return JSONResponse(self.module.userinfo(members))

    async def _accounts(self, request: Request) -> Response:
        if self._refuses(request):
            return self._challenge()
        self._called("accounts")
        answered = request.headers.get("x-fapi-interaction-id") or str(uuid.uuid4())
        fields = {"content-type": "application/json; charset=UTF-8", "x-fapi-interaction-id": answered}
        return Response('{"conformance-test-finished":"true"}', headers=fields)

    def _refuses(self, request: Request) -> bool:
        self.judge.authorized(request, access_token=self.access_token)
        if self.judge.fapi:
            self.judge.note(conditions.fapi_fields(request.headers))
        return self.judge.dpop and self.judge.lacks_nonce(
            request, nonce=self.rs_nonce, access_token=self.access_token or ""
        )

    async def _end_session(self, request: Request) -> Response:
        asked = request.query_params.multi_items()
        self.judge.note(conditions.end_session_request(asked, client=self.client, id_tokens=self.id_tokens))
        if not {"backchannel_logout_uri", "frontchannel_logout_uri"} & self.client.keys():
            self.judge.note(["no channel for a sign-out [EnsureClientHasAtLeastOneOfBackOrFrontChannelLogoutUri]"])
        self._called("end_session_endpoint")
        if "backchannel_logout_uri" in self.client:
            token = suite_sign_out.logout_token(self.judge, self.module, keys=self.keys, subject=SUBJECT, sid=self.sid)
            self.locked = True
            self.judge.note(await suite_sign_out.send_logout_token(self.judge, self.module, token))
            self.locked = False
        back = suite_sign_out.way_back(self.judge, self.module, state=dict(asked).get("state", ""))
        if "frontchannel_logout_uri" not in self.client:
            return RedirectResponse(back, status_code=302)
        frame = suite_sign_out.frame_url(self.judge, sid=self.sid)
        return HTMLResponse(f'<iframe src="{frame}"></iframe><script data-goes-on-to="{back}"></script>')

    async def _form(self, request: Request) -> Pairs:
        self.judge.note(conditions.form_post(request.method, request.headers.get("content-type")))
        return parse_qsl((await request.body()).decode(), keep_blank_values=True)

    def _demand(self) -> Response:
        body = {"error": "use_dpop_nonce", "error_description": "Authorization server requires nonce in DPoP proof"}
        return JSONResponse(body, status_code=400, headers={"DPoP-Nonce": self.as_nonce or ""})

    def _challenge(self) -> Response:
        challenge = (
            f'{self.module.challenge} error="use_dpop_nonce", error_description="Resource server requires nonce"'
        )
        return Response(status_code=401, headers={"WWW-Authenticate": challenge, "DPoP-Nonce": self.rs_nonce or ""})

    def _new_keys(self) -> suite_keys.ServerKeys:
        if self.server_jwk is not None:
            return suite_keys.for_fapi(JWKRegistry.import_key(self.server_jwk), alg=self.server_jwk["alg"])
        if self.module.keys == "many without kid":
            return suite_keys.for_openid(kids=False, keys_each=3)
        if self.module.keys == "one without kid":
            return suite_keys.for_openid(kids=False, only_one=True)
        return suite_keys.for_openid()


def _certificate(request: Request) -> str | None:
    shown = request.headers.get(suite_tls.FIELD)
    return None if shown is None else unquote(shown).strip()


def _nonce(module: Module) -> str | None:
    return secrets.token_urlsafe(12) if module.nonces else None


def _half_hash(token: str, *, alg: str) -> str:
    digest = (hashlib.sha512 if alg == "EdDSA" else hashlib.sha256)(token.encode()).digest()  # JWAUtil
    return base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()
