"""The section `routes`: one for each upstream, and those that need no sign-in."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from bff.cli.init_files import quoted
from bff.cli.oauth2_proxy.access import require
from bff.cli.oauth2_proxy.durations import duration
from bff.cli.oauth2_proxy.section import Section, inline
from bff.cli.oauth2_proxy.settings import Settings, Upstream
from bff.config.spelling import SpellingError
from bff.config.values.header_changes import request_name
from bff.config.values.header_templates import parse_template
from bff.config.values.paths import parse_prefix
from bff.config.values.urls import parse_upstream
from bff.config.values.words import METHODS

# A pattern that is a prefix in truth: ^/a/b, with or without what means "and all below". `$` right behind a path is one path only.
_PREFIX = re.compile(r"\^?(/[A-Za-z0-9._~/-]*?)(?:/?\(?\.\*\)?\$?|/?\(/\.\*\)\?\$?|\(/\|\$\)|/|)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One item of the list."""

    keys: Section
    path: str


def routes(settings: Settings, notes: Section) -> list[Route]:
    """The longest path is matched first, wherever it stands in the list."""
    required = require(settings, notes)
    found: dict[str, Route] = {}
    upstreams = list(_upstreams(settings, notes))
    for path, upstream in upstreams:
        if path in found:
            notes.remarks.append(f"upstream at {path}: there is another one at this path")
            continue
        found[path] = Route(path=path, keys=_route(settings, upstream, path, required=required, notes=notes))
    for pattern in (*settings.many("skip-auth-route"), *settings.many("skip-auth-regex")):
        public = _public(pattern, upstreams, notes)
        if public is not None:
            found[public.path] = public
    if not found:
        notes.remarks.append("no upstream that can be forwarded to: the route in the file is an example")
        example = Section()
        example.add("path", "/replace-me")
        example.add("upstream", "http://localhost:3000")
        return [Route(path="/replace-me", keys=example)]
    return sorted(found.values(), key=lambda route: (-len(route.path), route.path))


def _upstreams(settings: Settings, notes: Section) -> Iterator[tuple[str, Upstream]]:
    for upstream in settings.upstreams if settings.upstreams is not None else _of_flags(settings):
        path = upstream.path.rstrip("/") or "/"
        reason = _unusable(path, upstream.uri)
        if reason is None:
            yield path, upstream
        else:
            notes.remarks.append(f"upstream at {path}: {reason}")


def _of_flags(settings: Settings) -> Iterator[Upstream]:
    """`http://host/path/` is asked for what lies below /path/; a fragment names the path of a file: URL."""
    for text in settings.many("upstream"):
        url = urlsplit(text)
        yield Upstream(
            path=url.fragment or (url.path if url.scheme in {"http", "https", "file"} else "/") or "/",
            uri=text.partition("#")[0],
            pass_host=settings.on("pass-host-header", default=True),
            websocket=settings.on("proxy-websockets", default=True),
            timeout=settings.one("upstream-timeout"),
        )


def _unusable(path: str, uri: str) -> str | None:
    scheme = uri.partition(":")[0]
    if scheme == "file":
        return "files are served without a sign-in here (`files: DIR`): decide whether these may be"
    if scheme == "static":
        return "a fixed answer is no upstream; for nginx `auth_request` and the like there is `forward_auth`"
    try:
        parse_prefix(path)
        if "${" not in uri:  # else it is judged when the variable is filled in
            parse_upstream(_url(uri))
    except SpellingError as error:
        return str(error)
    return None


def _url(uri: str) -> str:
    return f"http+{uri}" if uri.startswith("unix:") else uri


def _route(settings: Settings, upstream: Upstream, path: str, *, required: str | None, notes: Section) -> Section:
    keys = Section()
    keys.add("path", quoted(path))
    keys.add("upstream", quoted(_url(upstream.uri)))
    keys.add("csrf", "origin", "Pages of the app's server send no X-CSRF: calls are judged by where they come from")
    if settings.has("resource"):
        keys.add("resource", quoted(settings.one("resource") or ""))
    if upstream.pass_host:
        keys.add("pass_host", "true")
    if upstream.websocket:
        keys.add("websocket", "true")
    timeout = duration(upstream.timeout)
    if timeout is not None:
        keys.add("timeouts", f"{{first_byte: {timeout}}}")
    fields = _fields(settings, notes)
    if fields:
        keys.add("request_headers", f"{{set: {inline({name: quoted(value) for name, value in fields.items()})}}}")
    if required is not None:
        keys.add("require", required)
    return keys


def _fields(settings: Settings, notes: Section) -> dict[str, str]:
    """Who the user is, for the upstream."""
    if settings.upstreams is None and settings.on("pass-user-headers", default=True):
        email = f"{{claims.{settings.one('oidc-email-claim') or 'email'}}}"
        by_address = settings.on("prefer-email-to-user", default=False)
        wanted = {
            "X-Forwarded-User": email if by_address else "{subject}",
            "X-Forwarded-Email": email,
            "X-Forwarded-Groups": f"{{claims.{settings.one('oidc-groups-claim') or 'groups'}}}",
            "X-Forwarded-Preferred-Username": "{claims.preferred_username}",
        }
    else:
        wanted = dict(settings.claims)
    found: dict[str, str] = {}
    for name, value in wanted.items():
        try:
            parse_template(value)
            request_name(name)
            found[name] = value
        except SpellingError:
            own = f"X-Auth-Request-{name[12:]}" if name.lower().startswith("x-forwarded-") else None
            if own is not None:
                found[own] = value
            _remark(notes, f"{name}: is the gateway's own field" + (f": the upstream gets {own}" if own else ""))
    return found


def _remark(notes: Section, text: str) -> None:
    if text not in notes.remarks:
        notes.remarks.append(text)


def _public(written: str, upstreams: list[tuple[str, Upstream]], notes: Section) -> Route | None:
    """A route without a sign-in, only where the pattern lets in no less than the route would."""
    method, _, pattern = written.rpartition("=") if re.match(r"[A-Za-z]+!?=", written) else ("", "", written)
    match = _PREFIX.fullmatch(pattern)
    path = (match[1].rstrip("/") or "/") if match else ""
    below = [(prefix, upstream) for prefix, upstream in upstreams if f"{path}/".startswith(f"{prefix.rstrip('/')}/")]
    if match is None or "!" in method or path == "/" or (method and method.upper() not in METHODS) or not below:
        _remark(notes, f"skip-auth-route: {written}: no prefix of a path: write `token: none` on a route of its own")
        return None
    prefix, upstream = max(below, key=lambda each: len(each[0]))
    keys = Section()
    keys.add("path", quoted(path))
    rest = path.removeprefix(prefix.rstrip("/"))
    keys.add("upstream", quoted(_url(upstream.uri).rstrip("/") + rest))
    keys.add("token", "none", "Needs no sign-in")
    if method:
        keys.add("methods", f"[{method.upper()}]", "The other methods are refused on this path (405)")
    if upstream.pass_host:
        keys.add("pass_host", "true")
    return Route(path=path, keys=keys)
