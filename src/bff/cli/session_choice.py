"""Which sessions a command is about: one by its id, a user's, a provider's, or all of this namespace."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

from bff.config.model import Config, ProviderConfig
from bff.issuers import ANY_TENANT, accepts, is_template, of_tenant
from bff.sessions.ending import sessions_to_end
from bff.sessions.model import Grant, LiveSession
from bff.sessions.store import Found, SessionStore

_ID = re.compile(r"[0-9a-f]{8,64}")


class WrongChoice(Exception):
    """What was typed names no sessions; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What was typed; all None: every session of this namespace."""

    id: str | None = None  # the beginning of a session's key, 8 digits or more: the log names sessions by 8
    provider: str | None = None
    issuer: str | None = None
    subject: str | None = None

    @property
    def everything(self) -> bool:
        """Whether nothing narrows it."""
        return self == Choice()

    def check(self, config: Config) -> None:
        """Return if sessions can be looked up by it.

        Raises:
            WrongChoice: a malformed id, an unknown provider, or options that exclude each other.
        """
        if self.id is not None and (self.provider or self.issuer or self.subject):
            raise WrongChoice("an ID stands alone, without --provider, --issuer and --subject")
        if self.id is not None and _ID.fullmatch(self.id) is None:
            raise WrongChoice("an ID is 8 to 64 of the digits 0-9 and a-f, as `bff sessions list` prints it")
        if self.provider is not None and self.provider not in config.providers:
            raise WrongChoice(f"there is no provider {self.provider}; known: {', '.join(config.providers)}")
        if self.issuer is not None and self.subject is None:
            raise WrongChoice("--issuer goes with --subject")


async def chosen(store: SessionStore, choice: Choice, config: Config, *, now: float) -> AsyncIterator[list[Found]]:
    """The sessions in portions, each once, and what cannot be opened where the choice cannot rule it out.

    A user's come from the index, and are looked for until a search finds nothing new (`sessions/ending.py`), so the caller ends a
    portion before it asks for the next. All others come from a survey of the store.

    Raises:
        StoreUnavailable: the store cannot be asked.
    """
    seen: set[str] = set()
    issuers = issuers_of(choice, config)
    surveys = issuers is None
    source = _surveyed(store, choice, config, now=now) if surveys else _indexed(store, choice, issuers or [], now=now)
    async for portion in source:
        new = {found.key: found for found in portion if found.key not in seen}
        seen.update(new)
        yield list(new.values())


async def _surveyed(store: SessionStore, choice: Choice, config: Config, *, now: float) -> AsyncIterator[list[Found]]:
    async for portion in store.survey(now=now, key_prefix=choice.id or ""):
        yield [found for found in portion if found.live is None or _holds(found.live, choice, config)]


async def _indexed(
    store: SessionStore, choice: Choice, issuers: list[str], *, now: float
) -> AsyncIterator[list[Found]]:
    for issuer in issuers:
        async for key in sessions_to_end(store, issuer=issuer, subject=choice.subject):
            live = await store.read(key, touch=False, now=now)
            yield [] if live is None else [Found(key=key, live=live)]


def _holds(live: LiveSession, choice: Choice, config: Config) -> bool:
    return any(_fits(grant, choice, config) for grant in live.session.grants)


def _fits(grant: Grant, choice: Choice, config: Config) -> bool:
    if choice.subject is None:
        return choice.provider in {None, grant.provider}
    settings = _settings(choice, config)
    tenants = settings.allowed_tenants or ()
    return grant.subject == choice.subject and accepts(grant.issuer, template=settings.issuer, allowed_tenants=tenants)


def issuers_of(choice: Choice, config: Config) -> list[str] | None:
    """The issuers under which the index knows the user; None if there is no user, or too many issuers to list."""
    if choice.subject is None:
        return None
    if choice.issuer is not None:
        return [choice.issuer]
    settings = _settings(choice, config)
    if not is_template(settings.issuer):
        return [settings.issuer]
    if settings.allowed_tenants == ANY_TENANT:
        return None
    return [of_tenant(settings.issuer, tenant) for tenant in settings.allowed_tenants or ()]


def _settings(choice: Choice, config: Config) -> ProviderConfig:
    return config.providers[choice.provider or next(iter(config.providers))]
