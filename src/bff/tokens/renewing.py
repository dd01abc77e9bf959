"""What the renewals of one process share, also across configurations: its leases, what is not yet written, and who waits."""

from dataclasses import dataclass

from bff.backoff import Backoff
from bff.clock import Clock
from bff.sessions.store import SessionStore
from bff.tokens.background import BackgroundTasks
from bff.tokens.holder import Holder
from bff.tokens.kept_grants import WRITE_BACKOFF, KeptGrants
from bff.tokens.shared_circuits import SharedCircuits
from bff.tokens.waits import ChangeWaits


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewing:
    """Lives as long as the process."""

    store: SessionStore
    clock: Clock
    holder: Holder
    kept: KeptGrants
    waits: ChangeWaits
    circuits: SharedCircuits


def renewing(
    *, store: SessionStore, tasks: BackgroundTasks, clock: Clock, write_backoff: Backoff = WRITE_BACKOFF
) -> Renewing:
    """What this process needs to renew tokens in this store."""
    holder = Holder(store=store)
    kept = KeptGrants(store=store, holder=holder, tasks=tasks, clock=clock, backoff=write_backoff)
    return Renewing(
        store=store,
        clock=clock,
        holder=holder,
        kept=kept,
        waits=ChangeWaits(),
        circuits=SharedCircuits(store=store, tasks=tasks, by=holder.name),
    )
