"""Pages for people: every answer of ours to a navigation, what is on it, and what is not (R-302)."""

import hashlib
import json
import re
from base64 import b64encode
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from structlog.testing import capture_logs

from bff import errors
from bff.oauth import refresh_refusal
from bff.web.page_texts import BY_REASON, BY_TYPE
from bff.web.pages import Look
from bff.web.problems import LAST_RESORT, TABLE, Shown, SignInFailed, problem_of
from support.asgi_gateway import FETCH, FROM_ELSEWHERE, NAVIGATION, TYPED, Answer, asgi_gateway
from support.fake_internet import SECRET
from support.fake_provider import Misbehaviour, having
from support.request_heads import a_head
from support.sample_errors import sample_error

PAGE = "text/html; charset=utf-8"
HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(1)>&amp;'"
SHOWN = Shown(look=Look(site="Shop", origin="https://app.example.com"), sign_in_error=None)
NAVIGATING = {b"sec-fetch-mode": b"navigate", b"sec-fetch-dest": b"document", b"sec-fetch-site": b"none"}


class Html(HTMLParser):
    """What a browser makes of a page: tags with their attributes, and texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it."""
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Note it."""
        self.texts.append(data)

    @property
    def links(self) -> list[str]:
        """Where its links lead."""
        return [str(attrs["href"]) for tag, attrs in self.tags if tag == "a"]


def an_error(kind: type[Exception], fact: str = "corp") -> Exception:
    """An error of this class whose facts are all this text."""
    return sample_error(kind, {"challenges": (), "problems": ()}, otherwise=fact)


def page_of(error: Exception, *, shown: Shown = SHOWN, path: bytes = b"/a", method: bytes = b"GET") -> tuple[int, Html]:
    """Status and page for an error of a navigation."""
    head = a_head(NAVIGATING, path=path, method=method)
    answer = problem_of(error, head, base_path="/bff", https=True, shown=shown)
    assert dict(answer.fields)[b"content-type"] == PAGE.encode()
    return answer.status, Html(answer.body.decode())


def test_every_problem_has_words_for_people() -> None:
    """Each type of problem has its row of texts, and there is none for a type that is not there."""
    assert set(BY_TYPE) == {row.type for row in (*TABLE.values(), LAST_RESORT)}


@pytest.mark.requirement("R-302")
@pytest.mark.parametrize("kind", [*TABLE, RuntimeError], ids=lambda kind: kind.__name__)
def test_every_error_becomes_a_page_with_a_way_out(kind: type[Exception]) -> None:
    """Title, cause, next step, at least one button and the request id; the same status as the problem."""
    error = an_error(kind) if kind is not RuntimeError else RuntimeError("inner.example")
    with capture_logs() as logs:
        status, page = page_of(error)
    text = " ".join(page.texts)
    assert status == problem_of(error, base_path="/bff", https=True).status
    assert logs[0]["request_id"] in text
    assert [tag for tag, _ in page.tags].count("h1") == 1
    assert page.links
    assert "script" not in [tag for tag, _ in page.tags]
    assert "inner.example" not in text


@pytest.mark.requirement("R-302")
@pytest.mark.parametrize("reason", [*sorted(BY_REASON), "something_new"])
def test_a_failed_sign_in_can_be_begun_again(reason: str) -> None:
    """Each reason has its page, with a button that signs in again and comes back to where the first was to lead."""
    refused = errors.CallbackRefused("x", reason=reason)
    status, page = page_of(SignInFailed(refused, provider="corp", return_to="/orders?a=1&b=2#c"))
    assert status == 400
    assert "/bff/login?provider=corp&return_to=/orders%3Fa%3D1%26b%3D2%23c" in page.links
    assert "/" in page.links


@pytest.mark.requirement("R-302")
@pytest.mark.parametrize("error", sorted(refresh_refusal._OPERATORS))
def test_what_only_the_operator_can_mend_is_told_as_such(error: str) -> None:
    """A provider's code for a wrong secret or registration, GitHub's and Slack's too, tells a person to report it."""
    _, page = page_of(errors.ProviderRefused("x", provider="corp", error=error))
    assert "one of the two is not set up as the other expects" in " ".join(page.texts)


@pytest.mark.requirement("R-302")
@pytest.mark.parametrize(
    ("kind", "status"), [(errors.ProviderUnavailable, 503), (errors.StoreUnavailable, 503), (errors.JwtRefused, 400)]
)
def test_every_other_failure_of_a_sign_in_can_be_begun_again(kind: type[Exception], status: int) -> None:
    """The code of a callback is spent or worthless: trying again means to sign in again, not to repeat the callback."""
    failed = SignInFailed(an_error(kind), provider="corp", return_to="/orders")
    found, page = page_of(failed, path=b"/bff/callback/corp")
    assert found == status
    assert page.links[0] == "/bff/login?provider=corp&return_to=/orders"


@pytest.mark.requirement("R-302")
@pytest.mark.parametrize("kind", [errors.ProviderUnavailable, errors.StoreUnavailable, errors.UpstreamBusy])
def test_a_page_says_when_to_come_back(kind: type[Exception]) -> None:
    """The time of `Retry-After` is in the text, and the button repeats the page load."""
    _, page = page_of(an_error(kind))
    assert "in 5 seconds" in " ".join(page.texts)
    assert page.links[0] == "/a"


@pytest.mark.requirement("R-302", "R-346")
def test_a_page_says_when_the_provider_wants_to_be_asked_again() -> None:
    """Field and text have one time: that of the provider's own `Retry-After`."""
    error = errors.ProviderUnavailable("x", provider="corp", retry_after_seconds=77.4)
    _, page = page_of(error)
    assert "in 78 seconds" in " ".join(page.texts)


@pytest.mark.requirement("R-302")
@pytest.mark.parametrize(("by_provider", "words"), [(True, "an error of its own"), (False, "failed a security check")])
def test_an_error_code_that_is_not_known_is_no_failed_check(by_provider: bool, words: str) -> None:
    """Providers have codes of their own (`user_blocked`); a person is not told of a security check that none of them failed."""
    refused = errors.CallbackRefused("x", reason="user_blocked", by_provider=by_provider)
    _, page = page_of(SignInFailed(refused, provider="corp", return_to="/"))
    assert words in " ".join(page.texts)


@pytest.mark.requirement("R-302")
@pytest.mark.parametrize("error", ["invalid_client", "invalid_scope", "invalid_request", "invalid_dpop_proof"])
def test_a_sign_in_that_the_provider_does_not_begin_says_whose_matter_it_is(error: str) -> None:
    """A pushed request that is refused: to try again may be no help, and the page says whom to tell."""
    refused = errors.ProviderRefused("x", provider="corp", error=error)
    status, page = page_of(refused, path=b"/bff/login")
    assert status == 502
    assert "not set up as the other expects" in " ".join(page.texts)
    assert page.links == ["/bff/login", "/"]


def test_a_post_is_not_repeated_by_a_link() -> None:
    """After a form there is no button to try again: a link would be another request."""
    _, page = page_of(an_error(errors.UpstreamTimeout), method=b"POST")
    assert page.links == ["/"]


def test_the_start_page_leads_not_to_itself_twice() -> None:
    """Where the app's start page fails, the way out is to try again."""
    _, page = page_of(an_error(errors.UpstreamTimeout), path=b"/")
    assert page.links == ["/"]
    assert "Try again" in page.texts


@pytest.mark.requirement("R-310", "R-302")
async def test_a_misdirected_person_sees_both_hosts_and_the_way() -> None:
    """421: the host that the request names, escaped, the one of this site, and a link to it."""
    async with asgi_gateway() as world:
        answer = await world.ask("/bff/login", TYPED, host="internal:8080")
        page = Html(answer.body.decode())
        assert answer.status == 421
        assert "internal:8080" in " ".join(page.texts)
        assert page.links == ["https://app.example.com/"]


@pytest.mark.requirement("R-302", "R-265")
@pytest.mark.parametrize("kind", list(TABLE), ids=lambda kind: kind.__name__)
def test_nothing_gets_out_of_its_place(kind: type[Exception]) -> None:
    """Whatever stands in an error, in the address and in the configuration, no markup of it becomes a tag or an attribute."""
    plain = page_of(an_error(kind))[1]
    look = Look(
        site=HOSTILE, origin="https://app.example.com", logo="/logo.svg", support_url="https://h.example/?a=1&b=2"
    )
    hostile = Shown(look=look, sign_in_error=None)
    _, page = page_of(an_error(kind, HOSTILE), shown=hostile, path=b"/" + HOSTILE.encode())
    names = [(tag, sorted(attrs)) for tag, attrs in page.tags if tag not in {"img", "a", "p", "code"}]
    assert names == [(tag, sorted(attrs)) for tag, attrs in plain.tags if tag not in {"img", "a", "p", "code"}]
    assert {key for tag, attrs in page.tags if tag in {"img", "a"} for key in attrs} <= {"href", "src", "alt"}


def allowed_hashes(answer: Answer, directive: str) -> set[str]:
    """The hashes that a policy allows."""
    (found,) = re.findall(rf"{directive} ([^;]*)", answer.field("content-security-policy")) or [""]
    return set(re.findall(r"'sha256-([^']+)'", found))


def hashed(answer: Answer, tag: str) -> set[str]:
    """The hashes of what stands in the page."""
    inline = re.findall(rf"<{tag}>(.*?)</{tag}>", answer.body.decode(), flags=re.DOTALL)
    return {b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in inline}


@pytest.mark.requirement("R-302", "R-309")
async def test_the_policy_allows_what_is_on_the_page_and_nothing_else() -> None:
    """Style and script are allowed by their hashes; a page that tells a problem has no script and allows none."""
    async with asgi_gateway(pages={"logo": "/app/logo.svg"}) as world:
        refused = await world.ask("/nowhere", TYPED)
        leads_on = await world.ask("/bff/login", FROM_ELSEWHERE)
    for answer in (refused, leads_on):
        policy = answer.field("content-security-policy")
        assert policy.startswith("default-src 'none'; ")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert "img-src 'self'" in policy
        for tag in ("style", "script"):
            assert allowed_hashes(answer, f"{tag}-src") == hashed(answer, tag)
    assert hashed(refused, "script") == set()
    assert len(hashed(leads_on, "script")) == 1


@pytest.mark.requirement("R-302")
@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/nowhere", "GET", 404),
        ("/bff/nowhere", "GET", 404),
        ("/api/../x", "GET", 400),
        ("/api/x", "GET", 403),
        ("/pages/x", "POST", 401),
        ("/bff/logout", "GET", 405),
        ("/bff/user", "POST", 405),
        ("/bff/user", "GET", 403),
        ("/bff/callback/corp", "GET", 400),
        ("/bff/callback/none", "GET", 400),
    ],
)
async def test_a_navigation_gets_a_page_and_a_fetch_a_problem(path: str, method: str, status: int) -> None:
    """The same request, opened and fetched: the same status, in the shape that its caller can use."""
    async with asgi_gateway() as world:
        opened = await world.ask(path, NAVIGATION, method=method)
        without_metadata = await world.ask(
            path, {"accept": NAVIGATION["accept"], "origin": "https://app.example.com"}, method=method
        )
        fetched = await world.ask(path, {k: v for k, v in FETCH.items() if k != "x-csrf"}, method=method)
    assert (opened.status, opened.field("content-type")) == (status, PAGE)
    assert without_metadata.field("content-type") == PAGE
    assert fetched.field("content-type") == "application/problem+json"
    assert json.loads(fetched.body)["status"] == fetched.status
    assert opened.field("vary") == "*"
    assert opened.field("cache-control") == "no-store"


@pytest.mark.requirement("R-302")
async def test_the_operator_sets_title_logo_and_help() -> None:
    """They stand on every page; without them the page says the host."""
    pages = {"title": "Shop & Co", "logo": "/app/logo.svg", "support_url": "https://help.example.com/"}
    async with asgi_gateway(pages=pages) as world:
        page = Html((await world.ask("/nowhere", TYPED)).body.decode())
    assert "Shop & Co" in " ".join(page.texts)
    assert ("img", {"src": "/app/logo.svg", "alt": ""}) in page.tags
    assert "https://help.example.com/" in page.links
    async with asgi_gateway() as world:
        assert "app.example.com" in (await world.ask("/nowhere", TYPED)).body.decode()


@pytest.mark.requirement("R-302")
async def test_a_failed_sign_in_ends_on_a_page_of_the_app() -> None:
    """With `pages.sign_in_error` a person comes to the app, which is told what it needs; a fetch gets the problem."""
    async with asgi_gateway(pages={"sign_in_error": "/app/sorry?from=bff"}) as world:
        with capture_logs() as logs:
            answer = await world.ask("/bff/callback/corp", NAVIGATION, query="state=x&code=y")
        fetched = await world.ask("/bff/callback/corp", FETCH, query="state=x&code=y")
        elsewhere = await world.ask("/nowhere", NAVIGATION)
    assert answer.status == 303
    where = urlsplit(answer.field("location"))
    (entry,) = [entry for entry in logs if entry["event"] == "request.refused"]
    assert where.path == "/app/sorry"
    assert parse_qs(where.query) == {
        "from": ["bff"],
        "error": ["callback-refused"],
        "reason": ["browser_unknown"],
        "provider": ["corp"],
        "return_to": ["/"],
        "request_id": [entry["request_id"]],
    }
    assert (fetched.status, elsewhere.status) == (400, 404)


def of_the_last_event(logs: list[Any]) -> str:
    """The request id of a problem's event."""
    return str(next(entry for entry in reversed(logs) if entry["event"].startswith("request."))["request_id"])


DOWN = {"error": ["provider-unavailable"], "reason": ["not_connected"]}
BROKEN = {"error": ["provider-misbehaved"], "reason": ["issuer"]}


@pytest.mark.requirement("R-302")
@pytest.mark.parametrize(("what", "expected"), [("down", DOWN), ("another issuer", BROKEN)])
async def test_a_sign_in_that_cannot_begin_ends_on_the_page_of_the_app(what: str, expected: dict[str, Any]) -> None:
    """The provider cannot be reached, or its metadata are of another: the app's page is told as after a failed callback."""
    async with asgi_gateway(pages={"sign_in_error": "/app/sorry?from=bff"}) as world:
        if what == "down":
            world.internet.down.add("127.0.0.1:7001")
        else:
            world.corp.misbehaviour = Misbehaviour(metadata=having(issuer="https://other.example"))
        with capture_logs() as logs:
            answer = await world.ask("/bff/login", NAVIGATION, query="provider=corp&return_to=/app/7%3Fa%3D1")
    where = urlsplit(answer.field("location"))
    assert (answer.status, where.path) == (303, "/app/sorry")
    assert parse_qs(where.query) == {
        "from": ["bff"],
        **expected,
        "provider": ["corp"],
        "return_to": ["/app/7?a=1"],
        "request_id": [of_the_last_event(logs)],
    }


@pytest.mark.requirement("R-302", "R-044")
async def test_a_request_that_cannot_be_pushed_ends_there_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The secret that authenticates the pushed request is gone: the person is no worse off than with a provider that is down."""
    monkeypatch.setenv("PUSHING_SECRET", SECRET)
    corp = {"issuer": "http://127.0.0.1:7001", "client_id": "shop", "client_secret": {"env": "PUSHING_SECRET"}}
    pages = {"sign_in_error": "/app/sorry"}
    async with asgi_gateway(pages=pages, providers={"corp": {**corp, "par": "required"}}) as world:
        endpoint = f"{world.corp.issuer}/par"
        world.corp.misbehaviour = Misbehaviour(metadata=having(pushed_authorization_request_endpoint=endpoint))
        monkeypatch.delenv("PUSHING_SECRET")
        answer = await world.ask("/bff/login", NAVIGATION)
    assert (answer.status, urlsplit(answer.field("location")).path) == (303, "/app/sorry")


@pytest.mark.requirement("R-302")
async def test_a_sign_in_that_no_person_waits_for_gets_the_problem() -> None:
    """A client without Fetch Metadata that asks for JSON is not led to a page."""
    async with asgi_gateway(pages={"sign_in_error": "/app/sorry"}) as world:
        world.internet.down.add("127.0.0.1:7001")
        answer = await world.ask("/bff/login", {"accept": "application/json"})
    assert (answer.status, answer.field("content-type")) == (503, "application/problem+json")


@pytest.mark.requirement("R-302")
async def test_a_sign_in_link_that_is_wrong_is_not_the_app_s_to_show() -> None:
    """No such provider: the link is broken, and a page that begins a sign-in would only follow it again."""
    async with asgi_gateway(pages={"sign_in_error": "/app/sorry"}) as world:
        assert (await world.ask("/bff/login", NAVIGATION, query="provider=none")).status == 400
