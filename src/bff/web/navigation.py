"""Navigations without a session: first the bounce page, then the redirect to sign-in. No sequence of these may loop.

A Strict cookie is withheld when a navigation comes from another site (a link in a mail, the way back from the provider). So a
navigation that says `Sec-Fetch-Site: cross-site` and brings no session cookie is answered with a page of ours that repeats it from
our own site. The repetition says `same-origin`, so it is never bounced again: either it brings the cookie, or nobody is signed in.

Routes with `csrf: origin` are meant to be opened, and take calls of our own origin only; so every navigation to them that comes from
elsewhere is repeated, with the cookie or without. With it: from a sibling subdomain, and in Chromium on the way back from the
provider, where the cookie depends on who began the redirects, and `Sec-Fetch-Site` on all who took part in them.
"""

import html
from typing import Any

from starlette.responses import Response

from bff.errors import MalformedRequest
from bff.web import cookies
from bff.web.facts import Facts
from bff.web.guards import local_path
from bff.web.responses import answer

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>One moment</title>
<meta http-equiv="refresh" content="0;url={url}"></head>
<body><p><a href="{url}">Continue</a></p></body></html>
"""


def must_bounce(seen: Facts) -> bool:
    """Whether the session cookie may only be missing because the navigation came from another site."""
    cross_site = seen.get(b"sec-fetch-site") == b"cross-site"
    return cross_site and cookies.find(seen.get(b"cookie"), cookies.SESSION_NAME) is None


def comes_from_elsewhere(seen: Facts) -> bool:
    """Whether another origin led here, or took part in it; a person who typed the address says `none`."""
    return seen.get(b"sec-fetch-site") in {b"cross-site", b"same-site"}


def bounce_page(scope: Any, *, https: bool) -> Response:
    """The page that repeats this navigation from our own site."""
    page = _PAGE.format(url=html.escape(requested_path(scope), quote=True))
    return answer(200, page.encode(), "text/html; charset=utf-8", https=https)


def requested_path(scope: Any) -> str:
    """Path and query as they were asked for; the root if they are no path to come back to."""
    target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
    try:
        return local_path(target.decode("ascii"))
    except (UnicodeDecodeError, MalformedRequest):
        return "/"
