"""`GET /client.js`: the browser client, an ES module of no other module. Public, kept by browsers and asked for again by `ETag`.

The source is `clients/javascript/client.js`; `make clients` copies it here for the wheel. Its `BASE_PATH` is written on the way out,
and for pages of `allowed_origins` its `ORIGIN`: what they import calls this gateway, and not their own server.
"""

import gzip
import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from bff.request_head import Field, RequestHead
from bff.web import content_coding
from bff.web.answers import OwnAnswer
from bff.web.fields import app_fields
from bff.web.gateway import Gateway

_BASE_PATH = 'const BASE_PATH = "/bff";'  # each in the source, once
_ORIGIN = 'const ORIGIN = "";'


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientScript:
    """The module for one base path, as it is and compressed."""

    plain: bytes
    compressed: bytes
    tag: str


@lru_cache(maxsize=4)
def client_script(base_path: str, *, origin: str = "") -> ClientScript:
    """The module that calls the endpoints below `base_path`, of `origin` if it is not the page's own."""
    source = files("bff.web").joinpath("client.js").read_text(encoding="utf-8")
    source = source.replace(_BASE_PATH, f"const BASE_PATH = {json.dumps(base_path)};")
    plain = source.replace(_ORIGIN, f"const ORIGIN = {json.dumps(origin)};").encode()
    return ClientScript(
        plain=plain, compressed=gzip.compress(plain, mtime=0), tag=hashlib.sha256(plain).hexdigest()[:24]
    )


async def serve_client_script(gateway: Gateway, head: RequestHead) -> OwnAnswer:
    """`200` with the module, `304` where the browser has it. It needs no session and no `X-CSRF`: it holds nothing of a user."""
    site = gateway.site
    elsewhere = head.named.get(b"origin") in site.allowed_origins
    script = client_script(site.base_path, origin=site.origin if elsewhere else "")
    compress = "gzip" in content_coding.preferred(head.named.get(b"accept-encoding"))
    body, tag = (script.compressed, f'"{script.tag}-gzip"') if compress else (script.plain, f'"{script.tag}"')
    fields = _fields(gateway, tag.encode("ascii"), elsewhere=elsewhere)
    tags = [known.strip().removeprefix(b"W/") for known in head.named.get(b"if-none-match", b"").split(b",")]
    if tag.encode("ascii") in tags or tags == [b"*"]:
        return OwnAnswer(status=304, fields=fields, body=b"")
    fields += [(b"content-type", b"text/javascript; charset=utf-8"), (b"content-length", b"%d" % len(body))]
    if compress:
        fields.append((b"content-encoding", b"gzip"))
    return OwnAnswer(status=200, fields=fields, body=body)


def _fields(gateway: Gateway, tag: bytes, *, elsewhere: bool) -> list[Field]:
    vary = b"accept-encoding, origin" if gateway.site.allowed_origins else b"accept-encoding"
    # Other sites have no use for it.
    own = (b"cross-origin-resource-policy", b"same-site" if elsewhere else b"same-origin")
    return [
        *app_fields(cache_control=b"no-cache", https=gateway.site.https),
        *((b"etag", tag), (b"vary", vary), own),
    ]
