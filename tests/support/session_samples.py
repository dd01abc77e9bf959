"""Sessions, grants and transactions as tests need them, and a listener that remembers what it was told."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from bff.errors import StoreUnavailable
from bff.sessions.logins import LoginTransaction
from bff.sessions.model import AccessToken, Grant, Session, Target, new_session_id, session_key
from bff.sessions.store import Change, SessionStore
from support.waiting import PATIENCE_SECONDS

NOW = 1_800_000_000.0
KEY = "a session key of more than 32 characters, for tests"
NEW_KEY = "another session key of more than 32 characters"
ISSUER = "https://login.example.com/realms/shop"
OTHER_ISSUER = "https://login.partner.example.net"
ORDERS = Target(resource="https://orders.example.com")

Answer = TypeVar("Answer")


async def once_it_answers(ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """The store's first answer to `ask`: on a busy machine, timeouts that are short for a test also end good calls."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                return await ask()
            except StoreUnavailable:
                await asyncio.sleep(0.05)


def a_grant(
    *,
    provider: str = "corp",
    issuer: str = ISSUER,
    subject: str | None = "alice-subject",
    sid: str | None = "alice-sid",
    canary: str = "canary",
) -> Grant:
    """A grant whose every secret contains `canary`."""
    token = AccessToken(value=f"access-{canary}", expires_at=NOW + 300, refresh_at=NOW + 240)
    return Grant(
        provider=provider,
        issuer=issuer,
        client_id="shop",
        subject=subject,
        sid=sid,
        claims={"email": f"{canary}@example.com", "roles": ["buyer", 7, None], "address": {"city": "Bruges"}},
        auth_time=NOW,
        nonce=f"nonce-{canary}",
        id_token=f"id-{canary}",
        refresh_token=f"refresh-{canary}",
        refresh_token_expires_at=None,
        access_tokens=((ORDERS, token),),
        granted_at=NOW,
    )


def a_session(*grants: Grant, key: str | None = None, lifetime_seconds: float = 12 * 3600.0) -> Session:
    """A session as it is before `create`; with one grant unless others are given."""
    return Session(
        key=key or session_key(new_session_id()),
        version=0,
        created_at=NOW,
        absolute_expires_at=NOW + lifetime_seconds,
        grants=grants or (a_grant(),),
    )


def a_transaction(*, canary: str = "canary") -> LoginTransaction:
    """A login transaction whose every secret contains `canary`."""
    return LoginTransaction(
        provider="corp",
        registration=b"r" * 16,
        browser=b"b" * 16,
        seed=canary.encode().ljust(32, b"."),
        return_to=f"/orders/{canary}",
        begun_at=NOW,
    )


def with_note(session: Session, note: str) -> Session:
    """The same session with something changed in it."""
    grants = tuple(replace(grant, claims={**grant.claims, "note": note}) for grant in session.grants)
    return replace(session, grants=grants)


async def end_all(store: SessionStore, *, now: float = NOW) -> int:
    """End every session of the store; how many there were."""
    keys = {found.key async for portion in store.survey(now=now) for found in portion}
    return sum([await store.delete(key) for key in keys])


class Heard:
    """A change listener that remembers everything, and can be waited for."""

    def __init__(self) -> None:
        self.events: list[Change | str] = []
        self._news = asyncio.Event()

    def session_changed(self, change: Change) -> None:
        """Remember."""
        self._add(change)

    def changes_interrupted(self) -> None:
        """Remember."""
        self._add("interrupted")

    def changes_resumed(self) -> None:
        """Remember."""
        self._add("resumed")

    async def until(self, holds: Callable[[list[Change | str]], bool]) -> None:
        """Return once `holds` of everything heard so far."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not holds(self.events):
                self._news.clear()
                await self._news.wait()

    async def resumed(self) -> None:
        """Return once changes are heard for the first time."""
        await self.until(lambda events: "resumed" in events)

    def _add(self, event: Change | str) -> None:
        self.events.append(event)
        self._news.set()


def ahead(seconds: float) -> Callable[[], float]:
    """A wall clock that is wrong."""
    return lambda: time.time() + seconds
