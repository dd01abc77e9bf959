"""What APIs need of a gateway before them: places, hosts, fields of the operator's, and fields that are not theirs to send."""

from typing import Any

import pytest

from support.echo_upstream import Said
from support.fake_provider import having
from support.gateway_world import GatewayWorld, gateway_world
from support.strict_browser import Browser


def routes(**more: object) -> list[dict[str, Any]]:
    """One route with these keys."""
    return [{"path": "/api", "upstream": "{upstream}", "provider": "corp", **more}, {"path": "/", "files": "dist"}]


async def answered(world: GatewayWorld, browser: Browser, *fields: tuple[bytes, bytes], status: int = 200) -> Any:
    """What the browser gets of an answer with these fields."""
    world.upstream.answer_next(Said(status=status, fields=[*fields, (b"content-length", b"0")]))
    return await browser.fetch("/api/orders")


@pytest.mark.requirement("R-360")
async def test_a_redirect_of_the_upstream_arrives_at_the_public_address() -> None:
    """FastAPI's redirect to the path with a slash names its own origin; the browser sees ours."""
    async with gateway_world(routes=routes()) as world:
        browser = await world.signed_in()
        inner = world.config.routes[0].upstream[0].origin.encode()  # type: ignore[index]  # this route has one
        answer = await answered(world, browser, (b"location", inner + b"/orders/"), status=307)
        assert answer.headers["location"] == world.url + "/api/orders/"
        answer = await answered(world, browser, (b"location", b"/uploads/1"), (b"content-location", b"/x"), status=201)
        assert (answer.headers["location"], answer.headers["content-location"]) == ("/api/uploads/1", "/api/x")


@pytest.mark.requirement("R-360")
async def test_a_route_may_leave_places_as_they_are() -> None:
    """`map_location: false` passes Location byte for byte."""
    async with gateway_world(routes=routes(map_location=False)) as world:
        answer = await answered(world, await world.signed_in(), (b"location", b"/orders/"), status=307)
        assert answer.headers["location"] == "/orders/"


@pytest.mark.requirement("R-360")
async def test_a_cookie_of_an_api_behind_a_base_path_comes_back_to_it() -> None:
    """Servlet containers set their cookie for the context path; browsers know the route's path only."""
    behind = [{**routes()[0], "upstream": "{upstream}/v2"}, routes()[1]]
    async with gateway_world(routes=behind) as world:
        browser = await world.signed_in()
        answer = await answered(world, browser, (b"set-cookie", b"JSESSIONID=1; Path=/v2; HttpOnly"))
        assert answer.headers.get_list("set-cookie") == ["JSESSIONID=1; Path=/api; HttpOnly"]
        await browser.fetch("/api/orders")
        assert world.upstream.seen[-1].values("cookie") == ["JSESSIONID=1"]


@pytest.mark.requirement("R-361")
async def test_host_and_prefix_are_told() -> None:
    """`pass_host` shows the upstream the public host; `X-Forwarded-Prefix` tells it the route's path."""
    async with gateway_world(routes=routes(pass_host=True)) as world:
        browser = await world.signed_in()
        await browser.fetch("/api/orders", headers={"x-forwarded-prefix": "/evil"})
        seen = world.upstream.seen[0]
        assert seen.values("host") == [world.url.removeprefix("http://")]
        assert seen.values("x-forwarded-prefix") == ["/api"]


@pytest.mark.requirement("R-361")
async def test_no_prefix_is_told_where_paths_are_the_same() -> None:
    """An upstream that serves below the route's own path needs none."""
    async with gateway_world(routes=[{**routes()[0], "upstream": "{upstream}/api"}, routes()[1]]) as world:
        await (await world.signed_in()).fetch("/api/orders")
        seen = world.upstream.seen[0]
        assert seen.values("x-forwarded-prefix") == []
        assert seen.values("host") != [world.url.removeprefix("http://")]


SITE = [
    "X-Accel-Redirect", "X-Accel-Expires", "X-Sendfile", "X-Lighttpd-Send-File", "Strict-Transport-Security", "NEL", "Report-To",
    "Reporting-Endpoints", "Service-Worker-Allowed", "Public-Key-Pins", "Public-Key-Pins-Report-Only", "Alt-Svc",
    "Secure-Session-Registration", "Secure-Session-Challenge", "Sec-Session-Registration", "Sec-Session-Challenge", "Set-Login",
]  # fmt: skip


@pytest.mark.parametrize("name", SITE)
@pytest.mark.requirement("R-368")
async def test_an_api_commands_neither_proxies_nor_the_site(name: str) -> None:
    """Such a field is dropped, unless the route lets it through."""
    field = (name.lower().encode(), b"max-age=1")
    async with gateway_world(routes=routes()) as world:
        answer = await answered(world, await world.signed_in(), field)
        assert name not in answer.headers
    async with gateway_world(routes=routes(response_headers={"pass": [name]})) as world:
        answer = await answered(world, await world.signed_in(), field)
        assert answer.headers[name] == "max-age=1"


@pytest.mark.requirement("R-368")
async def test_buffering_may_be_tuned_and_cookies_are_bounded() -> None:
    """`X-Accel-Buffering` passes; of several hundred cookies the first fifty."""
    async with gateway_world(routes=routes()) as world:
        cookies = [(b"set-cookie", b"c%d=1" % number) for number in range(380)]
        answer = await answered(world, await world.signed_in(), (b"x-accel-buffering", b"no"), *cookies)
        assert answer.headers["x-accel-buffering"] == "no"
        assert answer.headers.get_list("set-cookie") == [f"c{number}=1" for number in range(50)]


@pytest.mark.parametrize(
    "name",
    [
        "X-Webauth-User", "Remote-User", "Remote-Groups", "X-Consumer-Username", "X-Goog-Authenticated-User-Email", "Proxy",
        "X-Ms-Client-Principal-Id", "X-Pomerium-Claim-Email", "X-Envoy-Original-Path", "Impersonate-User", "X-Client-Cert",
        "X-SSL-Client-S-DN", "X-Amzn-Oidc-Data", "Cf-Access-Jwt-Assertion", "Tailscale-User-Login", "X-Authentik-Username",
    ],
)  # fmt: skip
@pytest.mark.requirement("R-369")
async def test_no_spelling_of_an_identity_comes_from_the_browser(name: str) -> None:
    """Identity and routing fields are dropped in every spelling; a route may let one through by its name."""
    for route, passed in ((routes(), []), (routes(request_headers={"pass": [name]}), ["root"])):
        async with gateway_world(routes=route) as world:
            browser = await world.signed_in()
            await browser.fetch("/api/orders", headers={name.upper(): "root"})
            assert world.upstream.seen[0].values(name.lower()) == passed
            underscored = f"{name}_".replace("-", "_")
            await browser.fetch("/api/orders", headers={underscored: "root"})
            assert world.upstream.seen[1].values(underscored.lower()) == []


CLAIMS = {
    "email": "alice@example.com", "groups": ["admin", "a,b", "50%"], "name": "Jürgen Müller", "n": 7, "ok": True, "o": {"r": ["x"]},
}  # fmt: skip


@pytest.mark.requirement("R-369")
async def test_the_operators_fields_say_who_it_is() -> None:
    """Fixed texts and the user's claims go upstream; the browser's own fields of these names do not."""
    wanted = {
        "X-Email": "{claims.email}", "X-Groups": "{claims.groups}", "X-Name": "{claims.name}", "X-Sub": "{provider}/{subject}",
        "X-Issuer": "{issuer}", "X-Missing": "a-{claims.none}", "X-Fixed": "shop", "X-N": "{claims.n}-{claims.ok}",
        "X-Nested": "{claims.o.r}", "X-Object": "{claims.o}", "Accept-Language": "de",
    }  # fmt: skip
    async with gateway_world(routes=routes(request_headers={"set": wanted, "remove": ["User-Agent"]})) as world:
        world.corp.misbehave(id_token_claims=having(**CLAIMS))
        browser = await world.signed_in()
        headers = {
            "x-email": "evil@example.com",
            "x-missing": "evil",
            "X_Fixed": "evil",
            "user-agent": "x",
            "accept-language": "en",
        }
        await browser.fetch("/api/orders", headers=headers)
        seen = world.upstream.seen[0]
        assert {name: seen.values(name.lower()) for name in wanted} == {
            "X-Email": ["alice@example.com"],
            "X-Groups": ["admin,a%2Cb,50%25"],
            "X-Name": ["J%C3%BCrgen%20M%C3%BCller"],
            "X-Sub": ["corp/alice"],
            "X-Issuer": [world.corp.issuer],
            "X-Missing": [],
            "X-Fixed": ["shop"],
            "X-N": ["7-true"],
            "X-Nested": ["x"],
            "X-Object": [],
            "Accept-Language": ["de"],
        }
        assert seen.values("user-agent") == seen.values("x_fixed") == []


async def test_users_do_not_get_each_others_fields() -> None:
    """Two users in turn, in the lane and out of it: each call carries its own user's claims."""
    async with gateway_world(routes=routes(request_headers={"set": {"X-Who": "{subject}"}})) as world:
        browsers = {user: await world.signed_in(user) for user in ("alice", "bob")}
        for _ in range(3):
            for user, browser in browsers.items():
                await browser.fetch("/api/orders")
                assert world.upstream.seen[-1].values("x-who") == [user]


async def test_the_operator_changes_an_upstreams_answers() -> None:
    """`response_headers` set and remove fields of an API's answers."""
    changes = {"set": {"Cross-Origin-Resource-Policy": "same-origin"}, "remove": ["X-Powered-By"]}
    async with gateway_world(routes=routes(response_headers=changes)) as world:
        answer = await answered(world, await world.signed_in(), (b"x-powered-by", b"secret/1.0"))
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "x-powered-by" not in answer.headers


@pytest.mark.requirement("R-373")
async def test_an_answer_with_a_validator_may_be_asked_about_again() -> None:
    """Express's ETag: the browser may keep the answer, and asks each time whether it has changed."""
    async with gateway_world(routes=routes()) as world:
        browser = await world.signed_in()
        assert (await answered(world, browser, (b"etag", b'W/"x"'))).headers["cache-control"] == "private, no-cache"
        assert (await answered(world, browser)).headers["cache-control"] == "private, no-store"


async def test_polling_need_not_keep_a_session_alive() -> None:
    """`touch: false`: calls on this route do not move the idle deadline."""
    polled = [*routes(touch=False)[:1], {"path": "/busy", "upstream": "{upstream}", "provider": "corp"}]
    async with gateway_world(routes=polled, session={"idle_timeout": "10m", "local_copy": "off"}) as world:
        browser = await world.signed_in()
        for _ in range(3):
            world.clock.now += 180
            assert (await browser.fetch("/api/orders")).status_code == 200
        world.clock.now += 180
        assert (await browser.fetch("/api/orders")).status_code == 401


@pytest.mark.requirement("R-374")
@pytest.mark.parametrize("csrf", ["header", "origin"])
async def test_a_resource_is_copied_to_a_place_of_its_route(csrf: str) -> None:
    """COPY reaches an upstream whose route lists it, with the upstream's name of the destination; one elsewhere is refused."""
    own = routes(methods=["GET", "COPY"], csrf=csrf)
    other = {"path": "/other", "upstream": "{upstream}", "provider": "corp"}
    async with gateway_world(routes=[{**own[0], "upstream": "{upstream}/v2"}, own[1], other]) as world:
        browser = await world.signed_in()
        answer = await browser.fetch("/api/a", method="COPY", headers={"destination": world.url + "/api/b"})
        assert answer.status_code == 200
        seen = world.upstream.seen[0]
        (inner,) = world.config.routes[0].upstream or ()
        assert (seen.method, seen.target) == ("COPY", "/v2/a")
        assert seen.values("destination") == [f"{inner}/b"]
        for elsewhere in ("https://evil.example/api/b", "/other/b", "/api/../other/b"):
            refused = await browser.fetch("/api/a", method="COPY", headers={"destination": elsewhere})
            assert refused.status_code == 400
        assert (await browser.fetch("/api/a", method="MOVE")).status_code == 405
        assert len(world.upstream.seen) == 1
