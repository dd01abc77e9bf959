"""The modules of the OpenID Foundation's client plans, as values: in what each of its servers departs from the rules, and how it ends.

name             the suite's, without `oidcc-client-test-` or `fapi2-security-profile-final-client-test-`
ends_after       endpoints that must be called for the test to finish, as often as they stand here; a client that does not call them
                 leaves it waiting, and one that calls anything afterwards fails it
stops_after      a fault goes out with the answer of this endpoint: whatever the client calls afterwards fails the test
skipped_without  an endpoint whose silence makes the suite skip the test
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from support.fake_provider import having, same, with_parameters, without, without_parameters

Json = dict[str, Any]
Edit = Callable[[Json], Json]
Pairs = list[tuple[str, str]]
METADATA = ".well-known/openid-configuration"
FRAME = "frame"  # the suite's page has loaded ours in one
EVENT = "http://schemas.openid.net/event/backchannel-logout"


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One module."""

    name: str
    ends_after: tuple[str, ...] = ("userinfo",)
    stops_after: str | None = None
    skipped_without: str | None = None
    metadata: Edit = same
    keys: str = "named"  # one without kid | many without kid
    rotates: str | None = None  # before signing | at the second authorization
    alg: str | None = None  # the ID token's, if not the plan's
    foreign: bool = False  # signed by a key that is not published, in the name of one that is
    id_token: Edit = same
    refreshed_id_token: Edit = same
    token: Edit = same
    userinfo: Edit = same
    response: Callable[[Pairs], Pairs] = same
    discovery_first: bool = False  # no endpoint may be called before the metadata were asked for
    sign_ins: int = 1
    logout_token: Edit = same
    logout_alg: str | None = None
    logout_status: int = 200  # what the client must answer to the logout token
    state_back: str = "{state}"  # with what the provider sends the browser back after a sign-out; empty: with none
    nonces: bool = True  # DPoP nonces are demanded
    challenge: str = "DPoP"  # how the API spells the scheme

    @property
    def warns(self) -> bool:
        """Whether the suite looks at how long `state` and `nonce` are."""
        return self.name.startswith("happy-path")


def _refused(name: str, **how: Any) -> Module:
    return Module(name=name, ends_after=("token",), stops_after="token", **how)


SIG_NONE = Module(name="idtoken-sig-none", ends_after=("token",), skipped_without="userinfo", alg="none")
BASIC = (
    Module(name=""),
    _refused("invalid-iss", id_token=lambda claims: {**claims, "iss": claims["iss"] + "1"}),
    _refused("missing-sub", id_token=without("sub")),
    _refused("invalid-aud", id_token=lambda claims: {**claims, "aud": claims["aud"] + "1"}),
    _refused("missing-iat", id_token=without("iat")),
    Module(name="kid-absent-single-jwks", keys="one without kid"),
    Module(name="kid-absent-multiple-jwks", keys="many without kid"),
    Module(name="idtoken-sig-rs256", alg="RS256"),
    SIG_NONE,
    _refused("invalid-sig-rs256", alg="RS256", foreign=True),
    Module(name="userinfo-invalid-sub", userinfo=lambda claims: {**claims, "sub": claims["sub"] + "invalid"}),
    _refused("nonce-invalid", id_token=lambda claims: {**claims, "nonce": claims["nonce"] + "1"}),
    Module(name="scope-userinfo-claims"),
    Module(name="client-secret-basic"),
)
CONFIGURATION = (
    Module(name="discovery-openid-config", ends_after=(METADATA,)),
    Module(name="discovery-jwks-uri-keys", ends_after=(METADATA, "jwks"), discovery_first=True),
    Module(
        name="discovery-issuer-mismatch",
        ends_after=(METADATA,),
        stops_after=METADATA,
        metadata=lambda known: {**known, "issuer": known["issuer"] + "invalid"},
    ),
    SIG_NONE,
    Module(name="signing-key-rotation-just-before-signing", rotates="before signing"),
    Module(
        name="signing-key-rotation",
        rotates="at the second authorization",
        sign_ins=2,
        ends_after=("jwks", "userinfo") * 2,
    ),
)
_REFRESHED = {"ends_after": ("token", "refresh"), "stops_after": "refresh"}
REFRESH = (
    Module(name="refresh-token", ends_after=("refresh", "userinfo")),
    Module(name="refresh-token-invalid-issuer", refreshed_id_token=having(iss="https://other.example/"), **_REFRESHED),
    Module(name="refresh-token-invalid-sub", refreshed_id_token=having(sub="another"), **_REFRESHED),
    Module(name="refresh-token-invalid-aud", refreshed_id_token=having(aud="another-client"), **_REFRESHED),
    Module(
        name="refresh-token-invalid-azp",
        refreshed_id_token=lambda claims: {**claims, "aud": [claims["aud"], "another"], "azp": "another"},
        **_REFRESHED,
    ),
)
_SIGN_OUT = {"ends_after": ("authorize", "end_session_endpoint")}
RP_INITIATED_LOGOUT = (
    Module(name="rp-init-logout", **_SIGN_OUT),
    Module(name="rp-init-logout-other-state", state_back="{state}_INVALID", **_SIGN_OUT),
    Module(name="rp-init-logout-no-state", state_back="", **_SIGN_OUT),
)
_REFUSED_LOGOUT = {**_SIGN_OUT, "logout_status": 400}
BACK_CHANNEL_LOGOUT = (
    Module(name="rp-backchannel-rpinitlogout", **_SIGN_OUT),
    Module(name="rp-backchannel-rpinitlogout-alg-none", logout_alg="none", **_REFUSED_LOGOUT),
    Module(name="rp-backchannel-rpinitlogout-no-event", logout_token=without("events"), **_REFUSED_LOGOUT),
    Module(name="rp-backchannel-rpinitlogout-with-nonce", logout_token=having(nonce="a nonce"), **_REFUSED_LOGOUT),
    Module(name="rp-backchannel-rpinitlogout-wrong-alg", logout_alg="ES256", **_REFUSED_LOGOUT),
    Module(name="rp-backchannel-rpinitlogout-wrong-aud", logout_token=having(aud="another-client"), **_REFUSED_LOGOUT),
    Module(
        name="rp-backchannel-rpinitlogout-wrong-event", logout_token=having(events={EVENT + "x": {}}), **_REFUSED_LOGOUT
    ),
    Module(
        name="rp-backchannel-rpinitlogout-wrong-iss", logout_token=having(iss="https://x.example/"), **_REFUSED_LOGOUT
    ),
)
FRONT_CHANNEL_LOGOUT = (
    Module(name="rp-frontchannel-rpinitlogout", ends_after=("authorize", "end_session_endpoint", FRAME)),
    Module(name="rp-frontchannel-opinitlogout", ends_after=("authorize", "token", FRAME)),
)
THIRD_PARTY_INITIATED = (Module(name="3rd-party-init-login"),)

CALLED = {"ends_after": ("accounts",)}


def _stopped(name: str, *, after: str = "token", **how: Any) -> Module:
    return Module(name=name, ends_after=(after,), stops_after=after, **how)


def _in_another_case(answer: Json) -> Json:
    return {**answer, "token_type": {"DPoP": "dpOp", "Bearer": "bEARER"}[answer["token_type"]]}


FAPI = (
    Module(name="happy-path", **CALLED),
    _stopped(
        "discovery-issuer-mismatch",
        after=METADATA,
        metadata=lambda known: {**known, "issuer": known["issuer"] + "invalid"},
    ),
    _stopped("invalid-iss", id_token=lambda claims: {**claims, "iss": claims["iss"] + "1"}),
    _stopped("invalid-aud", id_token=lambda claims: {**claims, "aud": claims["aud"] + "1"}),
    _stopped("invalid-secondary-aud", id_token=lambda claims: {**claims, "aud": [claims["aud"], claims["aud"] + "1"]}),
    _stopped("invalid-null-alg", alg="none"),
    _stopped("invalid-alternate-alg", alg="RS256"),
    _stopped("invalid-expired-exp", id_token=lambda claims: {**claims, "exp": claims["iat"] - 6 * 60}),
    _stopped("invalid-missing-exp", id_token=without("exp")),
    _stopped("invalid-missing-aud", id_token=without("aud")),
    _stopped("invalid-missing-iss", id_token=without("iss")),
    Module(name="valid-aud-as-array", id_token=lambda claims: {**claims, "aud": [claims["aud"]]}, **CALLED),
    _stopped("invalid-nonce", id_token=lambda claims: {**claims, "nonce": claims["nonce"] + "1"}),
    _stopped("invalid-missing-nonce", id_token=without("nonce")),
    _stopped(
        "invalid-authorization-response-iss", after="authorize", response=with_parameters(iss="https://x.example/")
    ),
    _stopped("remove-authorization-response-iss", after="authorize", response=without_parameters("iss")),
    _stopped(
        "ensure-authorization-response-with-invalid-state-fails",
        after="authorize",
        response=lambda pairs: [(name, value + "1" if name == "state" else value) for name, value in pairs],
    ),
    _stopped(
        "ensure-authorization-response-with-invalid-missing-state-fails",
        after="authorize",
        response=without_parameters("state"),
    ),
    Module(name="token-endpoint-response-without-expires_in", token=without("expires_in"), **CALLED),
    Module(name="token-type-case-insensitivity", token=_in_another_case, **CALLED),
    Module(name="rs-dpop-auth-scheme-case-insensitivity", challenge="dPoP", **CALLED),
    Module(name="happy-path-no-dpop-nonce", nonces=False, **CALLED),
    Module(name="happy-path-no-mtls-endpoint-aliases", metadata=without("mtls_endpoint_aliases"), **CALLED),
)

BY_MTLS = tuple(
    module for module in FAPI if module.nonces and module.challenge == "DPoP"
)  # tokens bound to a certificate
NOT_IN_ID2 = {
    "discovery-issuer-mismatch",
    "rs-dpop-auth-scheme-case-insensitivity",
    "happy-path-no-mtls-endpoint-aliases",
}
FAPI_ID2 = tuple(module for module in FAPI if module.name not in NOT_IN_ID2)  # no condition differs
