"""`bff sessions end`: an administrator ends a user's sessions, or all of them, at once on every worker (ASVS V7.4.2, V7.4.5)."""

import click

from bff.config.model import Config, ProviderConfig
from bff.errors import StoreUnavailable
from bff.issuers import is_template, of_tenant
from bff.sessions.ending import sessions_to_end
from bff.sessions.opening import open_store


async def end(config: Config, *, provider: str | None, subject: str | None) -> int:
    """End the sessions of `subject` at `provider` (the first one if none is named), or all if it is None; the exit code."""
    if config.session.store.in_memory:
        click.echo("error: memory:// lives inside the gateway; restart it to end all sessions", err=True)
        return 2
    if provider is not None and provider not in config.providers:
        click.echo(f"error: there is no provider {provider}; known: {', '.join(config.providers)}", err=True)
        return 2
    store = open_store(config.session)
    try:
        if subject is None:
            ended = await store.delete_all()
        else:
            settings = config.providers[provider or next(iter(config.providers))]
            ended = 0
            for issuer in _issuers(settings):
                keys = sessions_to_end(store, issuer=issuer, subject=subject)
                ended += sum([await store.delete(key) async for key in keys])
    except StoreUnavailable as error:
        click.echo(f"error: {error}", err=True)
        return 1
    finally:
        await store.close()
    click.echo(f"{ended} session(s) ended")
    return 0


def _issuers(settings: ProviderConfig) -> list[str]:
    """The issuers that a subject may be known under: one for each tenant, where the configuration lists them."""
    if not is_template(settings.issuer):
        return [settings.issuer]
    return [of_tenant(settings.issuer, tenant) for tenant in settings.allowed_tenants or ()]
