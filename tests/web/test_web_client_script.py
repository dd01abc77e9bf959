"""`GET /client.js`: the browser client from the wheel, small, typed right, revalidated, and for this gateway's base path."""

import gzip
from importlib.resources import files
from pathlib import Path

import pytest

from support.asgi_gateway import FROM_ELSEWHERE, asgi_gateway

SOURCE = Path(__file__).parents[2] / "clients/javascript/client.js"
IMPORTED = {"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors", "sec-fetch-dest": "script", "accept": "*/*"}


def test_the_wheel_carries_the_source_as_it_is() -> None:
    """There is one client: the file in the package is a copy of the one that npm has (`make clients`)."""
    assert files("bff.web").joinpath("client.js").read_bytes() == SOURCE.read_bytes()


def test_the_client_is_small() -> None:
    """It is under 4 KB compressed, comments and all."""
    assert len(gzip.compress(SOURCE.read_bytes())) < 4000


@pytest.mark.parametrize("headers", [IMPORTED, {}, FROM_ELSEWHERE])
@pytest.mark.requirement("R-270")
async def test_it_is_a_script(headers: dict[str, str]) -> None:
    """Anybody gets it, without a session or a header, and as a script that browsers take for a module."""
    async with asgi_gateway() as world:
        answer = await world.ask("/bff/client.js", headers)
        assert (answer.status, answer.body) == (200, SOURCE.read_bytes())
        assert answer.field("content-type") == "text/javascript; charset=utf-8"
        assert answer.field("x-content-type-options") == "nosniff"
        assert answer.field("cache-control") == "no-cache"
        assert answer.field("content-length") == str(len(answer.body))
        assert answer.all("set-cookie") == []


async def test_it_is_not_sent_again_and_has_a_tag_for_each_coding() -> None:
    """A browser that has it gets 304; the compressed one is another representation."""
    async with asgi_gateway() as world:
        plain = await world.ask("/bff/client.js")
        coded = await world.ask("/bff/client.js", {"accept-encoding": "gzip, br"})
        assert (gzip.decompress(coded.body), coded.field("content-encoding")) == (plain.body, "gzip")
        assert plain.field("vary") == coded.field("vary") == "accept-encoding"
        assert plain.field("etag") != coded.field("etag")
        again = await world.ask("/bff/client.js", {"if-none-match": f'"x", W/{plain.field("etag")}'})
        assert (again.status, again.body, again.field("etag")) == (304, b"", plain.field("etag"))
        crossed = {"accept-encoding": "gzip", "if-none-match": plain.field("etag")}
        assert (await world.ask("/bff/client.js", crossed)).status == 200


async def test_it_calls_the_gateway_that_served_it() -> None:
    """Below another base path it knows that path, and has another tag."""
    async with asgi_gateway(base_path="/auth") as world, asgi_gateway() as other:
        answer = await world.ask("/auth/client.js")
        assert answer.body == SOURCE.read_bytes().replace(b'BASE_PATH = "/bff"', b'BASE_PATH = "/auth"')
        assert answer.body.count(b'"/auth"') == 1
        assert answer.field("etag") != (await other.ask("/bff/client.js")).field("etag")
        assert (await world.ask("/bff/client.js")).status == 404


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("POST", 405)])
async def test_it_is_read_only(method: str, status: int) -> None:
    """HEAD has the fields of GET; nothing can be sent to it."""
    async with asgi_gateway() as world:
        assert (await world.ask("/bff/client.js", method=method)).status == status
