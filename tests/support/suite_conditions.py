"""What the OpenID Foundation's suite holds a client's requests to, as functions: each tells what it would log as a failure or warning.

The names in brackets are those of the suite's own conditions (`net.openid.conformance.condition.as` and `.rs`, read in November 2026).
Where FAPI 2.0 or an RFC asks for more than the suite looks at, the stricter rule stands here.
"""

import base64
import hashlib
import hmac
import ipaddress
import json
import math
import re
import uuid
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import unquote_plus, urlsplit

from joserfc import jwt
from joserfc.jwk import KeySet

from support.dpop_api import Refused, read_header, read_proof

Json = dict[str, Any]
Pairs = list[tuple[str, str]]

SKEW_SECONDS = 300
LONGEST_ASSERTION_SECONDS = 86_400
LEAST_VERIFIER_BITS = 192  # of 256: entropy cannot be measured exactly
LONGEST_NONCE = 64  # FAPI 2.0 section 5.3.2.2
LONGEST_NONCE_UNWARNED, LONGEST_STATE_UNWARNED = 43, 128
URL_SAFE = re.compile(r"[A-Za-z0-9._~!*'();:@&=+$,/?%#\[\]-]*")
SCOPES_WITH_CLAIMS = {"profile", "email", "phone", "address"}
LEAST_KEY_BITS = {"RSA": 2048, "EC": 224, "OKP": 224}
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
FAPI_ALGORITHMS = ("PS256", "ES256", "EdDSA")
REPEATABLE = {"resource"}  # RFC 8707 section 2


def authorization_request(parameters: Pairs, *, client: Json, openid: bool = True) -> Iterator[str]:
    """The parameters of an authorization request, wherever they came from."""
    counted, asked = Counter(name for name, _ in parameters), dict(parameters)
    for name, number in counted.items():
        if number > 1 and name not in REPEATABLE:
            yield f"{name} is there {number} times"
    for name, value in asked.items():
        if not value:
            yield f"{name} has no value"
    if asked.get("response_type") != "code":
        yield "response_type is not code [EnsureResponseTypeIsCode]"
    if asked.get("client_id") != client["client_id"]:
        yield "client_id is not ours [EnsureMatchingClientId]"
    if asked.get("redirect_uri") != client["redirect_uri"]:
        yield "redirect_uri is not the registered one [EnsureValidRedirectUriForAuthorizationEndpointRequest]"
    if ("openid" in asked.get("scope", "").split()) is not openid:
        yield "openid in scope [EnsureOpenIDInScopeRequest]"
    if asked.get("max_age") == "0" and asked.get("prompt") == "none":
        yield "max_age=0 beside prompt=none [DisallowMaxAgeEqualsZeroAndPromptNone]"
    if asked.get("code_challenge_method") != "S256" or len(asked.get("code_challenge", "")) != 43:
        yield "no code_challenge of S256 [EnsureAuthorizationRequestContainsPkceCodeChallenge]"
    if not asked.get("state"):
        yield "no state [EnsureAuthorizationRequestContainsStateParameter]"
    if not openid and "claims" in asked:
        yield "claims without openid [EnsureClaimsParameterNotPresentInPlainOAuthRequest]"
    if openid and not 0 < len(asked.get("nonce", "")) <= LONGEST_NONCE:
        yield "no nonce, or one of more than 64 characters [ExtractNonceFromAuthorizationRequest]"


def lengths(parameters: Pairs, *, openid: bool) -> Iterator[str]:
    """What the suite warns of; in the modules of a happy path alone, of `nonce` in OpenID Connect and of `state` without."""
    name, longest = ("nonce", LONGEST_NONCE_UNWARNED) if openid else ("state", LONGEST_STATE_UNWARNED)
    value, title = dict(parameters).get(name, ""), name.capitalize()
    if len(value) > longest:
        yield f"{name} of {len(value)} characters [{'CheckNonceMaximumLength' if openid else 'CheckStateLength'}]"
    if not URL_SAFE.fullmatch(value):
        yield f"{name} has characters that are not safe in a URL [CheckForInvalidCharsIn{title}]"


def scope_with_claims(parameters: Pairs) -> Iterator[str]:
    """A module is about claims that come by scopes."""
    if not SCOPES_WITH_CLAIMS & set(dict(parameters).get("scope", "").split()):
        yield "no scope that brings claims [EnsureScopeContainsAtLeastOneOfProfileEmailPhoneAddress]"


def form_post(method: str, content_type: str | None) -> Iterator[str]:
    """A pushed request or one to the token endpoint."""
    if method != "POST":
        yield f"{method}, not POST"
    if (content_type or "").partition(";")[0] != "application/x-www-form-urlencoded":
        yield f"content of type {content_type} [EnsureContentTypeIsFormUrlEncoded]"


def fapi_fields(headers: Mapping[str, str]) -> Iterator[str]:
    """FAPI's fields in a call of the API, if they are there."""
    kinds: dict[str, tuple[Callable[[str], object], str]] = {
        "x-fapi-interaction-id": (uuid.UUID, "ValidateFAPIInteractionIdInResourceRequest"),
        "x-fapi-auth-date": (parsedate_to_datetime, "ExtractFapiDateHeader"),
        "x-fapi-customer-ip-address": (ipaddress.ip_address, "ExtractFapiIpAddressHeader"),
    }
    for name, (read, condition) in kinds.items():
        if name in headers and not _can(read, headers[name]):
            yield f"{name} is not of its kind [{condition}]"


def registration(client: Json) -> Iterator[str]:
    """What the tester wrote down of the client, before a test can start."""
    for name, value in client.items():
        if name.endswith("_uri") and (urlsplit(value).fragment or not urlsplit(value).netloc):
            yield f"{name} is not absolute, or has a fragment [ValidateClientRedirectUris]"
    if urlsplit(client.get("initiate_login_uri", "https://")).scheme != "https":
        yield "initiate_login_uri is not https [ValidateInitiateLoginUri]"


def public_keys(jwks: Json) -> Iterator[str]:
    """The client's keys, before a test can start."""
    kids = [key.get("kid") for key in jwks["keys"]]
    if len(set(kids)) != len(kids):
        yield "two keys of one kid [CheckDistinctKeyIdValueInClientJWKs]"
    for key in jwks["keys"]:
        if {"d", "p", "q", "dp", "dq", "qi", "oth", "k"} & key.keys():
            yield "a private or symmetric key [EnsureJwksHasNoPrivateOrSymmetricKeyMaterial]"
        number = key.get("n") or key.get("x", "")
        if key["kty"] not in LEAST_KEY_BITS or len(number) * 6 < LEAST_KEY_BITS[key["kty"]]:
            yield "a key that is too short, or of another kind [FAPI2FinalEnsureMinimumClientKeyLength, WarnOnUnusableJwksKeys]"


def scope_of(parameters: Pairs, *, configured: str) -> Iterator[str]:
    """FAPI's plan compares the scope with the one that the tester wrote down."""
    if dict(parameters).get("scope") != configured:
        yield "another scope than configured [EnsureRequestedScopeIsEqualToConfiguredScope]"


def plain_request(parameters: Pairs) -> Iterator[str]:
    """A request that is neither an object nor a reference."""
    if {"request", "request_uri"} & {name for name, _ in parameters}:
        yield "a request object [EnsureRequestDoesNotContainRequestObject]"


def referring_request(parameters: Pairs, *, client: Json, references: set[str]) -> Iterator[str]:
    """All that the browser may carry after a pushed request."""
    names = sorted(name for name, _ in parameters)
    if names != ["client_id", "request_uri"]:
        yield f"carries {names} [EnsureAuthorizationRequestContainsOnlyExpectedParamsWhenUsingPAR]"
    if dict(parameters).get("client_id") != client["client_id"]:
        yield "client_id is not ours [EnsureMatchingClientId]"
    if dict(parameters).get("request_uri") not in references:
        yield "request_uri is unknown, or was used before [CreateEffectiveAuthorizationPARRequestParameters]"


def request_object(parameters: Pairs, *, client: Json, issuer: str, keys: Json, now: float) -> tuple[Pairs, list[str]]:
    """What a signed request object asks for, and what is wrong with it."""
    outside = dict(parameters)
    header, claims, wrong = _verified(outside.get("request", ""), keys=keys)
    if header.get("alg") in {None, "none"}:
        wrong.append("the request object is not signed [ValidateRequestObjectSignature]")
    if "openid" not in outside.get("scope", "").split():
        wrong.append("no openid outside the request object [EnsureAuthorizationHttpRequestContainsOpenIDScope]")
    for name in ("response_type", "client_id"):
        if name not in outside or outside[name] != claims.get(name, outside[name]):
            wrong.append(f"{name} differs outside [EnsureRequiredAuthorizationRequestParametersMatchRequestObject]")
    if claims.get("scope") != outside.get("scope"):
        wrong.append("scope differs outside [EnsureOptionalAuthorizationRequestParametersMatchRequestObject]")
    if claims.get("iss") != client["client_id"]:
        wrong.append("iss is not ours [ValidateRequestObjectIss]")
    if claims.get("aud") != issuer:
        wrong.append("aud is not the issuer [ValidateRequestObjectAud]")
    if not isinstance(claims.get("iat"), int) or abs(claims["iat"] - now) > SKEW_SECONDS:
        wrong.append("iat [ValidateRequestObjectIat]")
    if not isinstance(claims.get("exp"), int) or not now < claims["exp"] <= now + 3600:
        wrong.append("exp [OIDCCValidateRequestObjectExp]")
    if {"request", "request_uri", "sub"} & claims.keys():
        wrong.append("holds what must stand outside [EnsureRequestObjectDoesNotContainRequestOrRequestUri]")
    ours = {"iss", "aud", "iat", "exp", "nbf", "jti"}
    return [(name, str(value)) for name, value in claims.items() if name not in ours], wrong


def client_secret(method: str, *, authorization: str | None, form: Mapping[str, str], client: Json) -> Iterator[str]:
    """The credential of `client_secret_basic` or `client_secret_post`, in its one place."""
    expected = (client["client_id"], client["client_secret"])
    if form.get("client_id", expected[0]) != expected[0]:
        yield "client_id is not ours [CheckClientIdMatchesOnTokenRequestIfPresent]"
    if (authorization is not None) is not (method == "client_secret_basic"):
        yield f"an Authorization field at {method}, or none"
    if ("client_secret" in form) is not (method == "client_secret_post") or "client_assertion" in form:
        yield f"another credential beside that of {method} [EnsureTokenEndpointRequestDoesNotContain...]"
    found = (form.get("client_id"), form.get("client_secret"))
    if method == "client_secret_basic":
        pair = base64.b64decode((authorization or "").removeprefix("Basic ")).decode().partition(":")
        found = (unquote_plus(pair[0]), unquote_plus(pair[2]))
    if found != expected:
        yield "id or secret is wrong [ValidateClientIdAndSecret]"


def no_credential(authorization: str | None, *, form: Mapping[str, str], client: Json) -> Iterator[str]:
    """A certificate is the credential, and the form says whose [ValidateClientAuthenticationWithMTLS]."""
    if form.get("client_id") != client["client_id"]:
        yield "client_id is not there, or not ours [EnsureClientIdIsPresentOnTokenRequest]"
    if authorization is not None or {"client_assertion", "client_secret"} & form.keys():
        yield "another credential beside the certificate [EnsureNoClientAssertionSentToTokenEndpoint]"


def client_assertion(
    form: Mapping[str, str], *, client: Json, issuer: str, keys: Json, used: set[str], now: float, fapi: bool
) -> Iterator[str]:
    """An assertion by our key (`private_key_jwt`), or by our secret where `keys` has none."""
    if form.get("client_id", client["client_id"]) != client["client_id"]:
        yield "client_id is not ours [CheckClientIdMatchesOnTokenRequestIfPresent]"
    if form.get("client_assertion_type") != ASSERTION_TYPE:
        yield "client_assertion_type [EnsureClientAssertionTypeIsJwt]"
    if "client_secret" in form:
        yield "a secret beside an assertion"
    assertion = form.get("client_assertion", "")
    header, claims, wrong = (
        _verified(assertion, keys=keys) if keys["keys"] else _verified_by_secret(assertion, client["client_secret"])
    )
    yield from wrong
    if keys["keys"] and header.get("kid") not in {key.get("kid") for key in keys["keys"]} - {None}:
        yield "no kid of a registered key in the assertion's header [ValidateClientAssertionSignature]"
    if fapi and header.get("alg") not in FAPI_ALGORITHMS:
        yield "the assertion's algorithm is none of FAPI's [FAPI2-SP-FINAL-5.4]"
    if (claims.get("iss"), claims.get("sub")) != (client["client_id"], client["client_id"]):
        yield "iss and sub are not our id [ValidateClientAssertionClaims]"
    if claims.get("aud") != issuer:
        yield "aud is not the issuer as a string [ValidateClientAssertionAudClaimIsIssuerAsString]"
    if not claims.get("jti") or claims["jti"] in used:
        yield "no jti, or a used one [ValidateClientAssertionClaims, CheckForClientAssertionJtiReuse]"
    used.add(claims.get("jti", ""))
    times = [claims.get(name) for name in ("iat", "exp")]
    if not all(isinstance(time, int) for time in times):
        yield "iat and exp are not whole numbers [ValidateClientAssertionClaims]"
    elif not claims["iat"] - SKEW_SECONDS <= now < claims["exp"] <= now + LONGEST_ASSERTION_SECONDS:
        yield "iat or exp is too far off [ValidateClientAssertionClaims]"
    if claims.get("nbf", now) > now + SKEW_SECONDS:
        yield "nbf lies in the future [ValidateClientAssertionClaims]"


def code_exchange(form: Mapping[str, str], *, asked: Mapping[str, str], used: set[str]) -> Iterator[str]:
    """The code's redemption, compared with the request that it answers."""
    if form.get("redirect_uri") != asked["redirect_uri"]:
        yield "redirect_uri differs [ValidateRedirectUriForTokenEndpointRequest]"
    verifier = form.get("code_verifier", "")
    if verifier in used:
        yield "code_verifier was used before [EnsurePkceCodeVerifierNotUsed]"
    used.add(verifier)
    if _sha256(verifier) != asked["code_challenge"]:
        yield "code_verifier does not match [ValidateCodeVerifierWithS256]"
    if entropy_bits(verifier) < LEAST_VERIFIER_BITS:
        yield "code_verifier can be guessed [EnsureMinimumPkceCodeVerifierEntropy]"
    if not 43 <= len(verifier) <= 128:
        yield "code_verifier is too short or too long [EnsureMinimumPkceCodeVerifierLength]"


def refresh_request(form: Mapping[str, str], *, granted: str, refresh_token: str) -> Iterator[str]:
    """A refresh asks for no more than was granted, with the newest refresh token."""
    if not set(form.get("scope", granted).split()) <= set(granted.split()):
        yield "a wider scope [EnsureScopeInRefreshRequestContainsNoMoreThanOriginallyGranted]"
    if form.get("refresh_token") != refresh_token:
        yield "another refresh token [ValidateRefreshToken]"


def dpop_proof(
    proof: str | None,
    *,
    method: str,
    url: str,
    now: float,
    access_token: str | None,
    used: set[str],
    bound_to: str | None,
) -> Iterator[str]:
    """A proof for one request; `bound_to` is the thumbprint that it must be by, None: any."""
    if proof is None:
        yield "no DPoP field [ExtractDpopProofFromHeader]"
        return
    try:
        claims, thumbprint = read_proof(proof)
    except Refused:
        yield "the proof cannot be verified [ValidateDpopProofSignature]"
        return
    if read_header(proof)["alg"] not in FAPI_ALGORITHMS:
        yield "the proof's algorithm is none of FAPI's [AbstractValidateDpopProof]"
    if (claims.get("htm"), claims.get("htu")) != (method, url):
        yield f"htm or htu: {claims.get('htm')} {claims.get('htu')}, not {method} {url} [AbstractValidateDpopProof]"
    if not isinstance(claims.get("iat"), int) or abs(claims["iat"] - now) > SKEW_SECONDS:
        yield "iat [ValidateDpopProofIat]"
    if claims.get("nbf", now) > now + SKEW_SECONDS or claims.get("exp", now) < now - SKEW_SECONDS:
        yield "nbf or exp [ValidateDpopProofNbf, ValidateDpopProofExp]"
    if not claims.get("jti") or claims["jti"] in used:
        yield "no jti, or a used one [EnsureDpopProofJtiNotUsed]"
    used.add(claims.get("jti", ""))
    expected = None if access_token is None else _sha256(access_token)
    if claims.get("ath") != expected:
        yield "ath [AbstractValidateDpopProof]"
    if bound_to not in {None, thumbprint}:
        yield "another key than the code or token is bound to [ValidateAuthorizationCodeDpopBindingKey]"


def end_session_request(parameters: Pairs, *, client: Json, id_tokens: set[str]) -> Iterator[str]:
    """RP-initiated logout."""
    asked = dict(parameters)
    if len(asked) != len(parameters):
        yield "a parameter is there twice"
    if asked.get("id_token_hint") not in id_tokens:
        yield "id_token_hint is none of this test's [ValidateIdTokenHintInRPInitiatedLogoutRequest]"
    if asked.get("post_logout_redirect_uri") != client["post_logout_redirect_uri"]:
        yield "post_logout_redirect_uri is not the registered one [ValidatePostLogoutRedirectUri]"
    if asked.get("client_id", client["client_id"]) != client["client_id"]:
        yield "client_id is not ours"
    if not asked.get("state"):
        yield "no state, so the modules about it are skipped [EnsureEndSessionEndpointRequestContainsStateParameter]"


def entropy_bits(text: str) -> float:
    """Shannon's entropy of the characters, times their number [AbstractEnsureMinimumEntropy]."""
    shares = [number / len(text) for number in Counter(text).values()]
    return -sum(share * math.log2(share) for share in shares) * len(text)


def _verified(token: str, *, keys: Json) -> tuple[Json, Json, list[str]]:
    try:
        header = read_header(token)
        with warnings.catch_warnings(action="ignore"):  # of EdDSA, which has another name since RFC 9864
            decoded = jwt.decode(token, KeySet.import_key_set(keys), algorithms=[*FAPI_ALGORITHMS, "RS256"])
        return header, dict(decoded.claims), []
    except Exception as error:  # noqa: BLE001 (whatever is wrong with it is the answer)
        return {}, {}, [f"a JWT of ours cannot be verified: {error!r} [ValidateClientAssertionSignature]"]


def _verified_by_secret(token: str, secret: str) -> tuple[Json, Json, list[str]]:
    signing_input, _, signature = token.rpartition(".")
    expected = base64.urlsafe_b64encode(hmac.digest(secret.encode(), signing_input.encode(), "sha256")).rstrip(b"=")
    wrong = "a JWT of ours is not by our secret [ValidateClientAssertionSignatureWithHMACAlgorithm]"
    payload = signing_input.partition(".")[2]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)) or b"{}")
    return {"alg": "HS256"}, claims, [] if expected.decode() == signature else [wrong]


def _can(read: Callable[[str], object], text: str) -> bool:
    try:
        read(text)
    except ValueError:
        return False
    return True


def _sha256(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
