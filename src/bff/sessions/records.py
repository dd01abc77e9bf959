"""How records are written: one format byte, then MessagePack of the frozen values in `model.py`.

Decoding is typed and builds nothing but these values: there is no format in which a record could name code to run.
Garbage, another format, a missing or mistyped field: all are None, never an exception. Who changes `model.py` in a way
that old records do not fit raises FORMAT; sessions in the old one then count as not there, and their users sign in
again.
"""

from dataclasses import replace

import msgspec

from bff.sessions.model import LoginTransaction, Session

FORMAT = b"\x01"

_encoder = msgspec.msgpack.Encoder()
_session_decoder = msgspec.msgpack.Decoder(Session)
_transaction_decoder = msgspec.msgpack.Decoder(LoginTransaction)


def encode_session(session: Session) -> bytes:
    """The record of a session.

    Claims are a provider's JSON: integers beyond 64 bits become floats and lone surrogates question marks, because
    MessagePack has neither (RFC 7493 sections 2.1 and 2.2 ask senders not to use them).
    """
    try:
        return FORMAT + _encoder.encode(session)
    except (OverflowError, UnicodeEncodeError):
        grants = tuple(replace(grant, claims=_portable_claims(grant.claims)) for grant in session.grants)
        return FORMAT + _encoder.encode(replace(session, grants=grants))


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


def _portable_claims(claims: dict[str, object]) -> dict[str, object]:
    return {_portable_text(name): _portable(value) for name, value in claims.items()}


def _portable(value: object) -> object:
    if isinstance(value, str):
        return _portable_text(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return float(value) if abs(value) < 2**1023 else str(value)
    if isinstance(value, list | tuple):
        return [_portable(item) for item in value]
    if isinstance(value, dict):
        return _portable_claims(value)
    return value


def _portable_text(text: str) -> str:
    return text.encode(errors="replace").decode()
