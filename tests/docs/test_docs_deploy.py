"""`docs/how-to/deploy.md`: nginx loads what it proposes; its user of Redis or Valkey may do what the gateway does, and no more."""

import asyncio
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import redis

from bff.config.values.secrets import LiteralSecret
from bff.config.values.stores import parse_store
from bff.sessions.redis.store import RedisStore
from bff.sessions.sealing import Sealer
from bff.sessions.store import Begun, Mark, MarkEnd
from support.documented import fenced, page
from support.free_ports import free_port
from support.session_samples import ISSUER, NOW, Heard, a_session, end_all, with_note
from support.tls_certificates import Authority
from support.valkey_server import ValkeyServer, cluster_of_one, own_all_slots

DEPLOY = page("how-to/deploy.md")


def proposed_user() -> list[str]:
    """The words of the command in the page, with a password."""
    found = re.search(r"^ +(ACL SETUSER bff .*?)```", DEPLOY, flags=re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1].replace("PASSWORD", "p4ss").split()


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is needed")
def test_nginx_takes_the_proposed_configuration(tmp_path: Path) -> None:
    """`nginx -t` loads the block as it stands on the page; only ports, and the places of the certificate, are of this machine."""
    (block,) = fenced(DEPLOY, "nginx")
    pair = Authority(tmp_path).server_file("app.example.com")
    block = re.sub(r"/etc/nginx/tls/\w+\.pem", str(pair), block)
    block = re.sub(r"listen \d+", lambda _: f"listen 127.0.0.1:{free_port()}", block)
    places = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    own = "".join(f"{name}_temp_path {tmp_path}/{name};" for name in places)
    file = tmp_path / "nginx.conf"
    file.write_text(f"pid {tmp_path}/pid; error_log stderr; events {{}} http {{ access_log off; {own}\n{block}}}")
    done = subprocess.run(["nginx", "-t", "-c", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.requirement("R-172")
async def test_the_proposed_user_does_all_that_the_gateway_does_and_nothing_else() -> None:
    """Every command of the store is allowed, on its own keys and channel; what an intruder would like to do is not."""
    with ValkeyServer() as server:
        server.ask(*proposed_user())
        await _use_everything(f"redis://bff:p4ss@127.0.0.1:{server.port}/1")
        with redis.Redis(port=server.port, username="bff", password="p4ss") as intruder:
            for command in ("KEYS *", "FLUSHALL", "CONFIG GET *", "GET other", "PUBLISH other x"):
                with pytest.raises(redis.exceptions.NoPermissionError):
                    await asyncio.to_thread(intruder.execute_command, *command.split())


async def test_the_proposed_user_does_for_a_cluster_with_what_is_said_to_be_missing() -> None:
    """With the commands that the page adds for a Cluster the same works there."""
    (more,) = re.findall(r"A Cluster needs `([^`]+)`", DEPLOY)
    with cluster_of_one() as server:
        own_all_slots(server)
        server.ask(*proposed_user(), *more.split())
        await _use_everything(f"redis+cluster://bff:p4ss@127.0.0.1:{server.port}")


async def _use_everything(url: str) -> None:
    """Each method of a store once, by a listener that hears of it."""
    sealer = Sealer((LiteralSecret(value="0123456789abcdefghijklmnopqrstuvwxyz"),))
    store, heard = RedisStore(parse_store(url), sealer=sealer, idle_timeout_seconds=1800), Heard()
    await store.open(heard)
    await heard.resumed()
    await store.ping()
    await store.tell("hello")
    session = await store.create(a_session(), now=NOW)
    assert await store.read(session.key, touch=True, now=NOW) is not None
    assert await store.read(session.key, touch=False, now=NOW) is not None
    assert await store.replace(with_note(session, "changed"), now=NOW) is not None
    (subject,) = {grant.subject for grant in session.grants}
    assert await store.find(issuer=ISSUER, subject=subject) == [session.key]
    assert await store.delete(session.key)
    assert await end_all(store) == 0
    assert await store.remember_first("t", lifetime_seconds=60, now=NOW)
    assert await store.take_lease("l", "me", lifetime_seconds=60)
    await store.drop_lease("l", "me")
    mark = Mark(provider="corp", token_hash="ab")
    begun = await store.begin_renewal("l", "me", lifetime_seconds=60, mark=mark, mark_lifetime_seconds=600)
    assert begun is Begun.YES
    await store.end_renewal("l", "me", provider="corp", mark=MarkEnd.DROP)
    await store.remember("d", lifetime_seconds=60, now=NOW)
    assert await store.remembers("d", now=NOW)
    assert await store.recall("d", now=NOW) == ""
    await store.note_use("session", "ab", by="me", age_seconds=5)
    assert set(await store.uses("session", "ab")) == {"me"}
    await store.close()
