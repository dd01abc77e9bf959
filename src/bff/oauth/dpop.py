"""DPoP: each request with a bound token proves that we hold its key (RFC 9449).

A proof is a JWT over the method, the URL and a time, signed with the key of the grant, used once. A provider or an API may demand a
nonce of its own in it: it answers with one, and the request is made once more. Providers and APIs have different nonces
(section 9), so they are kept by origin.

The key of a grant is worked out from a seed of 256 random bits, which lies in the sealed session and is shown nowhere. The seed also
names the algorithm, so the key stays the same when the provider's metadata changes.
"""

import hashlib
import re
import secrets
from dataclasses import replace
from urllib.parse import urlsplit

from bff import signing_key
from bff.base64url import base64url
from bff.oauth.messages import ProviderRequest, ProviderResponse
from bff.oauth.strict_json import parse_object
from bff.signing_key import SigningKey

_NONCE = re.compile(r"[!#-\[\]-~]{1,512}")  # section 8.1: 1*NQCHAR; the bound is ours
_LONGEST_CHALLENGE = 2048  # characters that are looked at: the search takes the square of their number
# RFC 9110 section 11.2 has whitespace round the "=", which "recipients MUST parse"
_CHALLENGE = re.compile(r'\bDPoP\b.*\berror[ \t]*=[ \t]*"?use_dpop_nonce\b', re.IGNORECASE)


class Nonces:
    """The newest nonce of each origin that we call; kept for the process (section 8.2)."""

    def __init__(self) -> None:
        self._by_origin: dict[str, str] = {}

    def of(self, url: str) -> str | None:
        """The nonce that a request to this URL needs, as far as we know."""
        return self._by_origin.get(_origin(url))

    def note(self, url: str, nonce: str | None) -> bool:
        """Keep the nonce of an answer from this URL; False: it brought none that can be used."""
        if nonce is None or _NONCE.fullmatch(nonce) is None:
            return False
        self._by_origin[_origin(url)] = nonce
        return True


def algorithm(listed: tuple[str, ...]) -> str | None:
    """What proofs are signed with for a provider that lists these; None: it takes none of ours. An empty list says nothing."""
    return next((alg for alg in signing_key.SEEDED if not listed or alg in listed), None)


def seed_for(seed: str, *, listed: tuple[str, ...]) -> str:
    """The seed of a key for such a provider; for one that takes none of ours an ES256 key, which `verifiable` refuses."""
    return signing_key.seed_for(algorithm(listed) or "ES256", seed)


def verifiable(key: SigningKey, *, listed: tuple[str, ...]) -> bool:
    """Whether a provider that lists these can verify proofs by this key."""
    return not listed or key.algorithms[0] in listed


def proof(
    key: SigningKey, *, method: str, url: str, now: float, nonce: str | None, access_token: str | None = None
) -> str:
    """A proof for one request (section 4.2); with `access_token` for a request that carries it."""
    claims: dict[str, object] = {
        "jti": secrets.token_urlsafe(16),
        "htm": method,
        "htu": target(url),
        "iat": int(now),
        **({} if nonce is None else {"nonce": nonce}),
        **({} if access_token is None else {"ath": _hash(access_token)}),
    }
    return key.sign({"typ": "dpop+jwt", "alg": key.algorithms[0], "jwk": dict(key.public)}, claims)


def proved(
    request: ProviderRequest, key: SigningKey, *, now: float, nonce: str | None, access_token: str | None = None
) -> ProviderRequest:
    """The request with a proof of its own."""
    field = proof(key, method=request.method, url=request.url, now=now, nonce=nonce, access_token=access_token)
    return replace(request, headers=(*request.headers, ("DPoP", field)))


def target(url: str) -> str:
    """Section 4.2: `htu` is the URL "without query and fragment parts", spelt as the server sees it in the request.

    A port that is the scheme's own is in no `Host` field, and no path is the path `/` (RFC 3986 section 6.2.3).
    """
    return f"{_origin(url)}{urlsplit(url).path or '/'}"


def challenged_by_provider(response: ProviderResponse) -> bool:
    """Whether the answer asks for a nonce: as an authorization server (section 8), or as an API (section 9)."""
    if response.status == 401 and challenged_by_api(response.www_authenticate):
        return True
    if response.status not in {400, 401}:  # section 8 says 400; `invalid_client` taught some providers to say 401
        return False
    try:
        return parse_object(response.body).get("error") == "use_dpop_nonce"
    except ValueError:
        return False


def challenged_by_api(www_authenticate: str) -> bool:
    """Whether a WWW-Authenticate field asks for a nonce (section 9)."""
    return _CHALLENGE.search(www_authenticate[:_LONGEST_CHALLENGE]) is not None


def _hash(access_token: str) -> str:
    return base64url(hashlib.sha256(access_token.encode("ascii")).digest())


def _origin(url: str) -> str:
    parts = urlsplit(url)
    default = ":443" if parts.scheme == "https" else ":80"
    return f"{parts.scheme}://{parts.netloc.lower().removesuffix(default)}"
