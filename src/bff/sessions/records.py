"""How records are written: one format byte, then MessagePack of the frozen values in `model.py`.

Decoding is typed and builds nothing but these values: there is no format in which a record could name code to run.
Garbage, another format, a missing or mistyped field: all are None, never an exception. Who changes `model.py` in a way
that old records do not fit raises FORMAT; sessions in the old one then count as not there, and their users sign in
again.
"""

import msgspec

from bff.sessions.model import LoginTransaction, Session

FORMAT = b"\x02"

_encoder = msgspec.msgpack.Encoder()
_session_decoder = msgspec.msgpack.Decoder(Session)
_transaction_decoder = msgspec.msgpack.Decoder(LoginTransaction)


def encode_session(session: Session) -> bytes:
    """The record of a session. MessagePack has a form for every claim, because `oauth/strict_json.py` lets in no other."""
    return FORMAT + _encoder.encode(session)


def decode_session(record: bytes) -> Session | None:
    """The session of a record, or None if this is not one that we can read."""
    if record[:1] != FORMAT:
        return None
    try:
        return _session_decoder.decode(memoryview(record)[1:])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def encode_transaction(transaction: LoginTransaction) -> bytes:
    """The record of a login transaction."""
    return FORMAT + _encoder.encode(transaction)


def decode_transaction(record: bytes) -> LoginTransaction | None:
    """The login transaction of a record, or None if this is not one that we can read."""
    if record[:1] != FORMAT:
        return None
    try:
        return _transaction_decoder.decode(memoryview(record)[1:])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
