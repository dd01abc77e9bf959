"""`bff sessions list | show | end`: an administrator looks at sessions and ends them, at once on every worker (ASVS V7.4.2, V7.4.5).

Exit codes: 0 done; 1 the store does not answer, there is no such session, or a token was not revoked; 2 wrong options, or a store in
memory.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence

import click

from bff.cli import session_views
from bff.cli.failures import described
from bff.cli.revocations import revoke_all
from bff.cli.session_choice import Choice, WrongChoice, chosen, issuers_of
from bff.clock import wall
from bff.config.model import Config
from bff.errors import StoreUnavailable
from bff.sessions import fates, sign_outs
from bff.sessions.model import LiveSession, shown_id
from bff.sessions.opening import PATIENCE_OF_COMMANDS_SECONDS, open_store
from bff.sessions.store import Found, SessionStore

IN_MEMORY = (
    "memory:// keeps its sessions inside the gateway's process, where no command sees them; a restart ends them all"
)


def list_sessions(config: Config, choice: Choice, *, as_json: bool) -> int:
    """Print one line for each session, the latest sign-in first; the exit code."""
    return _run(config, choice, lambda store: _list(store, config, choice, as_json=as_json))


def show(config: Config, choice: Choice, *, as_json: bool) -> int:
    """Print what is known of each token of these sessions; the exit code."""
    return _run(config, choice, lambda store: _show(store, config, choice, as_json=as_json))


def end(config: Config, choice: Choice, *, revoke: bool, as_json: bool) -> int:
    """End these sessions, then revoke their tokens; the exit code."""
    return _run(config, choice, lambda store: _end(store, config, choice, revoke=revoke, as_json=as_json))


def _run(config: Config, choice: Choice, work: Callable[[SessionStore], Awaitable[int]]) -> int:
    try:
        choice.check(config)
    except WrongChoice as wrong:
        return _error(str(wrong), status=2)
    if config.session.store.in_memory:
        return _error(IN_MEMORY, status=2)
    return asyncio.run(_with_store(config, work))


async def _with_store(config: Config, work: Callable[[SessionStore], Awaitable[int]]) -> int:
    store = open_store(config.session, patience_seconds=PATIENCE_OF_COMMANDS_SECONDS)
    try:
        return await work(store)
    except StoreUnavailable as error:
        return _error(described(error), status=1)
    finally:
        await store.close()


async def _list(store: SessionStore, config: Config, choice: Choice, *, as_json: bool) -> int:
    found, not_opened = await _gathered(store, config, choice)
    if as_json:
        summaries = [session_views.summary(live, config) for live in found]
        click.echo(json.dumps({"sessions": summaries, "not_opened": not_opened}, indent=2))
        return 0
    for line in session_views.table(found, config):
        click.echo(line)
    _note_not_opened(not_opened)
    return 0


async def _show(store: SessionStore, config: Config, choice: Choice, *, as_json: bool) -> int:
    found, not_opened = await _gathered(store, config, choice)
    if choice.id is not None and (refusal := _not_one([live.session.key for live in found], choice.id)):
        _note_not_opened(not_opened)
        return _error(refusal, status=1)
    views = [session_views.details(live, config, now=wall()) for live in found]
    if as_json:
        click.echo(json.dumps({"sessions": views, "not_opened": not_opened}, indent=2))
        return 0
    for view in views:
        click.echo("\n".join((*session_views.text(view), "")))
    _note_not_opened(not_opened)
    return 0


async def _end(store: SessionStore, config: Config, choice: Choice, *, revoke: bool, as_json: bool) -> int:
    if choice.id is not None:
        keys = [found.key async for portion in chosen(store, choice, config, now=wall()) for found in portion]
        if refusal := _not_one(keys, choice.id):
            return _error(refusal, status=1)
    for issuer in issuers_of(choice, config) or []:  # of a user: a sign-in under way ends without a session too
        await sign_outs.note_user(store, issuer=issuer, subject=choice.subject, now=wall())
    ended: list[Found] = []
    async for portion in chosen(store, choice, config, now=wall()):
        ended += await _ended([found for found in portion if _may_end(found, choice)], store)
    live = [found.live.session for found in ended if found.live is not None]
    not_revoked = await revoke_all(live, config) if revoke else {}
    if as_json:
        ids = [shown_id(found.key) for found in ended]
        click.echo(json.dumps({"ended": ids, "not_revoked": not_revoked}, indent=2))
    else:
        click.echo(f"{len(ended)} session(s) ended")
    for provider, count in not_revoked.items():
        _error(
            f"provider {provider}: tokens of {count} session(s) were not revoked; they expire by themselves", status=1
        )
    return 1 if not_revoked else 0


async def _ended(portion: Sequence[Found], store: SessionStore) -> list[Found]:
    """Those that were there and are ended now."""
    were_there = await asyncio.gather(*(store.delete(found.key) for found in portion))
    ended = [found for found, was_there in zip(portion, were_there, strict=True) if was_there]
    await asyncio.gather(*(fates.ended(store, found.key, cause="command_line", now=wall()) for found in ended))
    return ended


def _may_end(found: Found, choice: Choice) -> bool:
    """What cannot be opened says neither its user nor its provider: it goes with all, or by its id."""
    return found.live is not None or choice.everything or choice.id is not None


async def _gathered(store: SessionStore, config: Config, choice: Choice) -> tuple[list[LiveSession], int]:
    """The sessions, the latest sign-in first, and how many entries could not be opened."""
    found = [found async for portion in chosen(store, choice, config, now=wall()) for found in portion]
    live = [one.live for one in found if one.live is not None]
    live.sort(key=lambda one: (one.session.created_at, one.session.key), reverse=True)
    return live, len(found) - len(live)


def _not_one(keys: Sequence[str], typed: str) -> str | None:
    """Why the id names no session, or more than one."""
    if not keys:
        return f"there is no session {typed}"
    if len(keys) > 1:
        return f"{len(keys)} sessions begin with {typed}: {', '.join(map(shown_id, keys))}"
    return None


def _note_not_opened(count: int) -> None:
    if count:
        click.echo(
            f"{count} more that cannot be opened: sealed under another key, or not written by this gateway", err=True
        )


def _error(message: str, *, status: int) -> int:
    click.echo(f"error: {message}", err=True)
    return status
