"""The single-page app's files: found, typed, revalidated, ranged; and nothing else on the disk (R-242 for files)."""

import errno
import os

import pytest
from structlog.testing import capture_logs

from bff.web.api import BrokenTransfer
from bff.web.app_folder import OpenFile
from support.asgi_gateway import FETCH, NAVIGATION, TYPED, AsgiGateway, asgi_gateway

WHOLE = "export const app = 1;\n" * 100


async def get(world: AsgiGateway, path: str, headers: dict[str, str] | None = None, *, method: str = "GET") -> object:
    """Ask for a file."""
    return await world.ask(path, headers or {}, method=method)


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/app/assets/app.js", "text/javascript; charset=utf-8"),
        ("/app/assets/style.css", "text/css; charset=utf-8"),
        ("/app/index.html", "text/html; charset=utf-8"),
        ("/app/", "text/html; charset=utf-8"),
    ],
)
@pytest.mark.requirement("R-270")
async def test_files_have_their_types(path: str, media_type: str) -> None:
    """Each file is sent with its type; the folder itself is the start page."""
    async with asgi_gateway() as world:
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
    async with asgi_gateway() as world:
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
        (f"bytes={10**18}-", 416, None),
        (f"bytes={10**30}-{10**30}", 416, None),
        pytest.param("bytes=0-" + "9" * 5000, 206, WHOLE, id="5000 digits"),
        (f"bytes=-{10**30}", 206, WHOLE),
        (f"bytes={5:040}-{6:040}", 206, WHOLE[5:7]),
    ],
)
async def test_ranges(wanted: str, status: int, body: str | None) -> None:
    """A part of a file is 206 with just that part; a range beyond it 416."""
    async with asgi_gateway() as world:
        answer = await get(world, "/app/assets/app.js", {"range": wanted})
        assert answer.status == status
        if body is not None:
            assert answer.body.decode() == body


@pytest.mark.parametrize(
    "wanted", ["bytes=" + ",".join(f"{n}-{n}" for n in range(5000)), "bytes=x", "bytes=5-1", "bytes="]
)
async def test_hostile_ranges_cost_nothing(wanted: str) -> None:
    """Thousands of ranges, or none that can be read, are answered at once and never 500 (CVE-2025-62727)."""
    async with asgi_gateway() as world:
        answer = await get(world, "/app/assets/app.js", {"range": wanted})
        assert answer.status in {200, 206, 400, 416}
        assert len(answer.body) < 2_000_000


@pytest.mark.parametrize("wanted", ["items=0-5", "x", "=", ""])
async def test_ranges_of_another_kind_are_not_meant_for_us(wanted: str) -> None:
    """A unit that we do not know must be ignored (RFC 9110 section 14.2): the answer is the whole file."""
    async with asgi_gateway() as world:
        answer = await get(world, "/app/assets/app.js", {"range": wanted})
        assert (answer.status, answer.body.decode()) == (200, WHOLE)


@pytest.mark.requirement("R-270")
@pytest.mark.parametrize(("wanted", "status"), [("bytes=0-5", 206), ("bytes=99999-", 416), ("bytes=x", 400)])
async def test_every_answer_about_a_file_says_how_to_be_handled(wanted: str, status: int) -> None:
    """A part of a file and a refused range are as little sniffed, framed or taken for another site's as the file."""
    async with asgi_gateway() as world:
        whole = await get(world, "/app/assets/app.js")
        answer = await get(world, "/app/assets/app.js", {"range": wanted})
        assert answer.status == status
        for name in ("x-content-type-options", "content-security-policy", "strict-transport-security", "cache-control"):
            assert answer.all(name) == whole.all(name) != []


@pytest.mark.parametrize("headers", [{}, {"range": "bytes=0-5"}])
async def test_head_has_the_fields_and_no_content(headers: dict[str, str]) -> None:
    """HEAD of a file says what GET would, without the content; ranges are GET's alone (RFC 9110 section 14.2)."""
    async with asgi_gateway() as world:
        head = await get(world, "/app/assets/app.js", headers, method="HEAD")
        assert (head.status, head.body) == (200, b"")
        assert head.field("content-length") == str(len(WHOLE))


@pytest.mark.requirement("R-021")
async def test_history_fallback_is_for_navigations_only() -> None:
    """A page of the app's own router is the start page to a person or a crawler, and a missing file 404 to a script."""
    async with asgi_gateway() as world:
        for headers in (NAVIGATION, TYPED, {"accept": "text/html"}, {"accept": "*/*"}, {}):
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
    async with asgi_gateway() as world:
        answer = await get(world, path, FETCH)
        assert answer.status in {400, 404} or path.endswith("/app.js/")
        assert b"canary" not in answer.body
        assert b"root:" not in answer.body


async def test_symbolic_link_out_of_the_folder_is_not_followed() -> None:
    """A link to a file elsewhere is not served."""
    async with asgi_gateway() as world:
        os.symlink(world.folder / "secret.txt", world.folder / "dist" / "link.txt")
        answer = await get(world, "/app/link.txt", FETCH)
        assert answer.status == 404


async def test_what_is_hidden_is_not_served_but_what_is_well_known_is() -> None:
    """Names that begin with a dot lie there by mistake, at any depth; `.well-known` is there on purpose (RFC 8615)."""
    async with asgi_gateway() as world:
        for name in (".env", "assets/.env", ".git/config", ".well-known/security.txt", ".well-known/.env"):
            file = world.folder / "dist" / name
            file.parent.mkdir(exist_ok=True)
            file.write_text("canary")
            answer = await get(world, f"/app/{name}", FETCH)
            assert answer.status == (200 if name == ".well-known/security.txt" else 404)


@pytest.mark.parametrize("fields", [NAVIGATION, {}, {"accept": "text/html"}])
@pytest.mark.parametrize(
    "name", [".env", ".git/config", "deep/.hidden/link", ".well-known/change-password", ".well-known/"]
)
async def test_a_name_with_a_dot_never_gets_the_start_page(name: str, fields: dict[str, str]) -> None:
    """Neither a person's page load nor a program that takes anything: 404 says that the resource is not there."""
    async with asgi_gateway() as world:
        assert (await get(world, f"/app/{name}", fields)).status == 404


async def test_no_listing_of_folders() -> None:
    """A folder without a start page of its own is not listed."""
    async with asgi_gateway() as world:
        answer = await get(world, "/app/assets/", FETCH)
        assert answer.status == 404
        assert b"app.js" not in answer.body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT"])
@pytest.mark.requirement("R-019", "R-253")
async def test_files_are_read_only(method: str) -> None:
    """Files take GET and HEAD."""
    async with asgi_gateway() as world:
        answer = await get(world, "/app/index.html", FETCH, method=method)
        assert answer.status == 405
        assert answer.field("allow") == "GET, HEAD"


@pytest.mark.requirement("R-007")
async def test_app_loads_without_a_cookie_from_anywhere() -> None:
    """The start page is public: a link from another site shows it at once, signed in or not."""
    async with asgi_gateway() as world:
        answer = await get(world, "/app/", {**NAVIGATION, "sec-fetch-site": "cross-site"})
        assert (answer.status, answer.all("location")) == (200, [])


@pytest.mark.requirement("R-370")
@pytest.mark.parametrize(
    "headers",
    [
        FETCH,
        {"accept": "application/json"},
        {"accept": "image/*"},
        {"accept": "*/*", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "script"},
        {"accept": "*/*", "x-csrf": "1"},
        {"accept": "text/html;q=0, image/png"},
        {"accept": "*/*;q=0"},
        {**NAVIGATION, "sec-fetch-dest": "embed"},
        {**NAVIGATION, "sec-fetch-dest": "object"},
    ],
)
async def test_what_wants_no_page_gets_no_page(headers: dict[str, str]) -> None:
    """A call of the app, a script, an image or a call for JSON that finds nothing is 404, not the start page with 200."""
    async with asgi_gateway() as world:
        assert (await get(world, "/app/orders/7", headers)).status == 404


@pytest.mark.requirement("R-370")
@pytest.mark.parametrize("dest", ["iframe", "frame"])
async def test_a_frame_shows_the_app_at_a_deep_link(dest: str) -> None:
    """An app that frames a page of its own gets it, and no asset that is missing; who else may frame it says the policy."""
    async with asgi_gateway() as world:
        answer = await get(world, "/app/orders/7", {**NAVIGATION, "sec-fetch-dest": dest})
        assert answer.status == 200
        assert "frame-ancestors 'self'" in answer.field("content-security-policy")
        assert (await get(world, "/app/orders.js", {**NAVIGATION, "sec-fetch-dest": dest})).status == 404


@pytest.mark.requirement("R-370")
async def test_asset_that_is_missing_is_404_to_what_takes_anything() -> None:
    """An old page that asks for an asset of the last build learns that it is gone, and does not run HTML as a script."""
    async with asgi_gateway() as world:
        for path in ("/app/assets/index-B4nZq9x9.js", "/app/logo.svg", "/app/old/manifest.webmanifest"):
            assert (await get(world, path, {"accept": "*/*"})).status == 404


@pytest.mark.requirement("R-370")
@pytest.mark.parametrize(
    ("path", "query", "location"),
    [("/app", "", "/app/"), ("/app/docs", "", "/app/docs/"), ("/app/docs", "a=1&b=%2F", "/app/docs/?a=1&b=%2F")],
)
async def test_a_folder_is_asked_for_with_its_slash(path: str, query: str, location: str) -> None:
    """Relative links of a folder's page start at the folder, so its address without the slash leads to the one with it."""
    async with asgi_gateway() as world:
        (world.folder / "dist/docs").mkdir()
        (world.folder / "dist/docs/index.html").write_text("<title>Docs</title>")
        answer = await world.ask(path, NAVIGATION, query=query)
        assert (answer.status, answer.field("location")) == (303, location)
        page = await get(world, location.partition("?")[0])
        assert (page.status, page.field("cache-control")) == (200, "no-cache")


@pytest.mark.requirement("R-370", "R-017")
async def test_an_address_never_leads_to_another_host() -> None:
    """`//host`, even where a folder has that name, is no folder of ours: a redirect there would leave the site."""
    async with asgi_gateway(routes=[{"path": "/", "files": "dist"}]) as world:
        (world.folder / "dist/evil.example").mkdir()
        (world.folder / "dist/evil.example/index.html").write_text("<title>Evil</title>")
        for path in ("//evil.example", "///evil.example", "/assets//evil.example"):
            answer = await get(world, path, NAVIGATION)
            assert answer.status in {200, 400, 404}
            assert answer.all("location") == []
            assert b"Evil" not in answer.body


CODED = {".br": b"in brotli", ".zst": b"in zstandard", ".gz": b"in gzip"}


@pytest.mark.requirement("R-370")
@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip, zstd", "zstd"),
        ("gzip", "gzip"),
        ("x-gzip", "gzip"),
        ("GZIP", "gzip"),
        ("gzip;q=1.0, br;q=0.5", "gzip"),
        ("br;q=0, gzip", "gzip"),
        ("br;q=0.000, *", "zstd"),
        ("*", "br"),
        ("*;q=0", None),
        ("identity;q=1, *;q=0", None),
        ("identity, gzip;q=0.5", None),
        ("gzip;q=0.5", "gzip"),
        ("deflate", None),
        ("br;q=x", None),
        ("br;q=2", None),
        ("br ; Q=0.1", "br"),
        ("", None),
        (None, None),
        ("," * 4000, None),
    ],
)
async def test_the_browser_chooses_the_coding(accepted: str | None, coding: str | None) -> None:
    """Of the codings beside a file the browser's favourite is sent, ours where it has none, the file itself where it takes none."""
    async with asgi_gateway() as world:
        for suffix, content in CODED.items():
            (world.folder / f"dist/assets/app.js{suffix}").write_bytes(content)
        answer = await get(world, "/app/assets/app.js", {} if accepted is None else {"accept-encoding": accepted})
        assert answer.status == 200
        assert answer.all("content-encoding") == ([] if coding is None else [coding])
        suffixes = {"br": ".br", "zstd": ".zst", "gzip": ".gz"}
        assert answer.body == (WHOLE.encode() if coding is None else CODED[suffixes[coding]])
        assert answer.field("content-length") == str(len(answer.body))
        assert answer.field("content-type") == "text/javascript; charset=utf-8"
        assert answer.field("vary") == "accept-encoding"


@pytest.mark.requirement("R-370", "R-252")
async def test_each_coding_has_a_tag_of_its_own() -> None:
    """A tag names one representation: the tag of the gzip file is unchanged for gzip only (RFC 9110 section 8.8.3.3)."""
    async with asgi_gateway() as world:
        (world.folder / "dist/assets/app.js.gz").write_bytes(CODED[".gz"])
        plain, coded = [await get(world, "/app/assets/app.js", h) for h in ({}, {"accept-encoding": "gzip"})]
        assert plain.field("etag") != coded.field("etag")
        again = {"accept-encoding": "gzip", "if-none-match": f'W/{coded.field("etag")}, "x"'}
        unchanged = await get(world, "/app/assets/app.js", again)
        assert (unchanged.status, unchanged.field("vary"), unchanged.body) == (304, "accept-encoding", b"")
        stale = {"accept-encoding": "gzip", "if-none-match": plain.field("etag")}
        assert (await get(world, "/app/assets/app.js", stale)).status == 200


async def test_a_file_without_codings_does_not_vary() -> None:
    """Where only the file itself is there, every browser gets the same, and `Vary` does not split caches."""
    async with asgi_gateway() as world:
        assert (await get(world, "/app/assets/app.js", {"accept-encoding": "br"})).all("vary") == []


async def test_a_coding_asked_for_by_name_is_an_archive() -> None:
    """`app.js.gz` is no script: it is sent as what it is, so nothing reads compressed bytes as text."""
    async with asgi_gateway() as world:
        (world.folder / "dist/assets/app.js.gz").write_bytes(CODED[".gz"])
        answer = await get(world, "/app/assets/app.js.gz")
        assert (answer.field("content-type"), answer.all("content-encoding")) == ("application/gzip", [])


@pytest.mark.requirement("R-370")
@pytest.mark.parametrize(
    ("name", "kept"),
    [("assets/index-B4nZq_x9.js", "public, max-age=31536000, immutable"), ("assets/app.js", "no-cache")],
)
async def test_names_with_a_hash_are_kept_for_a_year(name: str, kept: str) -> None:
    """The content of a hashed name never changes, so no browser asks again; everything else is asked for again."""
    async with asgi_gateway() as world:
        (world.folder / f"dist/{name}").write_text("x")
        assert (await get(world, f"/app/{name}")).field("cache-control") == kept


@pytest.mark.requirement("R-370")
@pytest.mark.parametrize("before", [0, 65_536, 1_000_000])
async def test_pages_that_differ_in_a_hash_have_different_tags(before: int) -> None:
    """Two builds with one time stamp, as containers have it, and one size are two files all the same."""
    async with asgi_gateway() as world:
        page, tags = world.folder / "dist/index.html", []
        for name in ("index-AAAAAAA1.js", "index-BBBBBBB2.js"):
            page.write_text(f"{' ' * before}<script src={name}>")
            os.utime(page, (1, 1))
            tags.append((await get(world, "/app/")).field("etag"))
            assert (await get(world, "/app/")).field("etag") == tags[-1]
        assert tags[0] != tags[1]


@pytest.mark.requirement("R-370")
@pytest.mark.parametrize(
    "path", ["/app" + "/a" * 33, "/app/" + "a" * 1025, "/app" + "/a" * 8000, "/app/" + "%61" * 1025]
)
async def test_names_that_no_file_has_do_not_touch_the_disk(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than 1,024 bytes or 32 segments are 404 at once, to a person as well."""
    async with asgi_gateway() as world:
        monkeypatch.setattr("os.path.realpath", None)  # any look at the disk would be an error of ours
        for headers in (NAVIGATION, FETCH, {}):
            assert (await get(world, path, headers)).status == 404


async def test_names_up_to_the_bounds_are_looked_for() -> None:
    """A file 32 segments down is found, and a deep link of 1,024 bytes is the app's."""
    async with asgi_gateway() as world:
        deep = world.folder / "dist" / "/".join("a" * 31)
        deep.mkdir(parents=True)
        (deep / "b.txt").write_text("deep")
        assert (await get(world, "/app/" + "a/" * 31 + "b.txt")).body == b"deep"
        assert (await get(world, "/app/" + "a" * 1024, {"accept": "*/*"})).status == 200


@pytest.mark.requirement("R-370")
async def test_a_circle_of_links_is_no_file() -> None:
    """Links that lead to each other, and a link to itself, are 404."""
    async with asgi_gateway() as world:
        dist = world.folder / "dist"
        for name, target in (("a", "b"), ("b", "a"), ("self", "self"), ("loop.js", "loop.js")):
            os.symlink(dist / target, dist / name)
        for path in ("/app/a", "/app/self", "/app/a/b", "/app/loop.js", "/app/a/"):
            assert (await get(world, path, FETCH)).status == 404


@pytest.mark.requirement("R-370", "R-017")
async def test_links_lead_to_files_of_the_folder_only() -> None:
    """A link inside the folder is followed, as mounted configuration has it; a folder's link out of it, and a coding's, is not."""
    async with asgi_gateway() as world:
        dist = world.folder / "dist"
        os.symlink("assets/app.js", dist / "inside.js")
        os.symlink(world.folder, dist / "out")
        os.symlink(world.folder / "secret.txt", dist / "assets/style.css.br")
        os.symlink(world.folder / "secret.txt", dist / "out.txt")
        assert (await get(world, "/app/inside.js")).body.decode() == WHOLE
        for path in ("/app/out/secret.txt", "/app/out.txt", "/app/out/dist/index.html"):
            if not path.endswith("index.html"):
                assert (await get(world, path, FETCH)).status == 404
        answer = await get(world, "/app/assets/style.css", {"accept-encoding": "br"})
        assert (answer.body, answer.all("content-encoding")) == (b"body{}", [])


async def test_what_is_no_file_is_not_read() -> None:
    """A pipe in the folder is 404, and nobody waits for its writer."""
    async with asgi_gateway() as world:
        os.mkfifo(world.folder / "dist/pipe.txt")
        assert (await get(world, "/app/pipe.txt", FETCH)).status == 404


async def test_a_long_file_is_sent_in_pieces_and_by_ranges() -> None:
    """A file longer than what is read at once arrives whole, and its ranges are cut where they were asked for."""
    content = bytes(range(256)) * 4096
    async with asgi_gateway() as world:
        (world.folder / "dist/film.mp4").write_bytes(content)
        whole = await get(world, "/app/film.mp4")
        assert (whole.body == content, whole.field("accept-ranges")) == (True, "bytes")
        for start, end in ((0, 70_000), (65_530, 65_545), (500_000, 1_048_575), (1_048_575, 1_048_575)):
            part = await get(world, "/app/film.mp4", {"range": f"bytes={start}-{end}"})
            assert (part.status, part.body == content[start : end + 1]) == (206, True)
            assert part.field("content-range") == f"bytes {start}-{end}/{len(content)}"


async def test_a_file_that_cannot_be_read_on_breaks_its_answer_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk fails, or the file server is gone: the answer has begun, so it cannot become a problem."""

    def fail(*_: object) -> bytes:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    async with asgi_gateway() as world:
        (world.folder / "dist/film.mp4").write_bytes(bytes(1024 * 1024))
        monkeypatch.setattr(OpenFile, "read", fail)
        with capture_logs() as logs, pytest.raises(BrokenTransfer):
            await get(world, "/app/film.mp4")
    assert [(entry["event"], entry["reason"]) for entry in logs] == [("file.broke_off", os.strerror(errno.ESTALE))]


@pytest.mark.requirement("R-252")
async def test_a_range_counts_for_the_file_that_was_named() -> None:
    """`If-Range` with another tag wants the whole file: a part of a new file must not be joined to an old one."""
    async with asgi_gateway() as world:
        etag = (await get(world, "/app/assets/app.js")).field("etag")
        for tag, status in ((etag, 206), ('"other"', 200), (f"W/{etag}", 200)):
            answer = await get(world, "/app/assets/app.js", {"range": "bytes=0-5", "if-range": tag})
            assert answer.status == status


@pytest.mark.requirement("R-252")
async def test_a_file_can_be_asked_for_by_date() -> None:
    """`If-Modified-Since` is 304 from the file's date on; a date that is none is ignored."""
    async with asgi_gateway() as world:
        date = (await get(world, "/app/assets/app.js")).field("last-modified")
        for since, status in ((date, 304), ("Thu, 01 Jan 1970 00:00:00 GMT", 200), *((text, 200) for text in NO_DATES)):
            assert (await get(world, "/app/assets/app.js", {"if-modified-since": since})).status == status


@pytest.mark.requirement("R-252")
async def test_a_file_can_be_asked_for_as_it_was() -> None:
    """`If-Match` and `If-Unmodified-Since` of another state of the file are 412 (RFC 9110 section 13.1)."""
    async with asgi_gateway() as world:
        first = await get(world, "/app/assets/app.js")
        etag, date = first.field("etag"), first.field("last-modified")
        for name, value, status in (
            ("if-match", etag, 200),
            ("if-match", f'"x", {etag}', 200),
            ("if-match", "*", 200),
            ("if-match", '"x"', 412),
            ("if-match", f"W/{etag}", 412),
            ("if-unmodified-since", date, 200),
            ("if-unmodified-since", "Thu, 01 Jan 1970 00:00:00 GMT", 412),
            *(("if-unmodified-since", text, 200) for text in NO_DATES),
        ):
            answer = await get(world, "/app/assets/app.js", {name: value, "range": "bytes=0-5"})
            assert answer.status == (206 if status == 200 else status), (name, value)
        both = {"if-match": etag, "if-unmodified-since": "Thu, 01 Jan 1970 00:00:00 GMT", "if-none-match": etag}
        assert (await get(world, "/app/assets/app.js", both)).status == 304


@pytest.mark.requirement("R-370")
async def test_several_lines_of_a_list_are_one_list() -> None:
    """`Accept`, `Accept-Encoding` and `If-None-Match` may come as several lines (RFC 9110 section 5.3): all of them count."""
    async with asgi_gateway() as world:
        (world.folder / "dist/c.js").write_text("c")
        (world.folder / "dist/c.js.br").write_bytes(b"br")
        etag = (await get(world, "/app/c.js")).field("etag")
        tags = [("if-none-match", etag), ("if-none-match", '"x"')]
        assert (await world.ask("/app/c.js", tags)).status == 304
        codings = [("accept-encoding", "br;q=0"), ("accept-encoding", "*")]
        assert (await world.ask("/app/c.js", codings)).all("content-encoding") == []
        accepted = [("accept", "text/html"), ("accept", "application/json")]
        assert (await world.ask("/app/orders/7", accepted)).status == 200


NO_DATES = (
    "yesterday",
    "",
    "Fri, 27 Nov 99999999999999999999 07:00:00 GMT",
    "Fri, 27 Nov 2026 07:00:00 +99999999999999",
    "Fri, 27 Nov 2026 07:00:00 +9999",
    "Fri, 32 Nov 2026 07:00:00 GMT",
)
POLICY = "default-src 'self'; frame-ancestors 'none'"


def with_headers(changes: dict[str, object]) -> dict[str, object]:
    """A configuration whose only route serves files with these `response_headers`."""
    return {"routes": [{"path": "/app", "files": "dist", "response_headers": changes}]}


@pytest.mark.requirement("R-370", "R-270")
async def test_the_operator_adds_and_removes_fields() -> None:
    """`set` replaces a field or adds it, `remove` takes it out; also on 304, parts and the page of a deep link."""
    changes = {
        "set": {"Content-Security-Policy": POLICY, "Cross-Origin-Opener-Policy": "same-origin"},
        "remove": ["Referrer-Policy"],
    }
    async with asgi_gateway(**with_headers(changes)) as world:
        etag = (await get(world, "/app/assets/app.js")).field("etag")
        for path, headers in (
            ("/app/assets/app.js", {}),
            ("/app/assets/app.js", {"if-none-match": etag}),
            ("/app/assets/app.js", {"range": "bytes=0-1"}),
            ("/app/orders/7", NAVIGATION),
        ):
            answer = await get(world, path, headers)
            assert answer.field("content-security-policy") == POLICY
            assert answer.field("cross-origin-opener-policy") == "same-origin"
            assert answer.all("referrer-policy") == []
            assert answer.field("x-content-type-options") == "nosniff"


async def test_a_policy_that_forgets_framing_does_not_allow_it() -> None:
    """A policy of the operator's that says nothing of `frame-ancestors` stands beside ours, and browsers enforce both."""
    async with asgi_gateway(**with_headers({"set": {"content-security-policy": "default-src 'self'"}})) as world:
        answer = await get(world, "/app/")
        assert answer.all("content-security-policy") == ["default-src 'self'", "frame-ancestors 'self'"]


@pytest.mark.requirement("R-370")
async def test_a_field_of_the_files_own_is_replaced_not_doubled() -> None:
    """`set` of what a file carries anyway, its type among it, leaves one field; `Vary` for codings stays beside the operator's."""
    changes = {"set": {"Content-Type": "text/plain", "Cache-Control": "no-store", "Vary": "Origin"}, "remove": ["ETag"]}
    async with asgi_gateway(**with_headers(changes)) as world:
        (world.folder / "dist/assets/app.js.gz").write_bytes(CODED[".gz"])
        answer = await get(world, "/app/assets/app.js", {"accept-encoding": "gzip"})
        assert (answer.field("content-type"), answer.field("cache-control")) == ("text/plain", "no-store")
        assert (answer.all("vary"), answer.all("etag")) == (["Origin", "accept-encoding"], [])
        assert answer.field("content-encoding") == "gzip"


@pytest.mark.requirement("R-370", "R-017")
@pytest.mark.parametrize("swapped", ["assets", "assets/app.js"])
async def test_a_link_that_is_put_there_meanwhile_is_not_followed(
    swapped: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at a name and its opening a folder or file becomes a link out of the folder: 404, not the other file."""
    async with asgi_gateway() as world:
        (world.folder / "app.js").write_text("canary")
        resolve = os.path.realpath

        def swap_after(path: str, **options: bool) -> str:
            found = resolve(path, **options)
            if found.endswith("app.js"):
                at = world.folder / "dist" / swapped
                at.rename(world.folder / "taken away")
                at.symlink_to(world.folder if swapped == "assets" else world.folder / "app.js")
            return found

        monkeypatch.setattr("os.path.realpath", swap_after)
        answer = await get(world, "/app/assets/app.js", FETCH)
        assert (answer.status, b"canary" in answer.body) == (404, False)
