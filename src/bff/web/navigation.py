"""Navigations without a session: first the bounce page, then the redirect to sign-in. No sequence of these may loop.

A Strict cookie is withheld when a navigation comes from another site (a link in a mail, the way back from the provider). So a
navigation with `Sec-Fetch-Site: cross-site` and without a session cookie is answered with a page of ours that repeats it from our
own site. The repetition has `same-origin`, so it is never bounced again: either it brings the cookie, or there is no session.

Routes with `csrf: origin` are meant to be opened, and take calls of our own origin only; so every navigation to them that comes from
elsewhere is repeated, with the cookie or without. With it: from a sibling subdomain, and in Chromium on the way back from the
provider, where the cookie depends on who began the redirects, and `Sec-Fetch-Site` on all who took part in them.
"""

import html
from contextlib import suppress

from bff.errors import MalformedRequest
from bff.request_head import RequestHead
from bff.web import cookies
from bff.web.answers import OwnAnswer, answer
from bff.web.guards import local_path

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>One moment</title>
<meta http-equiv="refresh" content="0;url={url}"></head>
<body><p><a href="{url}">Continue</a></p></body></html>
"""


def must_bounce(head: RequestHead, *, session_cookie: bytes) -> bool:
    """Whether the session cookie may only be missing because the navigation came from another site."""
    cross_site = head.named.get(b"sec-fetch-site") == b"cross-site"
    return cross_site and cookies.find(head.named.get(b"cookie"), session_cookie) is None


def comes_from_elsewhere(head: RequestHead) -> bool:
    """Whether another origin led here, or took part in it; for an address that was typed the field is `none`."""
    return head.named.get(b"sec-fetch-site") in {b"cross-site", b"same-site"}


def bounce_page(head: RequestHead, *, https: bool) -> OwnAnswer:
    """The page that repeats this navigation from our own site."""
    page = _PAGE.format(url=html.escape(requested_path(head), quote=True))
    return answer(200, page.encode(), "text/html; charset=utf-8", https=https)


def requested_path(head: RequestHead) -> str:
    """Path and query as they were asked for; without the query if they are too long to come back to; the root if they are no path."""
    for asked in (head.target, head.path):
        with suppress(UnicodeDecodeError, MalformedRequest):
            return local_path(asked.decode("ascii"))
    return "/"
