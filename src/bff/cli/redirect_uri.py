"""Whether a provider takes our redirect URI, judged by its answers to authorization requests without a user. Pure.

A provider must not send a browser to an address that is not registered (RFC 6749 section 4.1.2.4,
https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2.4), so

came back     an answer that leads to our redirect URI proves that it is registered; with `prompt=none` and no user it holds an error
refused       an error page, or an error of the pushed request, refuses the request; if it names the redirect URI, that is why
went on       a sign-in page proves nothing by itself: some providers judge the request after the sign-in. If the same request with an
              address that is surely not registered is refused, ours was taken; if it is answered alike, no one can tell without a user
"""

import re
from dataclasses import dataclass
from html import unescape
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit

from bff.oauth.messages import ProviderResponse, shown

# Errors that only a signed-in user could have prevented (OpenID Connect Core section 3.1.2.6), and one that a user causes.
_FOR_WANT_OF_A_USER = frozenset(
    {"login_required", "interaction_required", "consent_required", "account_selection_required", "access_denied"}
)
_NAMES_IT = re.compile(
    r"redirect[\s_-]*ur[il]|redirect_mismatch|callback ur[il]|reply (?:url|address)|AADSTS50011", re.IGNORECASE
)
_REFUSES_IT = re.compile(
    r"redirect_uri_mismatch|redirect_mismatch|AADSTS50011|callback url mismatch"
    r"|(?:invalid|mismatching|unregistered|unknown|illegal)[^<>]{0,40}redirect[\s_-]*ur[il]"
    r"|redirect[\s_-]*ur[il][^<>]{0,60}(?:invalid|not (?:valid|registered|allowed|match)|mismatch|does not match|must be)",
    re.IGNORECASE,
)
_LONGEST_READ = 200_000  # characters of a page
_FIELD = re.compile(r"<input[^>]*\bname=[\"']error[\"'][^>]*\bvalue=[\"']([^\"']*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """How one authorization request ended. `error`: the provider's word for it, where it says one."""

    end: Literal["came back", "refused", "went on"]
    error: str | None = None
    names_it: bool = False
    status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`holds` is None where it cannot be told."""

    holds: bool | None
    words: str


def seen(answer: ProviderResponse, *, redirect_uri: str) -> Seen:
    """What an answer of the authorization endpoint is."""
    page = answer.body[:_LONGEST_READ].decode("utf-8", "replace")
    if leads_to(answer.location, redirect_uri):
        return Seen(end="came back", error=_error_in(answer.location or ""), status=answer.status)
    if answer.status == 200 and f'action="{redirect_uri}"' in unescape(page):
        field = _FIELD.search(page)
        return Seen(end="came back", error=field[1] if field else None, status=200)
    place = unquote(answer.location or "")
    if answer.status >= 400:
        return Seen(end="refused", names_it=bool(_NAMES_IT.search(page)), status=answer.status)
    if _REFUSES_IT.search(page) or _REFUSES_IT.search(place):
        return Seen(end="refused", names_it=True, status=answer.status)
    return Seen(end="went on", status=answer.status)


def leads_to(location: str | None, redirect_uri: str) -> bool:
    """Whether an answer sends the browser to this redirect URI."""
    return location is not None and re.split(r"[?#]", location, maxsplit=1)[0] == redirect_uri


def judge(ours: Seen, *, other: Seen | None, redirect_uri: str) -> Verdict:
    """`other`: how the same request with an address that is not registered ended; None: it was not needed."""
    if ours.end == "came back":
        if ours.error is None or ours.error in _FOR_WANT_OF_A_USER:
            return Verdict(holds=True, words="the provider sends browsers back to it")
        return Verdict(holds=False, words=f"is taken, but the request is not: the provider answers {shown(ours.error)}")
    if ours.end == "refused":
        status = "" if ours.status is None else f" (HTTP {ours.status})"
        if ours.names_it:
            return Verdict(holds=False, words=f"the provider refuses it{status}: register {redirect_uri}")
        word = f" {shown(ours.error)}" if ours.error else ""
        return Verdict(
            holds=False,
            words=f"the provider refuses the authorization request{status}{word} and does not say that this is why",
        )
    if other is not None and other.end == "refused":
        return Verdict(
            holds=True, words="the provider goes on to its sign-in, and refuses an address that is not registered"
        )
    return Verdict(
        holds=None,
        words="cannot be told without a user: the provider goes on to its sign-in with an address that is not registered, too",
    )


def _error_in(location: str) -> str | None:
    parts = urlsplit(location)
    for text in (parts.query, parts.fragment):
        error = parse_qs(text).get("error")
        if error:
            return error[0]
    return None
