"""A provider whose endpoint for pushed requests (RFC 9126) departs from the rules: what the person sees, and what the operator."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from structlog.testing import capture_logs

from support.documented import codes, page, rows
from support.fake_provider import Answer, having, oauth_error, redirect
from support.gateway_world import GatewayWorld, gateway_world

PAR = "/revoke"  # the fake has no endpoint for pushed requests; this one takes the same authentication and is scripted
URI = "urn:ietf:params:oauth:request_uri:6esc_11ACC5bwc014ltc14eY22c"
EXPLAINED = {code for row in rows(page("how-to/refusals.md")) for code in codes(row[0])} | {"http_500"}  # of `http_5xx`


@asynccontextmanager
async def pushing(answer: Answer, **corp: Any) -> AsyncIterator[GatewayWorld]:
    """A gateway that pushes its requests to a provider with this answer."""
    async with gateway_world(corp={"par": "required", **corp}) as world:
        endpoint = f"{world.corp.issuer}{PAR}"
        world.corp.misbehave(metadata=having(pushed_authorization_request_endpoint=endpoint), answers={PAR: answer})
        yield world


def pushed(request_uri: object, *, status: int = 201, **members: object) -> Answer:
    """The answer that gives this reference."""
    return Answer(status=status, body=json.dumps({"request_uri": request_uri, **members}).encode())


TAKEN: dict[str, tuple[Answer, str]] = {
    "as the rules say": (pushed(URI, expires_in=60), URI),
    "200": (pushed(URI, status=200, expires_in=60), URI),
    "without expires_in": (pushed(URI), URI),
    "expires_in as text": (pushed(URI, expires_in="60"), URI),
    "expires_in with a fraction": (pushed(URI, expires_in=59.5), URI),
    "expires_in below zero": (pushed(URI, expires_in=-1), URI),
    "expires_in null": (pushed(URI, expires_in=None), URI),
    "an https URL with a query": (pushed("https://p.example/r?a=b&c=d#e"), "https://p.example/r?a=b&c=d#e"),
    "characters that need encoding": (pushed('urn:a+b%20"<>&=;'), 'urn:a+b%20"<>&=;'),
    "long": (pushed("urn:" + "x" * 2000), "urn:" + "x" * 2000),
    "another media type": (Answer(status=201, body=pushed(URI).body, content_type="text/plain"), URI),
}


@pytest.mark.requirement("R-044")
@pytest.mark.parametrize(("answer", "reference"), TAKEN.values(), ids=TAKEN.keys())
async def test_a_usable_reference_reaches_the_provider_as_it_is(answer: Answer, reference: str) -> None:
    """The browser carries our id and the reference, each once and nothing else."""
    async with pushing(answer) as world:
        browser = await world.browser()
        begun = await browser.open_once("/bff/login?provider=corp", from_url=world.url + "/")
        assert begun.status_code == 303
        sent = parse_qsl(urlsplit(begun.headers["location"]).query, strict_parsing=True)
        assert sent == [("client_id", "shop"), ("request_uri", reference)]


HTML = Answer(status=201, body=b"<html>", content_type="text/html")
LATER, MISBEHAVED = 503, 502
NOT_TAKEN: dict[str, tuple[Answer, int, str]] = {
    **{
        error: (oauth_error(error), MISBEHAVED, error)
        for error in ("invalid_request", "invalid_scope", "unauthorized_client", "invalid_request_object")
    },
    **{error: (oauth_error(error), LATER, error) for error in ("server_error", "temporarily_unavailable")},
    "invalid_client": (oauth_error("invalid_client", status=401), MISBEHAVED, "invalid_client"),
    "use_dpop_nonce without a nonce": (oauth_error("use_dpop_nonce"), MISBEHAVED, "use_dpop_nonce"),
    "an error with 200": (oauth_error("invalid_scope", status=200), MISBEHAVED, "invalid_scope"),
    "an error with 201": (oauth_error("invalid_request", status=201), MISBEHAVED, "invalid_request"),
    "401 in HTML": (Answer(status=401, body=b"<html>", content_type="text/html"), MISBEHAVED, "not_json"),
    "404": (Answer(status=404), MISBEHAVED, "not_json"),
    "413": (Answer(status=413, body=b"too large"), MISBEHAVED, "not_json"),
    "429": (Answer(status=429, fields=(("retry-after", "77"),)), LATER, "http_429"),
    "500": (Answer(status=500, body=b"<html>"), LATER, "http_500"),
    "503": (Answer(status=503, fields=(("retry-after", "77"),)), LATER, "http_503"),
    "302": (redirect("https://elsewhere.example/par"), MISBEHAVED, "status"),
    "307": (redirect("https://elsewhere.example/par", status=307), MISBEHAVED, "status"),
    "202": (pushed(URI, status=202), MISBEHAVED, "status"),
    "204": (Answer(status=204), MISBEHAVED, "status"),
    "HTML": (HTML, MISBEHAVED, "not_json"),
    "empty": (Answer(status=201), MISBEHAVED, "not_json"),
    "a list": (Answer(status=201, body=b"[]"), MISBEHAVED, "not_json"),
    "twice": (Answer(status=201, body=b'{"request_uri": "a", "request_uri": "b"}'), MISBEHAVED, "not_json"),
    "no reference": (Answer(status=201, body=b'{"expires_in": 60}'), MISBEHAVED, "request_uri"),
    **{
        f"the reference {wrong!r:.20}": (pushed(wrong), MISBEHAVED, "request_uri")
        for wrong in ("", None, 7, [URI], {}, "urn:a b", "urn:a\r\nSet-Cookie: a=b", "urn:\u00e4", "u" * 3000)
    },
    "gzip": (Answer(status=201, body=b"\x1f\x8b", fields=(("content-encoding", "gzip"),)), MISBEHAVED, "encoding"),
    "cut off": (Answer(status=201, body=b'{"request_uri"', truncated=True), LATER, "cut_off"),
    "endless": (Answer(status=201, body=b" " * 65536, repeat_body=64), MISBEHAVED, "too_large"),
}


@pytest.mark.requirement("R-044", "R-302", "R-336")
@pytest.mark.parametrize(("answer", "status", "reason"), NOT_TAKEN.values(), ids=NOT_TAKEN.keys())
async def test_a_request_that_is_not_taken_is_a_page_and_an_event(answer: Answer, status: int, reason: str) -> None:
    """The person gets a page to try again from, and the operator a reason that has a row in the how-to."""
    async with pushing(answer) as world:
        browser = await world.browser()
        with capture_logs() as logs:
            begun = await browser.open_once("/bff/login?provider=corp&return_to=/deep", from_url=world.url + "/")
        assert (begun.status_code, begun.headers["content-type"]) == (status, "text/html; charset=utf-8")
        assert "/bff/login?provider=corp" in begun.text
        told = [(entry["event"], entry["reason"]) for entry in logs if entry["event"] == "request.not_served"]
        assert told == [("request.not_served", reason)]
        assert reason in EXPLAINED
        assert world.corp.calls_to("/authorize") == []
        if "retry-after" in dict(answer.fields):
            assert begun.headers["retry-after"] == "77"
            assert "in 77 seconds" in begun.text


@pytest.mark.requirement("R-044", "R-120")
@pytest.mark.parametrize("par", ["auto", "required"])
async def test_pushed_requests_that_are_required_without_an_endpoint(par: str) -> None:
    """The metadata demand what they do not offer: the sign-in does not begin, and nothing is said through the browser instead."""
    async with gateway_world(corp={"par": par}) as world:
        world.corp.misbehave(metadata=having(require_pushed_authorization_requests=True))
        browser = await world.browser()
        with capture_logs() as logs:
            begun = await browser.open_once("/bff/login?provider=corp", from_url=world.url + "/")
        assert begun.status_code == 502
        assert [entry["reason"] for entry in logs if entry["event"] == "request.not_served"] == ["no_par_endpoint"]
        assert world.corp.calls_to("/authorize") == []
