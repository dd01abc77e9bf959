"""How a sign-in under way travels: the transaction sealed in `state`, the browser's part sealed in the login cookie.

Why so, and why that is safe:

- **The store keeps nothing of a sign-in that only began** (R-313): an anonymous flood of `/login` costs it nothing. Callbacks alone
  write, small marks: that this `state` was used, and that the browser's id was renewed.
- **Sealed** (AES-256-GCM) means that browser and provider can neither read nor change it. What is not exactly as we wrote it, in
  its one spelling, opens nothing; nor does one thing in the place of the other, nor what a gateway of another namespace sealed.
- **Bound to the browser** (RFC 9700 section 4.7.1, login CSRF): the transaction names the id of the browser that began it, and the
  login cookie holds that id. A callback in another browser is refused before anything else is done with it.
- **Bound to the provider** (RFC 9700 section 4.4.2, mix-up): the transaction names the provider, and the issuer, client and redirect
  URI that the request spoke of; they are compared with those of the callback's path.
- **Used once** (R-051): `used_states.py`.
- **Expires**: `session.login_timeout` after it began, by the instant in the sealed text and the clock that all processes share.
- **Why not all in `state`**: some providers cut it at 500 or 2,000 characters, so it holds what fits in 500; a long `return_to` and
  what the page added (`login_params`) lie in the cookie. **Why not all in the cookie**: two tabs that begin at the same time
  overwrite each other's cookie, so it holds what they have in common, and what is long; a tab that lost its own comes back to its
  path, and begins again without what its page added.
- Session keys rotate in between: the newest seals, all open.
"""

import asyncio
import binascii
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import replace

from bff.clock import CLOCKS_DIFFER_SECONDS
from bff.errors import CallbackRefused
from bff.oauth.step_up import StepUp
from bff.provider.client import Provider
from bff.request_head import Field, RequestHead
from bff.sessions import logins as values
from bff.sessions import sign_outs
from bff.sessions.logins import BrowserLogins, LoginTransaction
from bff.sessions.records import decode_logins, decode_transaction, encode_logins, encode_transaction
from bff.web import cookies
from bff.web.gateway import Gateway

MAX_TABS = 16  # login cookies of tabs that one request is taken to hold

_BASE64URL = re.compile(rb"[A-Za-z0-9_-]*")


async def begin(
    gateway: Gateway,
    provider: Provider,
    logins: BrowserLogins,
    *,
    return_to: str,
    step_up: StepUp | None,
) -> LoginTransaction:
    """A new transaction of this browser at this provider; `return_to` as much as `state` can hold of it."""
    return LoginTransaction(
        provider=provider.name,
        registration=_registration(provider),
        browser=logins.id,
        seed=secrets.token_bytes(32),
        return_to=values.short_way_back(return_to, step_up=step_up),
        begun_at=await gateway.process.shared_now(),
        step_up=step_up,
    )


def state_of(gateway: Gateway, transaction: LoginTransaction) -> str:
    """The `state` that carries the transaction to the provider and back."""
    return _spelt(
        gateway.login_sealer.seal(encode_transaction(transaction), bound_to=_bound_to(gateway, b"state"))
    ).decode("ascii")


def known_browser(gateway: Gateway, head: RequestHead) -> BrowserLogins:
    """What the login cookie of a callback says.

    Raises:
        CallbackRefused: `browser_unknown`.
    """
    browser = of_browser(gateway, head)
    if browser is None:
        raise CallbackRefused(
            "This sign-in did not begin in this browser, or not recently. Sign in again.", reason="browser_unknown"
        )
    return browser


def opened(gateway: Gateway, provider: Provider, browser: BrowserLogins, *, state: str | None) -> LoginTransaction:
    """The transaction of a callback's `state`, if this browser began it, at this provider. `in_time` judges its age.

    Raises:
        CallbackRefused: `state_missing`, `state_unknown` or `provider_mismatch`.
    """
    if state is None:
        raise CallbackRefused("The answer belongs to no sign-in of ours. Sign in again.", reason="state_missing")
    envelope = _read(state.encode())
    record = None if envelope is None else gateway.login_sealer.open(envelope, bound_to=_bound_to(gateway, b"state"))
    transaction = None if record is None else decode_transaction(record)
    if transaction is None or not browser.began(transaction):
        raise CallbackRefused("This sign-in did not begin in this browser. Sign in again.", reason="state_unknown")
    if (transaction.provider, transaction.registration) != (provider.name, _registration(provider)):
        raise CallbackRefused("This sign-in began at another provider. Sign in again.", reason="provider_mismatch")
    return transaction


async def in_time(gateway: Gateway, transaction: LoginTransaction) -> None:
    """The transaction began not too long ago.

    Raises:
        CallbackRefused: `state_expired`.
        StoreUnavailable: the clocks have not been compared, and cannot be.
    """
    if await gateway.process.shared_now() - transaction.begun_at >= gateway.config.session.login_timeout:
        raise CallbackRefused("The sign-in took too long. Sign in again.", reason="state_expired")


async def session_after(gateway: Gateway, browser: bytes) -> str | None:
    """The session that a sign-in under this id of a browser has led to; None while there was none, and the id may be used."""
    return await gateway.process.store.recall(_renewal(browser), now=gateway.process.clock())


async def latest_sessions(gateway: Gateway, head: RequestHead) -> list[str]:
    """The sessions that sign-ins of this browser have led to, under any id of its login cookie. It may not have the cookies of the
    latest yet.

    Raises:
        StoreUnavailable: that is not known.
    """
    browser = of_browser(gateway, head)
    if browser is None:
        return []
    after = await asyncio.gather(*(session_after(gateway, known) for known in (browser.id, *browser.earlier)))
    return [key for key in (browser.session_key, *after) if key is not None]


async def note_sign_out(gateway: Gateway, head: RequestHead) -> None:
    """Have sign-ins of this browser that are under way end without a session. Only for a browser with a session cookie: a
    flood of calls without one costs the store nothing (R-313)."""
    browser = of_browser(gateway, head)
    if browser is not None:
        ids = (browser.id, *browser.earlier)
        await sign_outs.note_browser(gateway.process.store, ids, now=gateway.process.clock())


async def renew(gateway: Gateway, logins: BrowserLogins, *, used: bytes, session_key: str) -> BrowserLogins:
    """The browser's part after a sign-in under the id `used`, which led to this session."""
    now = gateway.process.clock()
    lifetime = values.ID_LIFETIME_SECONDS + CLOCKS_DIFFER_SECONDS
    for old in {used, logins.id}:
        await gateway.process.store.remember(_renewal(old), value=session_key, lifetime_seconds=lifetime, now=now)
    return replace(logins.renewed(used=used, now=now), session_key=session_key)


async def beginning_browser(gateway: Gateway, head: RequestHead) -> BrowserLogins:
    """This browser's part of a sign-in that begins: under an id that no sign-in has renewed elsewhere (R-311)."""
    now = gateway.process.clock()
    browser = of_browser(gateway, head) or values.new_browser(now=now)
    if browser.is_old(now=now) or await session_after(gateway, browser.id) is not None:
        return browser.renewed(used=browser.id, now=now)
    return browser


def of_browser(gateway: Gateway, head: RequestHead) -> BrowserLogins | None:
    """What this browser's login cookie says, and those of its tabs; None if it has none that we sealed."""
    field = head.named.get(b"cookie")
    found = _unsealed(gateway, cookies.find(field, gateway.cookies.login))
    names = gateway.cookies.tabs(field)[:MAX_TABS] if field and gateway.cookies.login + b"." in field else []
    tabs = [tab for tab in (_unsealed(gateway, cookies.find(field, name)) for name in names) if tab is not None]
    if found is None and tabs:
        found = tabs[0]
    return None if found is None else found.joined(tab.id for tab in tabs)


def kept_by_browser(gateway: Gateway, head: RequestHead, browser: BrowserLogins) -> tuple[Field, ...]:
    """The fields that set the login cookie.

    A browser without one may be beginning in several tabs at once, and keep the last cookie only. So it gets a second one, under a
    name of this tab's own. The next answer joins those into one.
    """
    sealed = _sealed(gateway, browser)
    field = head.named.get(b"cookie")
    own = gateway.cookies
    if cookies.find(field, own.login) is None and not own.tabs(field):
        timeout = gateway.config.session.login_timeout
        return own.set_login(sealed), own.set_login(sealed, name=own.of_tab(secrets.token_hex(4)), seconds=timeout)
    return own.set_login(sealed), *(own.clear_login(name=name) for name in own.tabs(field)[:MAX_TABS])


def forgotten_by_browser(gateway: Gateway, head: RequestHead) -> tuple[Field, ...]:
    """The fields that remove the login cookie, and those of tabs."""
    tabs = gateway.cookies.tabs(head.named.get(b"cookie"))[:MAX_TABS]
    return gateway.cookies.clear_login(), *(gateway.cookies.clear_login(name=name) for name in tabs)


def _sealed(gateway: Gateway, browser: BrowserLogins) -> str:
    bound_to = _bound_to(gateway, gateway.cookies.login)
    return _spelt(gateway.login_sealer.seal(encode_logins(browser), bound_to=bound_to)).decode("ascii")


def _unsealed(gateway: Gateway, cookie: bytes | None) -> BrowserLogins | None:
    envelope = _read(cookie) if cookie else None
    bound_to = _bound_to(gateway, gateway.cookies.login)
    record = None if envelope is None else gateway.login_sealer.open(envelope, bound_to=bound_to)
    return None if record is None else decode_logins(record)


def sealed(gateway: Gateway, kind: bytes, text: bytes) -> str:
    """`text` in a form that only `unsealed` with the same `kind` opens, for a query."""
    return _spelt(gateway.login_sealer.seal(text, bound_to=_bound_to(gateway, kind))).decode("ascii")


def unsealed(gateway: Gateway, kind: bytes, text: bytes) -> bytes | None:
    """What was sealed as `kind`; None for anything else."""
    envelope = _read(text)
    return None if envelope is None else gateway.login_sealer.open(envelope, bound_to=_bound_to(gateway, kind))


def _bound_to(gateway: Gateway, kind: bytes) -> bytes:
    return b"%b of %b" % (kind, gateway.config.session.namespace.encode("ascii"))


def _registration(provider: Provider) -> bytes:
    return values.registration(
        issuer=provider.config.issuer, client_id=provider.config.client_id, redirect_uri=provider.redirect_uri
    )


def _renewal(browser: bytes) -> str:
    return f"renewed login id {browser.hex()}"


def _spelt(envelope: bytes) -> bytes:
    return urlsafe_b64encode(envelope).rstrip(b"=")


def _read(text: bytes) -> bytes | None:
    """The bytes of a text in base64url, in its one spelling (R-312): decoders pass over foreign characters and unused bits."""
    if _BASE64URL.fullmatch(text) is None:
        return None
    try:
        envelope = urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    except binascii.Error:
        return None
    return envelope if _spelt(envelope) == text else None
