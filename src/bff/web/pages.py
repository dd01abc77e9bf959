"""Pages for people: what a navigation is answered with where a fetch gets a problem, with the same status (R-302).

Every page says what happened, what to do, and has a way out as a button. It names no inner address and nothing secret: what a person
may read comes from `page_texts.py`, from the request itself, and from the configuration's `pages`.
"""

from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import quote, unquote

from bff.config.model import Config
from bff.errors import CallbackRefused, MalformedRequest, MisdirectedRequest, ProviderRefused
from bff.request_head import Field, RequestHead
from bff.web.answers import OwnAnswer, answer
from bff.web.guards import MAX_LOCAL_PATH, local_path
from bff.web.page_template import Link, Page, policy, render
from bff.web.page_texts import APP_REFUSED, NOT_SET_UP, Button, PageText, refused_sign_in, text_of

HTML = "text/html; charset=utf-8"
MAX_SHOWN_PATH = 100  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What the operator says about all pages; `origin` is the one of `public_url`."""

    site: str
    origin: str
    logo: str | None = None
    support_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PageFacts:
    """What a page needs of a problem. `login_url`: where a new sign-in begins, if one helps; `retry_after` is in seconds."""

    status: int
    kind: str
    detail: str
    request_id: str
    login_url: str | None
    retry_after: int | None


def look_of(config: Config) -> Look:
    """The look that the configuration describes."""
    origin, pages = config.public_url.text, config.pages
    return Look(
        site=pages.title or config.public_url.host,
        origin=origin,
        logo=pages.logo,
        support_url=pages.support_url,
    )


def problem_page(facts: PageFacts, error: Exception, head: RequestHead, look: Look) -> Page:
    """The page that tells a problem."""
    text = _text_of(error, kind=facts.kind)
    links = (_link(button, facts, head) for button in _buttons(text, facts, head))
    return Page(
        site=look.site,
        logo=look.logo,
        title=text.title,
        paragraphs=(text.happened, _hosts(error), _to_do(text, facts)),
        links=(Link(url=look.origin + "/", text=f"Open {look.origin.partition('://')[2]}"),)
        if isinstance(error, MisdirectedRequest)
        else tuple(links),
        detail=facts.detail if text.shows_detail else None,
        reference=facts.request_id,
        support_url=look.support_url,
    )


def bounce_page(url: str, look: Look, *, keep: str | None = None) -> Page:
    """The page that goes on to `url` by itself, so that the page load comes from our own site. `keep`: as `Page`'s."""
    go_on = Link(url=url, text="Continue", goes_on=True, at_once=True)
    return Page(site=look.site, logo=look.logo, title="One moment", paragraphs=(), links=(go_on,), keep=keep)


def signed_out_page(login_url: str, look: Look) -> Page:
    """The page in the place of one that needs a sign-in, right after a sign-out."""
    return Page(
        site=look.site,
        logo=look.logo,
        title="You are signed out",
        paragraphs=("This page needs a sign-in.",),
        links=(Link(url=login_url, text="Sign in"),),
        support_url=look.support_url,
    )


def question_page(url: str, look: Look, *, keep: str | None = None) -> Page:
    """The page that goes on to `url` after a click: another site led here (R-316). `keep`: as `Page`'s."""
    path = unquote(url.partition("?")[0], errors="replace")
    shown = path if len(path) <= MAX_SHOWN_PATH else path[:MAX_SHOWN_PATH] + "..."
    return Page(
        site=look.site,
        logo=look.logo,
        title=f"Continue to {look.site}?",
        paragraphs=(f"Another site led you here, to this page: {shown}", "Continue if you meant to open it."),
        links=(Link(url=url, text="Continue", goes_on=True), Link(url="/", text="Go to the app")),
        keep=keep,
    )


def page_answer(status: int, page: Page, *, https: bool, more: tuple[Field, ...] = ()) -> OwnAnswer:
    """The answer with this page.

    `Vary: *` keeps it out of the caches of service workers, which pass over `no-store`: a kept page, or redirect, would be shown
    instead of what it stood for (https://w3c.github.io/ServiceWorker/#cache-put).
    """
    return answer(status, render(page), HTML, https=https, csp=policy(page), more=(*more, (b"vary", b"*")))


def requested_path(head: RequestHead, *, longest: int = MAX_LOCAL_PATH) -> str:
    """Path and query as they were asked for; without the query if they are too long; the root if they are no path to come back to."""
    for asked in (head.target, head.path):
        with suppress(UnicodeDecodeError, MalformedRequest):
            return local_path(asked.decode("ascii"), longest=longest)
    return "/"


def with_return_to(login_url: str, return_to: str) -> str:
    """Where a sign-in starts that comes back to `return_to`."""
    return f"{login_url}&return_to={quote(return_to, safe='/')}"


def _text_of(error: Exception, *, kind: str) -> PageText:
    if isinstance(error, CallbackRefused):
        return refused_sign_in(error.reason, by_provider=error.by_provider)
    if isinstance(error, ProviderRefused) and error.error in NOT_SET_UP:
        return APP_REFUSED
    return text_of(kind)


def _hosts(error: Exception) -> str:
    if not isinstance(error, MisdirectedRequest):
        return ""
    return f"The request names the host {error.seen}; this site is {error.wanted}."


def _to_do(text: PageText, facts: PageFacts) -> str:
    if facts.retry_after is None:
        return text.to_do
    return text.to_do.replace("shortly", f"in {facts.retry_after} seconds")


def _buttons(text: PageText, facts: PageFacts, head: RequestHead) -> list[Button]:
    """The text's buttons, but for those that lead nowhere: repeating a post, signing in again without a provider."""
    can_repeat = head.is_navigation and head.method == b"GET"
    usable = {Button.SIGN_IN: facts.login_url is not None, Button.AGAIN: can_repeat or facts.login_url is not None}
    found = [button for button in text.buttons if usable.get(button, True)]
    at_start = can_repeat and head.target == b"/"
    if at_start:  # where the app's own start page fails, there is nothing but to try again
        found = [Button.AGAIN if button is Button.APP else button for button in found]
    return list(dict.fromkeys(found)) or [Button.APP]


def _link(button: Button, facts: PageFacts, head: RequestHead) -> Link:
    if button is Button.APP:
        return Link(url="/", text="Go to the app")
    if facts.login_url is not None:
        return Link(url=facts.login_url, text="Sign in again" if button is Button.SIGN_IN else "Try again")
    return Link(url=requested_path(head), text="Try again")
