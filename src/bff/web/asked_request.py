"""The request that a proxy asks about, made of the fields of its question: the third way to make a `RequestHead`. Pure.

    nginx     `auth_request`            /authz       X-Original-URI, X-Original-Method; the browser's Host
    forwarded Traefik, Caddy            /authz       X-Forwarded-Uri, X-Forwarded-Method, X-Forwarded-Host
    envoy     ext_authz over HTTP       /envoy/...   the question's own method, path and Host

A browser may send these fields as well, and a proxy that does not know a name passes it on. So a request that is named twice must be
the same both times, and a form of which a part is missing is refused: the browser could have sent that part. All other fields are the
browser's, as they are.

ingress-nginx says X-Original-URL and X-Original-Method. That is no form here, and a browser could add the X-Original-URI of another
request to make it one: so where X-Original-URL is there, it must lead to the same place.
"""

from enum import Enum, auto

from msgspec import Struct
from msgspec.structs import replace

from bff.errors import MalformedRequest, NoRoute
from bff.request_head import Field, RequestHead, request_head

PATH = b"/authz"
ENVOY_PREFIX = b"/envoy"

_FORMS = (
    (b"x-original-uri", b"x-original-method"),
    (b"x-forwarded-uri", b"x-forwarded-method"),
)
_OF_THE_QUESTION = frozenset({*_FORMS[0], *_FORMS[1], b"x-original-url", b"x-forwarded-host", b"host"})
_URI = bytes(code for code in range(0x21, 0x7F) if code != 0x23)  # visible ASCII, never `#`


class Asker(Enum):
    """Which kind of proxy asks; each understands other answers (`forward_auth.py`)."""

    NGINX = auto()
    FORWARDED = auto()
    ENVOY = auto()


class AskedRequest(Struct, frozen=True):
    """The request in question. Only `asked_request` makes it."""

    asker: Asker
    head: RequestHead


def asker_of(question: RequestHead) -> Asker:
    """Who asks, also where the question is no good."""
    if question.path.startswith(ENVOY_PREFIX + b"/"):
        return Asker.ENVOY
    return Asker.NGINX if _FORMS[0][0] in question.named else Asker.FORWARDED


def asked_request(question: RequestHead) -> AskedRequest:
    """The request that this question is about.

    Raises:
        NoRoute: the question is asked at another path.
        MalformedRequest: no request is named, or one in part, or two that differ.
    """
    asker = asker_of(question)
    if asker is not Asker.ENVOY and question.path != PATH:
        raise NoRoute("This listener answers proxies, at /authz and below /envoy.")
    named = [*_from_path(question, asker), *(one for form in _FORMS for one in _from_fields(question, form))]
    if not named:
        raise MalformedRequest("No request is named: the proxy has to send X-Original-URI or X-Forwarded-Uri.")
    if len({*named}) > 1:
        raise MalformedRequest("Two requests are named: X-Original-URI and X-Forwarded-Uri, or their methods, differ.")
    method, uri = named[0]
    if any(_path_and_query(url) != uri for url in _values(question, b"x-original-url")):
        raise MalformedRequest("Two requests are named: X-Original-URL leads elsewhere.")
    if uri.translate(None, _URI):
        raise MalformedRequest("The URI in question holds a character that URIs do not have.")
    path, _, query = uri.partition(b"?")
    head = request_head(method, path, query, _browsers_fields(question, asker), question.peer)
    return AskedRequest(asker, replace(head, request_id=question.request_id))


def _from_path(question: RequestHead, asker: Asker) -> list[tuple[bytes, bytes]]:
    return [(question.method, question.target[len(ENVOY_PREFIX) :])] if asker is Asker.ENVOY else []


def _from_fields(question: RequestHead, form: tuple[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    """The method and URI that a pair of fields names; nothing if neither is there."""
    uris, methods = (_values(question, name) for name in form)
    if not uris and not methods:
        return []
    if len(uris) != 1 or len(methods) != 1:
        uri, method = (name.decode("ascii") for name in form)
        raise MalformedRequest(f"The proxy has to send {uri} and {method}, each once.")
    return [(methods[0], uris[0])]


def _path_and_query(url: bytes) -> bytes:
    """Of a URL with or without its origin."""
    if url.startswith(b"/"):
        return url
    _, _, rest = url.partition(b"://")
    return b"/" + rest.partition(b"/")[2]


def _browsers_fields(question: RequestHead, asker: Asker) -> list[Field]:
    """With the host that the browser asked for: where X-Forwarded-Uri names the request, `Host` is the gateway's own."""
    hosts = _values(question, b"x-forwarded-host") if asker is Asker.FORWARDED else []
    hosts = hosts or _values(question, b"host")
    fields = [field for field in question.fields if field[0] not in _OF_THE_QUESTION]
    return [*((b"host", host) for host in hosts), *fields]


def _values(question: RequestHead, name: bytes) -> list[bytes]:
    return [value for known, value in question.fields if known == name]
