"""A state is used once, at all workers (R-051); and what a callback that comes again is answered with (R-303).

A browser that clicks twice drops the first answer, with the session cookie in it. The second callback brings the same code, which is
not sent again, and it may reach another worker. Therefore:

- **One at a time.** A callback holds the lease of its transaction; the second one waits until the first has ended.
- **A mark** says that the state was used. It is made before the code goes to the provider, and outlives the transaction. A second one
  holds the id of the session that this led to; a callback that comes within `REPEATED_SECONDS` gets it. Callbacks alone write them
  (R-313).
- **For this browser only.** Name and key of the second mark are derived from the transaction's seed. `transactions.opened` gives the
  transaction out for its `state` together with the login cookie of the browser that began it: what the first answer asked for, too.
- **Sealed** with that key, besides the store's own sealing: the store's content and the session keys together give no session id.
- **While the session lives.** A session that was ended or replaced since is not given out: its cookie would sign the browser out.
"""

from contextlib import AbstractAsyncContextManager, suppress

from bff.clock import CLOCKS_DIFFER_SECONDS
from bff.config.values.secrets import LiteralSecret
from bff.errors import StoreUnavailable
from bff.sessions.logins import LoginTransaction
from bff.sessions.model import session_key
from bff.sessions.sealing import Sealer
from bff.tokens.lease import lease
from bff.web.gateway import Gateway

REPEATED_SECONDS = 10.0  # a browser drops an answer while it is on its way; over a slow network that takes seconds


def one_at_a_time(gateway: Gateway, transaction: LoginTransaction) -> AbstractAsyncContextManager[str]:
    """For the length of the block no other callback of this transaction is answered, at any worker.

    Raises:
        StoreUnavailable: that is not known.
    """
    return lease(gateway.process.store, f"callback {transaction.name}")


async def use(gateway: Gateway, transaction: LoginTransaction) -> bool:
    """Mark the state as used; False if it was used before.

    Raises:
        StoreUnavailable: that is not known.
    """
    store, now = gateway.process.store, gateway.process.clock()
    return await store.remember_first(f"login {transaction.name}", lifetime_seconds=_lifetime(gateway), now=now)


async def keep_session(gateway: Gateway, transaction: LoginTransaction, session_id: str) -> None:
    """Note which session this transaction has led to. The sign-in stands without it."""
    store, now = gateway.process.store, gateway.process.clock()
    name = _session_mark(transaction)
    value = _sealer(transaction).seal(f"{now} {session_id}".encode(), bound_to=name.encode()).hex()
    with suppress(StoreUnavailable):
        await store.remember(name, value=value, lifetime_seconds=_lifetime(gateway), now=now)


async def kept_session(gateway: Gateway, transaction: LoginTransaction) -> str | None:
    """The id of the session that this transaction led to a moment ago, if it lives.

    Raises:
        StoreUnavailable: that is not known.
    """
    store, now = gateway.process.store, gateway.process.clock()
    name = _session_mark(transaction)
    value = bytes.fromhex(await store.recall(name, now=now) or "")
    opened = _sealer(transaction).open(value, bound_to=name.encode())
    if opened is None:
        return None
    at, _, session_id = opened.decode().partition(" ")
    if abs(now - float(at)) >= REPEATED_SECONDS:
        return None
    return session_id if await store.read(session_key(session_id), touch=False, now=now) is not None else None


def _session_mark(transaction: LoginTransaction) -> str:
    return f"session of login {transaction.name}"


def _lifetime(gateway: Gateway) -> float:
    return gateway.config.session.login_timeout + CLOCKS_DIFFER_SECONDS


def _sealer(transaction: LoginTransaction) -> Sealer:
    return Sealer((LiteralSecret(value=transaction.answer_key),), purpose=b"second answer ")
