"""What becomes of a field because of its name, and of our cookies inside the fields that carry cookies.

A verdict needs the name alone, so that a browser's eleven fields cost eleven dictionary look-ups. Names are compared
without case and with `_` read as `-`, since upstreams that speak CGI or WSGI cannot tell them apart; what is spelled
with `_` is dropped. A name that is not listed passes (RFC 9110 section 5.1), unless it begins as one of ours does.
"""

from collections.abc import Iterable, Set
from enum import Enum, auto
from functools import lru_cache

from bff.errors import MalformedRequest
from bff.request_head import Field
from bff.request_id import NAME as REQUEST_ID

SESSION_COOKIE = "__Host-Http-bff"
LOGIN_COOKIE = "__Host-Http-bff-login"
ROUNDS_COOKIE = "__Host-Http-bff-rounds"
SIGNED_OUT_COOKIE = "__Host-Http-bff-out"
SENT_TO_HTTPS_COOKIE = "__Host-Http-bff-https"


PLAIN_CONNECTIONS: tuple[list[bytes], ...] = ([], [b"keep-alive"], [b"close"])  # nearly all; they name no field


class Verdict(Enum):
    """What the rewrite does with a field from the browser."""

    PASS = auto()
    DROP = auto()  # hop-by-hop, ours to say, or ours to answer
    CONNECTION = auto()  # names further fields to drop
    COOKIE = auto()  # our cookies are taken out
    LENGTH = auto()  # framing
    CODING = auto()  # framing
    VIA = auto()
    MAX_FORWARDS = auto()
    FORWARDED = auto()  # believed from a trusted peer only
    FORWARDED_FOR = auto()  # the same
    SITE_DATA = auto()  # responses only: could take our cookies away


# RFC 9110 section 7.6.1, and `Trailer`: we forward no trailers. `HTTP2-Settings` belongs to `Upgrade: h2c`.
HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-authorization",
    }
)
# Fields from which upstreams and the proxies in front of them are known to read who asks, from where, and for what. Only the gateway
# and the operator may set them: a browser that could would be anyone it likes. `request_headers.pass` names exceptions.
OURS_TO_SAY = frozenset(
    (
        b"authorization dpop authenticated-user auth-user auth-groups client-ip client-verify destination fastly-client-ip "
        b"front-end-https "
        b"gap-auth gap-signature original-uri proxy "  # `Proxy` becomes HTTP_PROXY in CGI (CVE-2016-5385)
        b"client-cert client-cert-chain "  # RFC 9440
        b"true-client-ip username userid user user-id user-name user-email user-groups user-role user-roles "
        b"x-admin x-api-user x-access-token x-id-token x-anonymous-consumer "
        b"x-client-dn x-client-ip x-cluster-client-ip x-email x-fullname x-group x-groups x-host x-http-host-override "
        b"x-http-method x-http-method-override x-method-override x-identity x-is-admin x-jwt x-jwt-assertion x-jwt-payload "
        b"x-login x-on-behalf-of x-original-forwarded-for x-original-host x-original-method "
        b"x-original-uri x-original-url x-principal x-real-ip x-rewrite-url x-role x-roles x-scope-orgid x-scopes x-ssl x-sub "
        b"x-subject x-token-subject x-uid x-url-scheme x-user x-userid x-username x-userinfo "
        b"eppn es-security-runas-user memberof smuser teleport-jwt-assertion x-claims x-current-user x-effective-user "
        b"x-email-address x-identity-id x-identity-status x-logged-in-user x-original-authorization x-peer-cert "
        b"x-preferred-username x-principal-id x-principal-name x-rh-identity x-run-as x-user-claims x-user-info "
        b"x-client-cn x-client-s-dn x-client-subject x-client-user x-client-verify "
        # Read in the place of `Authorization`, or set from it, by Google's Cloud Run, API Gateway and Endpoints.
        b"x-serverless-authorization x-apigateway-api-userinfo x-endpoint-api-userinfo "
        b"base-url disguised-host forwarded-for forwarded-proto proxy-client-ip x-backend-host x-custom-ip-authorization "
        b"x-forward-for x-forwarded x-forwarder-for x-http-destinationurl x-http-path-override x-matched-path x-ms-original-url "
        b"x-original-remote-addr x-originating-ip x-override-url x-scheme x-site-deployment-id x-url-rewrite x-waws-unencoded-url "
        b"x-middleware-subrequest "  # Next.js passes its middleware by for it (CVE-2025-29927)
        b"x-sendfile-type "  # with `X-Accel-Mapping` it has Rack name files to the proxy (CVE-2025-61780)
    ).split()
)
OURS_BY_PREFIX = tuple(
    (
        b"x-forwarded- x-bff- "
        b"cf-access- cf-connecting- cf-ip client-cert- impersonate- oidc- oidc-claim- remote- saml- shib- ssl- tailscale- "
        b"x-amz-cf- x-amzn-oidc- x-appservice- x-arr- x-auth-request- x-auth-user x-authenticated- x-authentik- x-authelia- "
        b"x-authz- x-azure- x-b3-user x-cert- x-client-cert x-consumer- x-credential- x-envoy- x-goog- x-grafana-user x-hasura- "
        b"x-iap- x-istio- x-jwt- x-kong- x-krb- x-ldap- x-ms-client- x-ms-token- x-nginx- x-oauth- x-oidc- x-okta- x-openid- "
        b"x-pomerium- x-proxy- x-proxyuser x-remote- x-saml- x-shib- x-spiffe- x-spire- x-ssl- x-teleport- x-tls- "
        b"x-token-claim x-trusted- x-tyk- x-user-email x-user-group x-user-id x-user-name x-user-role x-user-sub x-verified- "
        b"x-vouch- x-webauth- x-zitadel- "
        b"akamai- cas- cf-client- cf-pseudo- cf-visitor dapr- iv-creds iv-group iv-remote iv-user l5d- oam- sm-serversession sm-univ "
        b"sm-user wl-proxy- x-3scale- x-accel- x-akamai- x-apisix- x-appengine- x-auth-claim x-auth-email x-auth-group x-auth-name "
        b"x-auth-role x-auth-subject x-certificate- x-impersonate- x-invoke- x-kratos- x-mtls- x-amzn-mtls- x-sso- x-token-user- "
    ).split()
)

# RFC 9110 section 10.1.1: the server in front of us has answered it.
_ANSWERED_HERE = frozenset({b"expect", b"host"})
# Parts of an upgrade: websocket.py writes its own.
_HANDSHAKE = frozenset(
    {b"sec-websocket-accept", b"sec-websocket-extensions", b"sec-websocket-key", b"sec-websocket-protocol"}
    | {b"sec-websocket-version"}
)

# What browsers send most; asked first, since membership in a set costs half a look-up in a dictionary.
PASSED = frozenset(
    (
        b"accept accept-charset accept-encoding accept-language access-control-request-headers "
        b"access-control-request-method baggage cache-control content-disposition content-encoding "
        b"content-language content-location content-range content-type date dnt from if-match "
        b"if-modified-since if-none-match if-range if-unmodified-since last-event-id origin pragma prefer priority "
        b"purpose range referer save-data sec-ch-ua sec-ch-ua-arch sec-ch-ua-mobile sec-ch-ua-model "
        b"sec-ch-ua-platform sec-ch-ua-platform-version sec-fetch-dest sec-fetch-mode sec-fetch-site "
        b"sec-fetch-user sec-gpc sec-purpose traceparent tracestate upgrade-insecure-requests user-agent x-csrf "
        b"x-requested-with "
    ).split()
)

VERDICTS: dict[bytes, Verdict] = {
    **dict.fromkeys(PASSED, Verdict.PASS),
    **dict.fromkeys(HOP_BY_HOP | OURS_TO_SAY | _ANSWERED_HERE | _HANDSHAKE, Verdict.DROP),
    REQUEST_ID: Verdict.DROP,  # ours is written instead
    b"connection": Verdict.CONNECTION,
    b"content-length": Verdict.LENGTH,
    b"transfer-encoding": Verdict.CODING,
    b"cookie": Verdict.COOKIE,
    b"via": Verdict.VIA,
    b"max-forwards": Verdict.MAX_FORWARDS,
    b"forwarded": Verdict.FORWARDED,
    b"x-forwarded-for": Verdict.FORWARDED_FOR,
}

# What an API could command the proxies in front of us and the whole site with: its answers are for one route.
# `response_headers.pass` names exceptions. Alt-Svc speaks of the upstream's own origin, not of the one that browsers see (RFC 7838).
# A device bound session holds requests of the whole site back until an address of the API's choice has answered
# (https://w3c.github.io/webappsec-dbsc/); Set-Login says who is signed in at the site (https://w3c-fedid.github.io/login-status/).
SITE_COMMANDS = frozenset(
    (
        b"alt-svc nel public-key-pins public-key-pins-report-only report-to reporting-endpoints service-worker-allowed "
        b"strict-transport-security x-lighttpd-send-file x-lighttpd-send-tempfile x-litespeed-location x-reproxy-url x-sendfile "
        b"x-sendfile2 x-send-file "
        b"sec-session-challenge sec-session-registration secure-session-challenge secure-session-registration set-login "
    ).split()
)
SITE_COMMANDS_BY_PREFIX = b"x-accel-"  # nginx: a redirect to an internal location reads any file there
_HARMLESS = b"x-accel-buffering"  # it only tunes buffering

# What is not listed passes.
RESPONSE_VERDICTS: dict[bytes, Verdict] = {
    **dict.fromkeys(HOP_BY_HOP | SITE_COMMANDS, Verdict.DROP),
    REQUEST_ID: Verdict.DROP,  # an API that repeats it, or has its own: the browser gets ours
    b"connection": Verdict.CONNECTION,
    b"content-length": Verdict.LENGTH,
    b"set-cookie": Verdict.COOKIE,
    b"clear-site-data": Verdict.SITE_DATA,
}

_TOKEN = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
_RESERVED = b"__host-"
_OUR_COOKIE = SESSION_COOKIE.lower().encode("ascii")


def judge(name: bytes) -> Verdict:
    """The verdict on any name, in any case.

    Raises:
        MalformedRequest: not a field name (RFC 9110 section 5.1).
    """
    name = name.lower()
    if not name or name.translate(None, _TOKEN):
        raise MalformedRequest("A header field has an impossible name.")
    if b"_" in name:
        return Verdict.DROP
    return VERDICTS.get(name, Verdict.DROP if name.startswith(OURS_BY_PREFIX) else Verdict.PASS)


def commands_site(name: bytes) -> bool:
    """Whether a response field, in lower case, is for the proxies in front of us by the beginning of its name."""
    return name.startswith(SITE_COMMANDS_BY_PREFIX) and name != _HARMLESS


def is_token(text: str) -> bool:
    """Whether a text is a token (RFC 9110 section 5.6.2)."""
    return text.isascii() and text != "" and not text.lower().encode("ascii").translate(None, _TOKEN)


def without(fields: list[Field], names: Set[bytes]) -> list[Field]:
    """Without the fields of these names, for example those that `Connection` names."""
    return [field for field in fields if field[0] not in names]


def connection_options(values: Iterable[bytes]) -> frozenset[bytes]:
    """The lower-case names that `Connection` fields list (RFC 9110 section 7.6.1)."""
    return frozenset(map(bytes.lower, list_elements(values)))


def list_elements(values: Iterable[bytes]) -> list[bytes]:
    """The elements of fields that are a list, whose grammar has no quoted comma.

    RFC 9110 section 5.6.1.2: "A recipient MUST parse and ignore a reasonable number of empty list elements"
    (https://www.rfc-editor.org/rfc/rfc9110#section-5.6.1.2).
    """
    elements = (element.strip(b" \t") for value in values for element in value.split(b","))
    return [element for element in elements if element]


@lru_cache(maxsize=256)  # pages call in bursts: 0.1 us, not 1. A field that is kept opens nothing after sign-out
def strip_cookies(value: bytes) -> bytes | None:
    """A `Cookie` value without our cookies, the others byte for byte; None when nothing is left.

    Case-blind, and blind to quotes: every `;` ends a pair, as it does for browsers (RFC 6265 section 5.4).
    """
    if _RESERVED not in value.lower():
        return value
    kept = [pair for pair in value.split(b";") if not _is_ours(pair.partition(b"=")[0].strip().lower())]
    return b";".join(kept).strip(b" \t;") or None


def _is_ours(name: bytes) -> bool:
    """Whether a gateway sets this cookie: the session's, the login's, and both with any suffix, of other gateways on this host too."""
    return name == _OUR_COOKIE or name.startswith(_OUR_COOKIE + b"-")


def may_set_cookie(value: bytes) -> bool:
    """Whether an upstream may send this `Set-Cookie`: not for our names, nor any `__Host-` name, which all are ours.

    Leading `=` is skipped: browsers take `=__Host-x=1` for a nameless cookie and send it back as `__Host-x=1`.
    """
    return not value.lstrip(b"\t =").lower().startswith(_RESERVED)


def clears_cookies(value: bytes) -> bool:
    """Whether a `Clear-Site-Data` value would take our cookies away, too."""
    return any(kind in value.lower() for kind in (b"cookies", b"*"))
