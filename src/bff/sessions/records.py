"""How records are written: one format byte, then MessagePack of the frozen values in `model.py` and `logins.py`.

Decoding is typed and builds nothing but these values: there is no format in which a record could name code to run.
Garbage, another format, a missing or mistyped field: all are None, never an exception. Who changes the values in a way
that old records do not fit raises FORMAT; sessions in the old one then count as not there, and their users sign in
again.
"""

from typing import TypeVar

import msgspec

from bff.oauth.step_up import StepUp
from bff.sessions.logins import BrowserLogins, LoginTransaction
from bff.sessions.model import Session

FORMAT = b"\x03"

T = TypeVar("T")

_encoder = msgspec.msgpack.Encoder()
_session_decoder = msgspec.msgpack.Decoder(Session)
# Tuples, for what travels in a URL or a cookie: names of fields would be a third of it.
_transaction_decoder = msgspec.msgpack.Decoder(
    tuple[str, bytes, bytes, bytes, str, float, bool, bool, tuple[tuple[str, ...], float | None] | None]
)
_logins_decoder = msgspec.msgpack.Decoder(
    tuple[bytes, float, tuple[bytes, ...], bytes | None, tuple[tuple[str, str, str], ...]]
)


def encode_session(session: Session) -> bytes:
    """The record of a session. MessagePack has a form for every claim, because `oauth/strict_json.py` lets in no other."""
    return FORMAT + _encoder.encode(session)


def decode_session(record: bytes) -> Session | None:
    """The session of a record, or None if this is not one that we can read."""
    return _decoded(_session_decoder, record)


def encode_transaction(transaction: LoginTransaction) -> bytes:
    """The record of a login transaction."""
    t = transaction
    step_up = None if t.step_up is None else (t.step_up.acr_values, t.step_up.max_age_seconds)
    fields = (t.provider, t.registration, t.browser, t.seed, t.return_to, t.begun_at, t.begun_again, t.silent, step_up)
    return FORMAT + _encoder.encode(fields)


def decode_transaction(record: bytes) -> LoginTransaction | None:
    """The login transaction of a record, or None if this is not one that we can read."""
    fields = _decoded(_transaction_decoder, record)
    if fields is None:
        return None
    provider, registration, browser, seed, return_to, begun_at, begun_again, silent, step_up = fields
    return LoginTransaction(
        provider=provider,
        registration=registration,
        browser=browser,
        seed=seed,
        return_to=return_to,
        begun_at=begun_at,
        begun_again=begun_again,
        silent=silent,
        step_up=None if step_up is None else StepUp(acr_values=step_up[0], max_age_seconds=step_up[1]),
    )


def encode_logins(logins: BrowserLogins) -> bytes:
    """The record of a login cookie."""
    session_key = None if logins.session_key is None else bytes.fromhex(logins.session_key)
    return FORMAT + _encoder.encode((logins.id, logins.made_at, logins.earlier, session_key, logins.long))


def decode_logins(record: bytes) -> BrowserLogins | None:
    """What a login cookie says, or None if this is not one that we can read."""
    fields = _decoded(_logins_decoder, record)
    if fields is None:
        return None
    browser, made_at, earlier, session_key, long = fields
    return BrowserLogins(
        id=browser,
        made_at=made_at,
        earlier=earlier,
        session_key=None if session_key is None else session_key.hex(),
        long=long,
    )


def _decoded(decoder: "msgspec.msgpack.Decoder[T]", record: bytes) -> T | None:
    if record[:1] != FORMAT:
        return None
    try:
        return decoder.decode(memoryview(record)[1:])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
