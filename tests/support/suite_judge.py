"""The judgements of a running test: each request against the suite's conditions, and what it fails by is kept."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

from support import suite_conditions as conditions
from support.dpop_api import Refused, read_proof

Json = dict[str, Any]
Pairs = list[tuple[str, str]]
ACCOUNTS = "open-banking/v1.1/accounts"


@dataclass(kw_only=True, eq=False)
class Judge:
    """What the suite knows of the client, and what it holds against it."""

    base: str  # the issuer
    client: Json
    clock: Callable[[], float]
    client_auth: str
    request_type: str
    fapi: bool
    mtls: str  # where clients show a certificate; ends in a slash
    sender_constrain: str = "dpop"  # FAPI's; mtls
    edition: str = "final"  # of FAPI 2.0; id2
    failures: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)  # jti of assertions and proofs, verifiers
    bound_to: str | None = None  # the thumbprint that the code and its tokens are bound to

    @property
    def openid(self) -> bool:
        """Whether this is OpenID Connect, and not plain OAuth 2.0 (FAPI's `plain_oauth`)."""
        return not self.fapi or "openid" in self.client["scope"].split()

    @property
    def dpop(self) -> bool:
        """Whether tokens are bound by proofs."""
        return self.fapi and self.sender_constrain == "dpop"

    @property
    def with_certificate(self) -> set[str]:
        """The endpoints at which the client must show its certificate."""
        bound = {"token", "userinfo", ACCOUNTS} if self.fapi and not self.dpop else set()
        return bound | ({"token", "par"} if self.client_auth == "mtls" else set())

    def connected(self, name: str, *, by_mtls: bool, certificate: str | None) -> None:
        """The connection that a request to this endpoint came by [EnsureClientCertificateMatches]."""
        if by_mtls and (name not in {"token", "par", "userinfo", ACCOUNTS} or (name == ACCOUNTS and self.dpop)):
            self.note([f"{name} must not be called at the listener for certificates"])
        if name in self.with_certificate and not by_mtls:
            self.note([f"{name} must be called at the listener for certificates"])
        if name in self.with_certificate and certificate != self.client.get("certificate"):
            self.note(
                [f"{name}: no certificate, or another [CheckForClientCertificate, EnsureClientCertificateMatches]"]
            )

    def found_by_rfc8414(self) -> None:
        """The metadata were asked for at RFC 8414's place, where the final edition alone has them."""
        if self.edition != "final":
            self.note(["the metadata lie below the issuer only [AbstractFAPI2SPID2ClientTest has no handleWellKnown]"])

    def note(self, failures: Iterable[str]) -> None:
        """Keep what is wrong."""
        self.failures += failures

    def asked(self, parameters: Pairs, *, pushed: dict[str, Pairs]) -> Pairs:
        """The authorization request that the browser brought: in its URL, in an object, or pushed before."""
        if self.fapi:
            self.note(conditions.referring_request(parameters, client=self.client, references=set(pushed)))
            return pushed.pop(dict(parameters).get("request_uri", ""), [])
        if self.request_type == "request_object":
            keys, now = self.client["jwks"], self.clock()
            inside, wrong = conditions.request_object(
                parameters, client=self.client, issuer=self.base, keys=keys, now=now
            )
            self.note(wrong)
            return inside
        self.note(conditions.plain_request(parameters))
        return parameters

    def pushed(self, request: Request, form: Pairs) -> Pairs:
        """The authorization request in a pushed one."""
        self.authenticated(request, form)
        parameters = [pair for pair in form if not pair[0].startswith("client_assertion")]
        self.note(conditions.authorization_request(parameters, client=self.client, openid=self.openid))
        self.note(conditions.plain_request(parameters))
        self.note(conditions.scope_of(parameters, configured=self.client["scope"]))
        if thumbprint(request) not in {None, dict(form).get("dpop_jkt", thumbprint(request))}:
            self.note(["dpop_jkt is not that of the proof [ExtractParAuthorizationCodeDpopBindingKey]"])
        return parameters

    def authenticated(self, request: Request, form: Pairs) -> None:
        """The client's credential, by the method of the variant and no other."""
        fields = dict(form)
        if self.client_auth in {"client_secret_basic", "client_secret_post"}:
            sent = request.headers.get("authorization")
            self.note(conditions.client_secret(self.client_auth, authorization=sent, form=fields, client=self.client))
            return
        if self.client_auth == "mtls":
            self.note(conditions.no_credential(request.headers.get("authorization"), form=fields, client=self.client))
            return
        keys = self.client["jwks"] if self.client_auth == "private_key_jwt" else {"keys": []}
        self.note(
            conditions.client_assertion(
                fields,
                client=self.client,
                issuer=self.base,
                keys=keys,
                used=self.used,
                now=self.clock(),
                fapi=self.fapi,
            )
        )

    def redeemed(self, request: Request, form: dict[str, str], asked: dict[str, str]) -> None:
        """The redemption of a code; what it grants is bound to the proof's key from now on."""
        self.note(conditions.code_exchange(form, asked=asked, used=self.used))
        if not self.dpop:
            return
        self.bound_to = thumbprint(request)
        if asked.get("dpop_jkt") not in {None, self.bound_to}:
            self.note(["the proof is not by the key of dpop_jkt [ValidateAuthorizationCodeDpopBindingKey]"])

    def authorized(self, request: Request, *, access_token: str | None) -> None:
        """A call with the access token: in the header, and nowhere else."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if (scheme, token) != ("DPoP" if self.dpop else "Bearer", access_token):
            self.note([f"{request.url.path}: not with the newest access token [RequireBearerAccessToken]"])
        if "access_token" in request.query_params:
            self.note(["an access token in the query [OIDCCExtractBearerAccessTokenFromRequest]"])

    def lacks_nonce(self, request: Request, *, nonce: str | None, access_token: str | None) -> bool:
        """Whether the request's proof, which is judged here, is without the nonce of the moment; None: none is needed."""
        proof = request.headers.get("dpop")
        self.note(
            conditions.dpop_proof(
                proof,
                method=request.method,
                url=str(request.url).partition("?")[0],
                now=self.clock(),
                access_token=access_token,
                used=self.used,
                bound_to=self.bound_to,
            )
        )
        return None not in {proof, nonce} and _claims(proof).get("nonce") != nonce


def thumbprint(request: Request) -> str | None:
    """That of the key of the request's proof."""
    try:
        return read_proof(request.headers.get("dpop", ""))[1]
    except Refused:
        return None


def _claims(proof: str | None) -> Json:
    try:
        return read_proof(proof or "")[0]
    except Refused:
        return {}
