"""`bff check`: what `bff serve` would refuse, without starting; with `--online` also what the others say."""

import asyncio
from collections.abc import Awaitable
from pathlib import Path

import click

from bff.cli import logs
from bff.cli.config_file import load_with_warnings_or_exit
from bff.clock import wall
from bff.config.model import Config, TokenKind
from bff.errors import BffError, ProviderMisbehaved, ProviderRefused, ProviderUnavailable, StoreUnavailable
from bff.oauth.authorization import AuthorizationCode
from bff.provider.client import Provider
from bff.provider.features import unsupported
from bff.sessions.opening import open_store


def check(file: Path, *, online: bool) -> int:
    """Print what is wrong; 0 if nothing or warnings only, 1 if something online, 2 (on the way) if the file itself."""
    config = load_with_warnings_or_exit(file)
    logs.silence()
    click.echo(f"{file}: ok ({len(config.providers)} provider(s), {len(config.routes)} route(s))")
    return asyncio.run(_check_online(config)) if online else 0


async def _check_online(config: Config) -> int:
    failures = await _failed("store", _ask_store(config))
    for name, settings in config.providers.items():
        provider = Provider(name=name, config=settings, redirect_uri=f"{config.public_url}/", clock=wall)
        try:
            failures += await _ask_provider(config, provider)
        finally:
            await provider.close()
    return 1 if failures else 0


async def _ask_provider(config: Config, provider: Provider) -> int:
    """How many of the questions failed; without metadata the others cannot be asked."""
    name = f"provider {provider.name}"
    if await _failed(f"{name}: metadata", provider.metadata()):
        return 1
    failures = await _lacking(name, provider)
    failures += await _failed(f"{name}: client authentication", _ask_tokens(config, provider))
    if "openid" in provider.config.scope.split():
        failures += await _failed(f"{name}: keys", provider.keys())
    return failures + _compare_clocks(name, provider)


def _compare_clocks(name: str, provider: Provider) -> int:
    """1 if the provider's clock, by the `Date` of its answers, differs from ours by more than a sign-in tolerates (R-349)."""
    seconds = provider.skew.seconds
    if seconds is None:
        return 0
    apart = abs(seconds) > provider.config.leeway
    click.echo(f"{'FAIL' if apart else 'ok  '} {name}: clock ({seconds:+.0f} s)")
    return int(apart)


async def _failed(what: str, question: Awaitable[object]) -> int:
    try:
        await question
    except BffError as error:
        click.echo(f"FAIL {what}: {_message(error)}")
        return 1
    click.echo(f"ok   {what}")
    return 0


def _message(error: BffError) -> str:
    """The error; with its cause if there was no answer, because a cause without an answer cannot quote one."""
    if not isinstance(error, StoreUnavailable | ProviderUnavailable) or error.__cause__ is None:
        return str(error)
    cause = str(error.__cause__).partition("<")[0].rstrip(" :")  # redis-py shows its objects' insides
    return f"{error}: {cause}" if cause else str(error)


async def _ask_store(config: Config) -> None:
    store = open_store(config.session)
    try:
        await store.ping()
    finally:
        await store.close()


async def _lacking(name: str, provider: Provider) -> int:
    """1 if the metadata says that the provider lacks what the configuration relies on; a line is printed then only."""
    lacking = None if provider.config.discovery == "off" else unsupported(provider.config, await provider.metadata())
    if lacking is None:
        return 0
    click.echo(f"FAIL {name}: {lacking}")
    return 1


async def _ask_tokens(config: Config, provider: Provider) -> None:
    """Client credentials where a route needs them; else a code that cannot exist, which only an unknown client is refused for."""
    for route in config.routes:
        if route.provider == provider.name and route.token in {TokenKind.CLIENT, TokenKind.USER_OR_CLIENT}:
            await provider.client_credentials(scope=route.scope, resource=route.resource, audience=route.audience)
            return
    try:
        code = AuthorizationCode(value="bff-check")
        await provider.exchange_code(code, code_verifier="x" * 43, redirect_uri=provider.redirect_uri, resource=None)
    except ProviderRefused as refused:
        if refused.error in {"invalid_client", "unauthorized_client"}:
            raise
    else:
        raise ProviderMisbehaved("took a code that it never gave", provider=provider.name, reason="code_accepted")
