"""From the configuration to the store that it names."""

import pytest

from bff.config.model import SessionConfig
from bff.config.values.secrets import LiteralSecret
from bff.sessions.memory import MemoryStore
from bff.sessions.opening import open_store
from bff.sessions.redis.store import RedisStore


def config(store: str) -> SessionConfig:
    """A session section with this store."""
    return SessionConfig(store=store, keys=(LiteralSecret(value="a session key of more than 32 characters"),))


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("memory://", MemoryStore),
        ("redis://redis:6379/0", RedisStore),
        ("rediss://redis?ssl_ca_certs=/etc/ca.pem", RedisStore),
        ("rediss+sentinel://s1,s2/shop", RedisStore),
        ("rediss+cluster://c1,c2", RedisStore),
    ],
)
def test_the_scheme_chooses_the_store(url: str, kind: type) -> None:
    """Every scheme gives its store, without asking any server yet."""
    assert type(open_store(config(url))) is kind


@pytest.mark.requirement("R-172")
def test_an_unknown_store_is_refused_without_showing_its_password() -> None:
    """A URL that is none of ours is the operator's mistake, named without the URL."""
    with pytest.raises(ValueError, match="is no store") as refusal:
        config("postgres://:SECRET@db")
    assert "SECRET" not in str(refusal.value) + repr(refusal.value)
