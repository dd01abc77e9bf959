"""Encryption at rest: what the store sees is sealed under the operator's session keys, and bound to the place where it
lies.

    envelope        format (1 byte) | key id (4) | nonce (12, random) | ciphertext and tag (AES-256-GCM)
    authenticated   format, key id, and `bound_to`: the kind, name and version of the record

- A record is bound to its own key (invariant 9): moved to another name, or put back at an older version, it does not
  open.
- The first key seals, every key opens (a rotation ends no session). A key that left the configuration opens nothing.
- "Not ours", "wrong key" and "tampered with" are one answer, None: the author of a planted record learns nothing from it.
- What must be found without being readable gets a keyed name (HMAC-SHA256): no dump of the store confirms a guess.
- No operator key is used as it is: each purpose has its own, derived with HKDF-SHA256 (RFC 5869). What browsers carry (`purpose`) has
  keys of its own, so no record passes for it, and a flood of sign-ins uses up no nonces of records.

A nonce is 96 random bits, so one key may seal 2**32 records before a collision has odds of 2**-32 (NIST SP 800-38D
section 8.3).
"""

import hmac
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from bff.config.values.secrets import Secret
from bff.secret_uses import SESSION, SecretUses, digest

FORMAT = b"\x01"
HEADER_LENGTH = 5
NONCE_LENGTH = 12
REMEMBERED_KEYS = 16


def derive(secret: str, purpose: bytes) -> bytes:
    """32 bytes for one purpose from an operator's session key (RFC 5869); different purposes are unrelated keys."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"bff " + purpose).derive(secret.encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class _DerivedKey:
    header: bytes  # format and key id, as they open an envelope
    digest: str  # by which its uses are noted
    cipher: AESGCM = field(repr=False)
    naming: bytes = field(repr=False)


class Sealer:
    """Seals records under the first of the operator's keys and opens them with any.

    Keys are read on each use, so that a rotated file takes effect without a restart; what is derived from them is kept.
    """

    __slots__ = ("_derived", "_keys", "_positions", "_purpose", "_uses")

    def __init__(self, keys: Sequence[Secret], *, purpose: bytes = b"", uses: SecretUses | None = None) -> None:
        if not keys:
            raise ValueError("at least one session key is needed")
        self._keys = tuple(keys)
        self._positions = tuple(f"keys[{position}]" for position in range(len(self._keys)))
        self._purpose = purpose
        self._uses = uses
        self._derived: dict[str, _DerivedKey] = {}

    def with_keys(self, keys: Sequence[Secret]) -> "Sealer":
        """One with other keys for the same purpose."""
        return Sealer(keys, purpose=self._purpose, uses=self._uses)

    def seal(self, plaintext: bytes, *, bound_to: bytes) -> bytes:
        """An envelope that opens only with the same `bound_to`.

        Raises:
            SecretUnavailable: the first key cannot be read and never could be.
        """
        key = self._key(self._keys[0].read())
        self._note(0, key)
        nonce = os.urandom(NONCE_LENGTH)
        return key.header + nonce + key.cipher.encrypt(nonce, plaintext, key.header + bound_to)

    def open(self, envelope: bytes, *, bound_to: bytes) -> bytes | None:
        """The plaintext, or None for everything that we did not seal for this place under one of these keys.

        Raises:
            SecretUnavailable: a key that might open it cannot be read and never could be.
        """
        header, nonce = envelope[:HEADER_LENGTH], envelope[HEADER_LENGTH : HEADER_LENGTH + NONCE_LENGTH]
        for position, secret in enumerate(self._keys):
            key = self._key(secret.read())
            if key.header == header and len(nonce) == NONCE_LENGTH:
                try:
                    opened = key.cipher.decrypt(nonce, envelope[HEADER_LENGTH + NONCE_LENGTH :], header + bound_to)
                except InvalidTag:
                    continue  # four bytes of key id may be shared by two keys
                self._note(position, key)
                return opened
        return None

    def names(self, what: bytes) -> list[bytes]:
        """The names of `what` under every key, that of the sealing key first: 64 hexadecimal digits each.

        Raises:
            SecretUnavailable: a key cannot be read and never could be.
        """
        keys = [self._key(secret.read()) for secret in self._keys]
        return [hmac.digest(key.naming, what, "sha256").hex().encode() for key in keys]

    def _note(self, position: int, key: _DerivedKey) -> None:
        if self._uses is not None:
            self._uses.note(SESSION, self._positions[position], key.digest)

    def _key(self, value: str) -> _DerivedKey:
        known = self._derived.get(value)
        if known is not None:
            return known
        if len(self._derived) >= REMEMBERED_KEYS:
            self._derived.clear()  # rotated away since
        key_id, sealing, naming = (
            derive(value, self._purpose + part) for part in (b"sealing key id", b"sealing", b"naming")
        )
        key = _DerivedKey(
            header=FORMAT + key_id[: HEADER_LENGTH - len(FORMAT)],
            digest=digest(value),
            cipher=AESGCM(sealing),
            naming=naming,
        )
        self._derived[value] = key
        return key
