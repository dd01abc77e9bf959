"""Users see and end their own sessions; a provider's sign-out page ends one by a frame."""

import json

import pytest

from support.fake_provider import having
from support.gateway_world import GatewayWorld, gateway_world
from support.strict_browser import Browser


async def listed(browser: Browser) -> list[dict[str, object]]:
    """What the browser is told of its user's sessions."""
    answer = await browser.fetch("/bff/sessions")
    assert answer.status_code == 200, answer.text
    return list(answer.json()["sessions"])


async def sid_of(world: GatewayWorld) -> str:
    """The `sid` of the only session in the store."""
    store = world.app.process.store
    (key,) = await store.find(issuer=world.corp.issuer, subject="alice")
    live = await store.read(key, touch=False, now=world.clock.now)
    assert live is not None
    return str(live.session.grants[0].sid)


async def test_a_user_sees_all_own_sessions_and_no_others(world: GatewayWorld) -> None:
    """The list holds the sessions of this user in every browser, marks the current one, and no token, cookie or other user."""
    tokens = world.record_tokens()
    laptop, phone, _ = await world.signed_in("alice"), await world.signed_in("alice"), await world.signed_in("bob")
    world.clock.now += 60
    await phone.fetch("/api/x")
    sessions = await listed(phone)
    assert [session["current"] for session in sessions].count(True) == 1
    assert len(sessions) == 2
    (current,) = [session for session in sessions if session["current"]]
    assert current["providers"] == ["corp"]
    assert current["last_used_at"] == world.clock.now
    assert current["expires_at"] == world.clock.now + 1800
    assert current["created_at"] == world.clock.now - 60
    assert str(current["user_agent"]).startswith("python-httpx")
    text = json.dumps(sessions)
    assert all(token not in text for _, token in tokens)
    assert all(cookie.value not in text for cookie in laptop.jar.values())


async def test_a_user_ends_one_session(world: GatewayWorld) -> None:
    """The session of the id is over at once, the others live; ended twice it is unknown."""
    laptop, phone = await world.signed_in("alice"), await world.signed_in("alice")
    (other,) = [session["id"] for session in await listed(phone) if not session["current"]]
    assert (await phone.fetch(f"/bff/sessions/{other}", method="DELETE")).status_code == 204
    assert (await laptop.fetch("/api/x")).status_code == 401
    assert (await phone.fetch("/api/x")).status_code == 200
    assert (await phone.fetch(f"/bff/sessions/{other}", method="DELETE")).status_code == 404


async def test_a_user_ends_the_current_session_by_its_id(world: GatewayWorld) -> None:
    """Ending the current session removes its cookie, too."""
    browser = await world.signed_in("alice")
    (own,) = [session["id"] for session in await listed(browser)]
    assert (await browser.fetch(f"/bff/sessions/{own}", method="DELETE")).status_code == 204
    assert browser.cookie("__Host-Http-bff") is None
    assert (await browser.fetch("/bff/user")).json()["authenticated"] is False


async def test_a_user_ends_all_other_sessions(world: GatewayWorld) -> None:
    """All but the current session of this user are over; another user's is not."""
    others = [await world.signed_in("alice") for _ in range(3)]
    bob, current = await world.signed_in("bob"), await world.signed_in("alice")
    assert (await current.fetch("/bff/sessions", method="DELETE")).status_code == 204
    assert [(await browser.fetch("/api/x")).status_code for browser in others] == [401] * 3
    assert (await bob.fetch("/api/x")).status_code == 200
    assert len(await listed(current)) == 1


async def test_nobody_ends_a_session_of_another_user(world: GatewayWorld) -> None:
    """The id of another user's session, a cut one, an extended one, and any text are 404."""
    alice, bob = await world.signed_in("alice"), await world.signed_in("bob")
    (own,) = [str(session["id"]) for session in await listed(alice)]
    for wrong in (own, own[:-1], own + "0", own.upper() + "x", "x", "%2e%2e"):
        assert (await bob.fetch(f"/bff/sessions/{wrong}", method="DELETE")).status_code in {400, 404}
    assert (await alice.fetch("/api/x")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/bff/sessions"), ("DELETE", "/bff/sessions"), ("DELETE", "/bff/sessions/x")]
)
async def test_sessions_are_defended_like_every_call(world: GatewayWorld, method: str, path: str) -> None:
    """Without the CSRF header or from another site it is 403, without a session 401, by another method 405."""
    browser, anonymous = await world.signed_in(), await world.browser()
    assert (await browser.fetch(path, method=method, csrf=False)).status_code == 403
    assert (await browser.fetch(path, method=method, from_url=world.corp.issuer)).status_code == 403
    assert (await anonymous.fetch(path, method=method)).status_code == 401
    refused = await browser.fetch(path, method="POST")
    assert refused.status_code == 405
    assert method in refused.headers["allow"]


async def test_a_front_channel_logout_ends_the_session_of_its_sid() -> None:
    """A frame of the provider's page, without any cookie, ends the session of `iss` and `sid`; the provider alone may frame it."""
    async with gateway_world(corp={"frontchannel_logout": True}) as world:
        browser, other, bob = await world.signed_in("alice"), await world.browser(), await world.signed_in("bob")
        sid = await sid_of(world)
        frame = {"sec-fetch-dest": "iframe"}
        for wrong in (f"iss={world.partner.issuer}&sid={sid}", f"iss={world.corp.issuer}&sid=x"):
            answer = await other.open_once(f"/bff/frontchannel-logout/corp?{wrong}", headers=frame)
            assert answer.status_code == 200
        assert (await browser.fetch("/api/x")).status_code == 200
        answer = await other.open_once(
            f"/bff/frontchannel-logout/corp?iss={world.corp.issuer}&sid={sid}", headers=frame
        )
        assert answer.status_code == 200
        origin = world.corp.issuer.partition("//")[0] + "//" + world.corp.issuer.split("/")[2]
        assert answer.headers["content-security-policy"] == f"default-src 'none'; frame-ancestors {origin}"
        assert answer.headers["cache-control"] == "no-store"
        assert (await browser.fetch("/api/x")).status_code == 401
        assert (await bob.fetch("/api/x")).status_code == 200
        assert [call for call in world.corp.calls if call.path == "/revoke"] == []


@pytest.mark.parametrize("asked", ["", "iss=x", "sid=x", "iss=x&sid=", "iss=x&sid=a&sid=b"])
async def test_a_front_channel_logout_names_its_session(asked: str) -> None:
    """Without `iss` and `sid`, each once, it is refused."""
    async with gateway_world(corp={"frontchannel_logout": True}) as world:
        browser = await world.browser()
        assert (await browser.open_once(f"/bff/frontchannel-logout/corp?{asked}")).status_code == 400


async def test_front_channel_logout_is_off_unless_configured(world: GatewayWorld) -> None:
    """A provider without the switch has no such endpoint, and no session ends."""
    browser = await world.signed_in("alice")
    sid = await sid_of(world)
    answer = await browser.open_once(f"/bff/frontchannel-logout/corp?iss={world.corp.issuer}&sid={sid}")
    assert answer.status_code == 404
    assert (await browser.fetch("/api/x")).status_code == 200


@pytest.mark.requirement("R-022", "R-195")
async def test_who_has_to_sign_in_again_sees_no_sessions(world: GatewayWorld) -> None:
    """All sign-ins of the session have ended, as `/bff/user` says: the list is 401, and nothing can be ended by it."""
    world.corp.misbehave(token_answer=having(refresh_expires_in=601))
    browser = await world.signed_in()
    world.clock.now += 601
    assert (await browser.fetch("/bff/sessions")).status_code == 401
    assert (await browser.fetch("/bff/sessions", method="DELETE")).status_code == 401
    assert (await browser.fetch("/bff/user")).json()["authenticated"] is False
