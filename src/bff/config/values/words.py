"""Settings that are one word out of a list, and names with an alphabet, because they become part of a URL or a request."""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum

from bff.config.problems import suggestion
from bff.config.spelling import SpellingError


class Method(StrEnum):
    """A method that may be forwarded: RFC 9110 section 9, RFC 5789, QUERY, RFC 4918 (WebDAV), RFC 3253, RFC 5323."""

    GET = "GET"
    HEAD = "HEAD"
    POST = "POST"
    PUT = "PUT"
    PATCH = "PATCH"
    DELETE = "DELETE"
    OPTIONS = "OPTIONS"
    QUERY = "QUERY"
    # Of WebDAV: only where a route lists them.
    PROPFIND = "PROPFIND"
    PROPPATCH = "PROPPATCH"
    MKCOL = "MKCOL"
    COPY = "COPY"
    MOVE = "MOVE"
    LOCK = "LOCK"
    UNLOCK = "UNLOCK"
    REPORT = "REPORT"
    SEARCH = "SEARCH"


MAX_TITLE = 80  # characters
METHODS = tuple(Method)
DEFAULT_METHODS = METHODS[: METHODS.index(Method.PROPFIND)]
FILE_METHODS = (Method.GET, Method.HEAD)
_REFUSED_METHODS = {
    "TRACE": "TRACE is never forwarded: it echoes the access token",
    "CONNECT": "CONNECT is never forwarded: a gateway opens no tunnels",
}

SIGNING_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_REFUSED_ALGORITHMS = {
    "none": "an unsigned ID token proves nothing",
    "HS256": "symmetric signatures are refused: every key that checks them can also make them",
    "HS384": "symmetric signatures are refused: every key that checks them can also make them",
    "HS512": "symmetric signatures are refused: every key that checks them can also make them",
}

# Parameters of an authorization request that the gateway sets itself, or that have a key of their own.
_OUR_PARAMETERS = frozenset(
    {
        *("client_id", "redirect_uri", "scope", "state", "nonce", "response_type", "response_mode"),
        *("code_challenge", "code_challenge_method", "resource", "request", "request_uri", "max_age", "acr_values"),
        *("dpop_jkt", "client_secret", "client_assertion", "client_assertion_type"),
    }
)

_OUR_COOKIES = ("login", "rounds", "out", "https")
# Parameters of `/login` itself, which it reads and never passes on.
_LOGIN_PARAMETERS = frozenset({"provider", "return_to", "step_up", "iss", "target_link_uri", "fragment"})
ANY = "any"
LONGEST_LOGIN_VALUE = 256
RETURN_TO = "{return_to}"  # what `oauth/logout.py` fills in

_TENANT_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MEMBERS = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_NAME_OF_OURS = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_PROVIDER_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_SCOPE = re.compile(r"[!#-\[\]-~]+( [!#-\[\]-~]+)*")  # RFC 6749 appendix A.4
MAX_ACR_BYTES = 190  # of `acr_values` together: they travel in `state` (`oauth/step_up.py`)
_ACR = re.compile(r"[!#-\[\]-~]+")
_TOKEN_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!#-\[\]-~]+")  # RFC 3986 section 4.3: a URI has a scheme
_PLACEHOLDER = re.compile(r"\{[A-Za-z_.]*\}")
_PARAMETER_NAME = re.compile(r"[A-Za-z0-9._~-]+")


def log_user(text: str) -> str:
    """Who a request is by, in the log: `none`, `subject`, or the name of a claim.

    Raises:
        SpellingError: it is no name.
    """
    if not _is_claim_name(text):
        raise SpellingError("is no name of a claim: none, subject, or for example email")
    return text


def claim_name(text: str) -> str:
    """The name of a claim, which may be a URL: `groups`, `https://example.com/roles`.

    Raises:
        SpellingError: no provider has a claim of this name.
    """
    if not _is_claim_name(text):
        raise SpellingError("is no name of a claim: 1 to 128 printable characters without spaces around them")
    return text


def _is_claim_name(text: str) -> bool:
    return text.isprintable() and 0 < len(text) <= 128 and text == text.strip()


def word(text: str, *, known: Iterable[str], refused: Mapping[str, str] | None = None) -> str:
    """`text`, if it is one of the known words; `refused` has the reasons for words that are often tried.

    Raises:
        SpellingError: it is not.
    """
    known = tuple(known)
    if text in known:
        return text
    if refused and text in refused:
        raise SpellingError(refused[text])
    raise SpellingError(f"is not one of {', '.join(known)}{suggestion(text, known)}")


_OTHER_BOOLEANS = dict.fromkeys(("yes", "y", "on", "1"), "true") | dict.fromkeys(("no", "n", "off", "0"), "false")


def boolean(text: str) -> bool:
    """YAML 1.2: true and false, nothing else.

    Raises:
        SpellingError: `yes`, `on`, `1` and the like, which older YAML and other programs take.
    """
    meant = _OTHER_BOOLEANS.get(text.lower())
    if meant is not None:
        raise SpellingError(f"is not one of true, false: write `{meant}`")
    return word(text.lower() if text in {"True", "TRUE", "False", "FALSE"} else text, known=("true", "false")) == "true"


def method(text: str) -> Method:
    """A method that may be forwarded, upper case (RFC 9110 section 9.1: methods are case-sensitive)."""
    return Method(word(text, known=METHODS, refused=_REFUSED_METHODS))


def signing_algorithm(text: str) -> str:
    """An asymmetric JWS algorithm."""
    return word(text, known=SIGNING_ALGORITHMS, refused=_REFUSED_ALGORITHMS)


def site_title(text: str) -> str:
    """What people call the app."""
    if len(text) > MAX_TITLE or not text.isprintable():
        raise SpellingError(f"must be at most {MAX_TITLE} printable characters on one line")
    return text


def provider_name(text: str) -> str:
    """A provider's name: it stands in a redirect URI, registered character by character."""
    if not _PROVIDER_NAME.fullmatch(text):
        raise SpellingError("is no provider name: lower-case letters, digits and hyphens, because it stands in a URL")
    return text


def scope(text: str) -> str:
    """Scope words with single spaces between them (RFC 6749 section 3.3)."""
    if not _SCOPE.fullmatch(text):
        raise SpellingError("is no scope: words with one space between them")
    return text


def acr(text: str) -> str:
    """One authentication context class, e.g. `urn:example:mfa`: `acr_values` is a list of them with spaces between."""
    if not _ACR.fullmatch(text):
        raise SpellingError("is no acr value: one word of visible ASCII")
    return text


def token_type(text: str) -> str:
    """A token type identifier (RFC 8693 section 3): a URI; `access_token` and `jwt` stand for theirs."""
    if text in {"access_token", "jwt"}:
        return f"urn:ietf:params:oauth:token-type:{text}"
    if not _TOKEN_TYPE.fullmatch(text):
        raise SpellingError(
            "is no token type: access_token, jwt, or a URI such as urn:ietf:params:oauth:token-type:jwt"
        )
    return text


def authorization_parameter(text: str) -> str:
    """A parameter that may be added to the authorization request: never one of ours."""
    if text.lower() in _OUR_PARAMETERS:  # servers of ASP.NET compare names without regard to case
        raise SpellingError("is set by the gateway itself and cannot be given here")
    if not _PARAMETER_NAME.fullmatch(text):
        raise SpellingError("is no parameter name: letters, digits and . _ ~ -")
    return text


def login_parameter(text: str) -> str:
    """A parameter of `/login` that may be passed on to the provider: never one of ours."""
    if text.lower() in _LOGIN_PARAMETERS:
        raise SpellingError("is a parameter that /login reads itself and never passes on")
    return authorization_parameter(text)


def login_value(text: str) -> str:
    """One value that a parameter of `login_params` may have."""
    if text == ANY:
        raise SpellingError(
            "stands among other values: write `any` alone, without brackets, to let every value through"
        )
    if len(text) > LONGEST_LOGIN_VALUE:
        raise SpellingError(f"is longer than {LONGEST_LOGIN_VALUE} characters, the most that /login passes on")
    return text


def end_session_parameter(text: str) -> str:
    """A parameter of the end-session request; those that the gateway says can be replaced or left out."""
    if not _PARAMETER_NAME.fullmatch(text):
        raise SpellingError("is no parameter name: letters, digits and . _ ~ -")
    return text


def end_session_value(text: str) -> str:
    """The value of such a parameter; `{return_to}` in it stands for the address to come back to, and nothing else for anything."""
    for placeholder in _PLACEHOLDER.findall(text):
        if placeholder != RETURN_TO:
            raise SpellingError(f"{placeholder} stands for nothing here: {RETURN_TO} is the address to come back to")
    return text


def tenant_id(text: str) -> str:
    """The id of a directory at Microsoft, as the claim `tid` has it."""
    if not _TENANT_ID.fullmatch(text):
        raise SpellingError("is no tenant id: a GUID in lower case, as in the token's `tid` (a domain name is none)")
    return text


def member_path(text: str) -> str:
    """Members of a JSON object, the outer one first: `data.user`."""
    if not _MEMBERS.fullmatch(text):
        raise SpellingError("is no path of members: names with a dot between them, such as data.user")
    return text


def namespace(text: str) -> str:
    """The beginning of our names in the store."""
    if _NAME_OF_OURS.fullmatch(text) is None:
        raise SpellingError("is made of at most 32 lower-case letters, digits and hyphens, a letter or digit first")
    return text


def cookie_suffix(text: str) -> str:
    """The end of our cookies' names. It cannot begin like another cookie of ours: one gateway's would be another's."""
    if text.partition("-")[0] in _OUR_COOKIES:
        raise SpellingError(f"cannot begin with {', '.join(_OUR_COOKIES)}: these are other cookies of the gateway")
    return namespace(text)
