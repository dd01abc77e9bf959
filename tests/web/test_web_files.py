"""The single-page app's files: found, typed, revalidated, ranged; and nothing else on the disk (R-242 for files)."""

import os

import pytest

from support.door import FETCH, NAVIGATION, TYPED, Door, door

WHOLE = "export const app = 1;\n" * 100


async def get(world: Door, path: str, headers: dict[str, str] | None = None, *, method: str = "GET") -> object:
    """Ask for a file."""
    return await world.ask(path, headers or {}, method=method)


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/app/assets/app.js", "text/javascript; charset=utf-8"),
        ("/app/assets/style.css", "text/css; charset=utf-8"),
        ("/app/index.html", "text/html; charset=utf-8"),
        ("/app/", "text/html; charset=utf-8"),
        ("/app", "text/html; charset=utf-8"),
    ],
)
@pytest.mark.requirement("R-270")
async def test_files_have_their_types(path: str, media_type: str) -> None:
    """Each file is sent with its type; the folder itself is the start page."""
    async with door() as world:
        answer = await get(world, path)
        assert answer.status == 200
        assert answer.field("content-type") == media_type
        assert answer.field("x-content-type-options") == "nosniff"
        assert "frame-ancestors" in answer.field("content-security-policy")
        assert answer.field("cache-control") == "no-cache"
        assert answer.all("set-cookie") == []


@pytest.mark.requirement("R-252")
async def test_unchanged_file_is_not_sent_again() -> None:
    """An ETag that matches is 304 without content, a stale one the file."""
    async with door() as world:
        first = await get(world, "/app/assets/app.js")
        assert first.body.decode() == WHOLE
        again = await get(world, "/app/assets/app.js", {"if-none-match": first.field("etag")})
        assert (again.status, again.body) == (304, b"")
        assert again.field("etag") == first.field("etag")
        os.utime(world.folder / "dist/assets/app.js", (1, 1))
        assert (await get(world, "/app/assets/app.js", {"if-none-match": first.field("etag")})).status == 200


@pytest.mark.requirement("R-252")
@pytest.mark.parametrize(
    ("wanted", "status", "body"),
    [
        ("bytes=0-5", 206, WHOLE[:6]),
        ("bytes=-3", 206, WHOLE[-3:]),
        ("bytes=2190-", 206, WHOLE[2190:]),
        ("bytes=99999-", 416, None),
    ],
)
async def test_ranges(wanted: str, status: int, body: str | None) -> None:
    """A part of a file is 206 with just that part; a range beyond it 416."""
    async with door() as world:
        answer = await get(world, "/app/assets/app.js", {"range": wanted})
        assert answer.status == status
        if body is not None:
            assert answer.body.decode() == body


@pytest.mark.parametrize(
    "wanted", ["bytes=" + ",".join(f"{n}-{n}" for n in range(5000)), "bytes=x", "bytes=5-1", "bytes="]
)
async def test_hostile_ranges_cost_nothing(wanted: str) -> None:
    """Thousands of ranges, or none that can be read, are answered at once and never 500 (CVE-2025-62727)."""
    async with door() as world:
        answer = await get(world, "/app/assets/app.js", {"range": wanted})
        assert answer.status in {200, 206, 400, 416}
        assert len(answer.body) < 2_000_000


@pytest.mark.parametrize("wanted", ["items=0-5", "x", "=", ""])
async def test_ranges_of_another_kind_are_not_meant_for_us(wanted: str) -> None:
    """A unit that we do not know must be ignored (RFC 9110 section 14.2): the answer is the whole file."""
    async with door() as world:
        answer = await get(world, "/app/assets/app.js", {"range": wanted})
        assert (answer.status, answer.body.decode()) == (200, WHOLE)


@pytest.mark.requirement("R-270")
@pytest.mark.parametrize(("wanted", "status"), [("bytes=0-5", 206), ("bytes=99999-", 416), ("bytes=x", 400)])
async def test_every_answer_about_a_file_says_how_to_be_handled(wanted: str, status: int) -> None:
    """A part of a file and a refused range are as little sniffed, framed or taken for another site's as the file."""
    async with door() as world:
        whole = await get(world, "/app/assets/app.js")
        answer = await get(world, "/app/assets/app.js", {"range": wanted})
        assert answer.status == status
        for name in ("x-content-type-options", "content-security-policy", "strict-transport-security", "cache-control"):
            assert answer.all(name) == whole.all(name) != []


@pytest.mark.parametrize("headers", [{}, {"range": "bytes=0-5"}])
async def test_head_has_the_fields_and_no_content(headers: dict[str, str]) -> None:
    """HEAD of a file says what GET would, without the content; ranges are GET's alone (RFC 9110 section 14.2)."""
    async with door() as world:
        head = await get(world, "/app/assets/app.js", headers, method="HEAD")
        assert (head.status, head.body) == (200, b"")
        assert head.field("content-length") == str(len(WHOLE))


@pytest.mark.requirement("R-021")
async def test_history_fallback_is_for_navigations_only() -> None:
    """A page of the app's own router is the start page to a person, and a missing file 404 to a script."""
    async with door() as world:
        for headers in (NAVIGATION, TYPED, {"accept": "text/html"}):
            page = await get(world, "/app/orders/7", headers)
            assert page.status == 200
            assert b"The app" in page.body
        for headers in (FETCH, {}, {"sec-fetch-mode": "no-cors", "sec-fetch-dest": "script"}):
            assert (await get(world, "/app/assets/missing.js", headers)).status == 404


@pytest.mark.requirement("R-242", "R-017")
@pytest.mark.parametrize(
    "path",
    [
        "/app/../secret.txt",
        "/app/..%2fsecret.txt",
        "/app/%2e%2e/secret.txt",
        "/app/%2e%2e%2fsecret.txt",
        "/app/..%5csecret.txt",
        "/app/..\\secret.txt",
        "/app/assets/../../secret.txt",
        "/app/assets/..%2f..%2fsecret.txt",
        "/app/%252e%252e/secret.txt",
        "/app/..;/secret.txt",
        "/app//secret.txt",
        "/app/./../secret.txt",
        "/app/%2fetc/passwd",
        "/app//etc/passwd",
        "/app/%00",
        "/app/index.html%00.js",
        "/app/secret.txt",
        "/app/" + "a" * 5000,
        "/app/%ff%fe",
        "/app/assets/app.js/",
        "/app/assets/app.js/x",
        "/app/~root",
        "/app/C:%5csecret.txt",
    ],
)
async def test_nothing_beside_the_folder(path: str) -> None:
    """No spelling of a path reaches a file outside the folder, and none makes an error of ours."""
    async with door() as world:
        answer = await get(world, path, FETCH)
        assert answer.status in {400, 404} or path.endswith("/app.js/")
        assert b"canary" not in answer.body
        assert b"root:" not in answer.body


async def test_symbolic_link_out_of_the_folder_is_not_followed() -> None:
    """A link to a file elsewhere is not served."""
    async with door() as world:
        os.symlink(world.folder / "secret.txt", world.folder / "dist" / "link.txt")
        answer = await get(world, "/app/link.txt", FETCH)
        assert answer.status == 404


async def test_what_is_hidden_is_not_served_but_what_is_well_known_is() -> None:
    """Names that begin with a dot lie there by mistake, at any depth; `.well-known` is there on purpose (RFC 8615)."""
    async with door() as world:
        for name in (".env", "assets/.env", ".git/config", ".well-known/security.txt", ".well-known/.env"):
            file = world.folder / "dist" / name
            file.parent.mkdir(exist_ok=True)
            file.write_text("canary")
            answer = await get(world, f"/app/{name}", FETCH)
            assert answer.status == (200 if name == ".well-known/security.txt" else 404)


async def test_no_listing_of_folders() -> None:
    """A folder without a start page of its own is not listed."""
    async with door() as world:
        answer = await get(world, "/app/assets/", FETCH)
        assert answer.status == 404
        assert b"app.js" not in answer.body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT"])
@pytest.mark.requirement("R-019", "R-253")
async def test_files_are_read_only(method: str) -> None:
    """Files take GET and HEAD."""
    async with door() as world:
        answer = await get(world, "/app/index.html", FETCH, method=method)
        assert answer.status == 405
        assert answer.field("allow") == "GET, HEAD"


@pytest.mark.requirement("R-007")
async def test_app_loads_without_a_cookie_from_anywhere() -> None:
    """The start page is public: a link from another site shows it at once, signed in or not."""
    async with door() as world:
        answer = await get(world, "/app/", {**NAVIGATION, "sec-fetch-site": "cross-site"})
        assert (answer.status, answer.all("location")) == (200, [])
