"""`docs/explanation/`: numbers and rules that the threat model promises are those of the code, and the walks name files that exist."""

import re
from pathlib import Path

import pytest

from bff.config.model import LimitsConfig, ProviderConfig, RouteConfig, SessionConfig, TimeoutConfig
from bff.oauth import jws, retry_after
from bff.provider import circuit, documents
from bff.provider.documents import REFETCH_INTERVAL_SECONDS
from bff.provider.http import MAX_CONNECTIONS, MAX_RESPONSE_BYTES, RENEWAL_CONNECTIONS
from bff.proxy import connection, pool, reader, rewrite, timeouts, websocket_upstream
from bff.server import chunked, tunnel
from bff.server import connection as browser_connection
from bff.server.process import server_config
from bff.sessions.local_copies import LocalCopies
from bff.sessions.memory import MemoryStore
from bff.sessions.model import session_key
from bff.tokens import failures, holder
from bff.tokens.sign_in import keep_sign_in
from bff.web.content import MAX_BODY_BYTES
from support.documented import ROOT, page, rows, section
from support.session_samples import NOW, a_grant

THREATS = page("explanation/threat-model.md")
WALKS = page("explanation/walks.md")
KIB, MIB = 1024, 1024 * 1024


def default(model: type, name: str) -> object:
    """A key's default."""
    return model.model_fields[name].get_default()  # type: ignore[attr-defined]


def keep_alive_seconds() -> int:
    """How long an idle connection of a browser is kept."""
    return server_config("bff.cli.serve:app_from_environment", factory=True).timeout_keep_alive


LIMITS = {
    ("browsers", "head fields together"): f"{default(LimitsConfig, 'max_head') // KIB} KiB",
    ("browsers", "number of fields"): f"{rewrite.MAX_FIELDS}",
    ("browsers", "request target"): f"{default(LimitsConfig, 'max_target') // KIB} KiB",
    ("browsers", "time for a head"): f"{default(LimitsConfig, 'head_timeout'):.0f} s",
    ("browsers", "content"): f"{default(LimitsConfig, 'max_body') // MIB} MiB",
    ("browsers", "framing beside the content"): f"{chunked.MAX_FRAMING // KIB} KiB, and {chunked.FRAMING_PER_BYTE} b",
    (
        "browsers",
        "content that comes after the answer",
    ): f"{browser_connection.LINGER_BYTES // MIB} MiB and {browser_connection.LINGER_SECONDS:.0f} s",
    ("browsers", "pace of content"): f"{timeouts.MIN_RATE // KIB} KiB/s over {timeouts.RATE_SECONDS:.0f} s",
    ("browsers", "pause in sending or reading"): f"{default(TimeoutConfig, 'idle'):.0f} s",
    ("browsers", "an idle connection, or one that takes nothing of its answer"): f"{keep_alive_seconds()} s",
    ("upstreams", "exchanges at a time"): f"{default(RouteConfig, 'max_connections')} per origin",
    ("upstreams", "queue"): f"{default(RouteConfig, 'max_waiting')},",
    ("upstreams", "connecting"): f"{default(TimeoutConfig, 'connect'):.0f} s",
    ("upstreams", "status and fields"): f"{default(TimeoutConfig, 'first_byte'):.0f} s, {reader.MAX_BARREN // KIB} KiB",
    ("upstreams", "pause in the content"): f"{default(TimeoutConfig, 'idle'):.0f} s",
    ("upstreams", "the whole exchange"): f"{str(default(TimeoutConfig, 'total')).lower()}",
    ("upstreams", "content waiting for a slow reader"): f"{connection.HIGH_WATER // KIB} KiB",
    ("upstreams", "content of a refused WebSocket handshake"): f"{websocket_upstream.MAX_REFUSAL // MIB} MiB",
    ("both", "the answer to a WebSocket close"): f"{tunnel.CLOSE_SECONDS:.0f} s",
    ("upstreams", "an idle connection"): f"{pool.IDLE_SECONDS:.0f} s",
    (
        "providers",
        "one call",
    ): (
        f"`timeout` {default(ProviderConfig, 'timeout'):.0f} s; "
        f"a refresh that was sent `call_limit` {default(ProviderConfig, 'call_limit'):.0f} s"
    ),
    ("providers", "connections"): f"{MAX_CONNECTIONS} per provider, {RENEWAL_CONNECTIONS} of them for refreshes",
    ("providers", "an answer"): f"{MAX_RESPONSE_BYTES // MIB} MiB",
    ("providers", "keys in a set"): f"{jws.MOST_KEYS}",
    ("providers", "a signed token"): f"{jws.LONGEST_TOKEN // KIB} KiB",
    ("providers", "metadata and keys are kept"): f"every {REFETCH_INTERVAL_SECONDS:.0f} s",
    (
        "providers",
        "after a failure",
    ): f"{documents.BACKOFF.first_seconds:.0f} s to {failures.BACKOFF.longest_seconds:.0f} s",
    ("providers", "a request waits for a refresh"): f"{default(ProviderConfig, 'timeout'):.0f} s",
    (
        "providers",
        "in trouble: 429, or failures of several sessions",
    ): f"every {circuit.LONGEST_SECONDS:.0f} s at most, never before its `Retry-After` ({retry_after.LONGEST_SECONDS:.0f} s at most)",
    ("browsers", "a sign-in"): f"`session.login_timeout` {default(SessionConfig, 'login_timeout') / 60:.0f} min",
    ("the store", "a refresh's lease"): f"{holder.LIFETIME_SECONDS:.0f} s",
    ("memory", "local copies of sessions"): f"{LocalCopies(max_age_seconds=1)._max_entries:,}",
    ("back-channel logout", "a request's content"): f"{MAX_BODY_BYTES // KIB} KiB",
}


@pytest.mark.requirement("R-279")
@pytest.mark.parametrize(
    ("place", "number"), LIMITS.items(), ids=lambda value: " ".join(value) if len(value) == 2 else ""
)
def test_every_limit_is_documented_with_its_value(place: tuple[str, str], number: str) -> None:
    """The table of limits says of each what the code enforces unless it is configured otherwise."""
    told = {(row[0], row[1]): row[2] for row in rows(section(THREATS, "Limits"))}
    assert number in told[place]


@pytest.mark.requirement("R-185")
async def test_a_user_may_have_several_sessions_as_documented() -> None:
    """A second sign-in of the same user elsewhere leaves the first session as it is, and the threat model says so."""
    store = MemoryStore(idle_timeout_seconds=1800)
    kept = [
        await keep_sign_in(store, grant=a_grant(), previous_key=None, absolute_timeout_seconds=43200, now=NOW)
        for _ in range(3)
    ]
    living = [await store.read(session_key(one.session_id), touch=True, now=NOW + 1) for one in kept]
    assert None not in living
    assert "a user may have any number of sessions" in section(THREATS, "Sessions")


@pytest.mark.requirement("R-196")
async def test_a_session_ends_without_the_provider_as_documented() -> None:
    """A session ends at its own deadline while what the provider granted still lives; the threat model tells how the two relate."""
    store = MemoryStore(idle_timeout_seconds=1800)
    lasting = a_grant()
    kept = await keep_sign_in(store, grant=lasting, previous_key=None, absolute_timeout_seconds=43200, now=NOW)
    assert lasting.refresh_token is not None
    assert await store.read(session_key(kept.session_id), touch=False, now=NOW + 1801) is None
    assert "**Relation to the provider's session** (R-196)" in section(THREATS, "Sessions")


def test_the_walks_name_files_that_exist() -> None:
    """Every file in the walks is there."""
    named = re.findall(r"\*\*`([a-z_/]+\.py)(?:: [a-z_]+)?`\*\*", page("explanation/walks.md"))
    assert len(named) > 20
    assert [name for name in named if not (ROOT / "src" / "bff" / name).is_file()] == []


def test_the_trace_of_a_call_is_counted_right() -> None:
    """The trace in the walks names files that exist, and its figures are those of its lines (`make docs` writes it anew)."""
    (trace,) = re.findall(r"<!-- trace -->\n```\n(.*?)```", page("explanation/walks.md"), flags=re.DOTALL)
    steps = re.findall(r"^ *\d+  (\S+) +\S+$", trace, flags=re.MULTILINE)
    assert trace.startswith(f"{len(steps)} calls of our own functions in {len(set(steps))} files\n")
    assert [name for name in set(steps) if not (ROOT / "src" / "bff" / name).is_file()] == []


def named_invariants(file: Path) -> set[int]:
    """The numbers of the invariants that a file's comments name."""
    named = re.findall(r"[Ii]nvariants? (\d+)(?: (?:and|to) (\d+))?", file.read_text(encoding="utf-8"))
    return {int(number) for pair in named for number in pair if number}


def test_invariants_are_listed_by_the_numbers_that_the_code_names() -> None:
    """Each number that a comment names is a row, and each file of a row says that it keeps this invariant."""
    source = ROOT / "src" / "bff"
    listed = {int(row[0]): re.findall(r"`([\w/]+\.py)`", row[2]) for row in rows(section(WALKS, "Invariants"))}
    assert set().union(*map(named_invariants, source.rglob("*.py"))) == listed.keys()
    unsaid = {(n, name) for n, names in listed.items() for name in names if n not in named_invariants(source / name)}
    assert unsaid == set()
