"""Our two cookies (RFC 10017 section 6.1.3.2). The session cookie: 256 random bits and their signature, meaningless without the store.
The login cookie: what binds sign-ins under way to this browser, sealed (`transactions.py`).

Both are `Secure; HttpOnly; Path=/` without `Domain`, which the prefix `__Host-Http-` has browsers enforce (a browser that does not
know it reads plain `__Host-`). The session cookie is Strict; the login cookie is Lax, because the callback arrives from another
site. Deleting repeats every attribute, or browsers keep a prefixed cookie (CVE-2025-55162).

Three more live for minutes at most: when the last two sign-ins ended, that the browser has signed out (`navigation.py`), and that it
was sent to https (`guards.transport`). They are not signed: they only say where to stop.

The signature is checked before the store is asked, so a flood of invented cookies costs no round trip. Keys are read again when
they change: the newest signs, all verify. A session cookie that an older key signed is set anew when the page asks who is signed in
(`user.py`), so that an old key leaves use with the browsers that come back, and not after `absolute_timeout` only.
"""

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache

from itsdangerous import BadSignature, Signer

from bff.config.values.secrets import Secret
from bff.proxy.fields import LOGIN_COOKIE, ROUNDS_COOKIE, SENT_TO_HTTPS_COOKIE, SESSION_COOKIE, SIGNED_OUT_COOKIE
from bff.request_head import Field
from bff.secret_uses import SESSION, SecretUses, digest
from bff.sessions.sealing import derive

STEP_UP_NAME = b"step-up"  # no cookie: the ticket of a login URL (`step_up.py`), signed with a key of its own
MAX_VALUE_BYTES = 256

_AFTER_NAME = (b"=", b"")
# A signature of 256 bits in its one spelling: base64 decoders pass over foreign characters and the last two bits, so each
# session would have thousands of cookies, with a local copy under each.
_SPELLING = re.compile(rb"[^.]+(?:\.[^.]+)*\.[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")
_ATTRIBUTES = b"Path=/; Secure; HttpOnly"


class CookieSigner:
    """Signs and verifies values under a name, for example that of the session cookie. Each name has a key of its own, so what is
    signed under one name does not pass under another.
    """

    def __init__(self, keys: Sequence[Secret], *, uses: SecretUses | None = None) -> None:
        self._keys = keys
        self._uses = uses
        self._built_from: tuple[str, ...] = ()
        self._digests: tuple[str, ...] = ()
        self._signers: dict[bytes, tuple[Signer, ...]] = {}

    def sign(self, name: bytes, value: str) -> str:
        """The cookie value that carries `value`."""
        signed = self._signers_of(name)[0].sign(value).decode("ascii")
        self._note(0)
        return signed

    def verify(self, name: bytes, signed: bytes, *, max_bytes: int = MAX_VALUE_BYTES) -> str | None:
        """What the cookie value carries; None for anything that we did not sign under this name."""
        verified = self._verified(name, signed, max_bytes=max_bytes)
        if verified is None:
            return None
        position, value = verified
        self._note(position)
        return value

    def signed_anew(self, name: bytes, signed: bytes) -> str | None:
        """The same value signed by the newest key, where an older one signed it; None: there is nothing to renew."""
        verified = self._verified(name, signed, max_bytes=MAX_VALUE_BYTES)
        return self.sign(name, verified[1]) if verified is not None and verified[0] > 0 else None

    def _verified(self, name: bytes, signed: bytes, *, max_bytes: int) -> tuple[int, str] | None:
        """The position of the key that signed it, and what it carries."""
        if len(signed) > max_bytes or _SPELLING.fullmatch(signed) is None:
            return None
        for position, signer in enumerate(self._signers_of(name)):
            try:
                return position, signer.unsign(signed).decode("ascii")
            except BadSignature:
                continue
            except UnicodeDecodeError:
                return None
        return None

    def _note(self, position: int) -> None:
        if self._uses is not None:
            self._uses.note(SESSION, f"keys[{position}]", self._digests[position])

    def _signers_of(self, name: bytes) -> tuple[Signer, ...]:
        """One for each key, the newest first."""
        values = tuple(key.read() for key in self._keys)
        if values != self._built_from:
            self._signers.clear()
            self._built_from = values
            self._digests = tuple(map(digest, values))
        if name not in self._signers:
            self._signers[name] = tuple(_signer(value, name) for value in values)
        return self._signers[name]


def _signer(value: str, name: bytes) -> Signer:
    return Signer(derive(value, b"cookie " + name), salt=name, key_derivation="hmac", digest_method=hashlib.sha256)


@lru_cache(maxsize=1024)  # pages call in bursts: 0.1 us, not 1. A field that is kept opens nothing after sign-out
def find(cookie_field: bytes | None, name: bytes) -> bytes | None:
    """The value of a cookie; None if it is absent, or there twice: a tossed cookie must not choose the session (R-187)."""
    if cookie_field is None or name not in cookie_field:
        return None
    size = len(name)
    # Separators only: without its inner space `_ _Host-...`, which any subdomain may set, would be our cookie.
    pairs = cookie_field.replace(b"; ", b";").split(b";")
    found = [pair[size:] for pair in pairs if pair.startswith(name) and pair[size : size + 1] in _AFTER_NAME]
    return found[0][1:] if len(found) == 1 else None


class Cookies:
    """Our cookies under their names. With a suffix several gateways on one host have cookies of their own (R-306): cookies do not tell
    ports apart, and ours have no path of their own.
    """

    def __init__(self, *, suffix: str | None = None) -> None:
        end = "" if suffix is None else f"-{suffix}"
        self.session = f"{SESSION_COOKIE}{end}".encode("ascii")
        self.login = f"{LOGIN_COOKIE}{end}".encode("ascii")
        self.rounds = f"{ROUNDS_COOKIE}{end}".encode("ascii")
        self.signed_out = f"{SIGNED_OUT_COOKIE}{end}".encode("ascii")
        self.sent_to_https = f"{SENT_TO_HTTPS_COOKIE}{end}".encode("ascii")

    def set_session(self, signed: str, *, seconds: float | None = None) -> Field:
        """Sets a new session's cookie; it ends with the browser, or after `seconds`, and on the server before that."""
        end = "" if seconds is None else f"; Max-Age={int(seconds)}"
        return _set(self.session, signed, f"SameSite=Strict{end}")

    def clear_session(self) -> Field:
        """Removes the session cookie."""
        return _set(self.session, "", "SameSite=Strict; Max-Age=0")

    def set_login(self, sealed: str, *, name: bytes | None = None, seconds: float | None = None) -> Field:
        """Sets what binds login transactions to this browser; it ends with the browser, or after `seconds`."""
        end = "" if seconds is None else f"; Max-Age={int(seconds)}"
        return _set(self.login if name is None else name, sealed, f"SameSite=Lax{end}")

    def clear_login(self, *, name: bytes | None = None) -> Field:
        """Removes the login cookie (R-311)."""
        return self.set_login("", name=name, seconds=0)

    def of_tab(self, tab: str) -> bytes:
        """The name of the login cookie of one tab: two tabs that begin at once, in a browser without a login cookie, would
        overwrite each other's. No suffix holds a dot."""
        return self.login + b"." + tab.encode("ascii")

    def tabs(self, cookie_field: bytes | None) -> list[bytes]:
        """The names of all login cookies of tabs that this `Cookie` field holds."""
        pairs = (cookie_field or b"").replace(b"; ", b";").split(b";")
        return [name for name in (pair.partition(b"=")[0] for pair in pairs) if name.startswith(self.login + b".")]

    def set_signed_out(self) -> Field:
        """Notes that this browser has just signed out."""
        return _set(self.signed_out, "1", "SameSite=Lax; Max-Age=300")

    def clear_signed_out(self) -> Field:
        """Removes that note."""
        return _set(self.signed_out, "", "SameSite=Lax; Max-Age=0")

    def set_sent_to_https(self) -> Field:
        """Notes that this browser was sent to https; kept by one only that was there already, as it is `Secure`."""
        return _set(self.sent_to_https, "1", "SameSite=Lax; Max-Age=10")

    def set_rounds(self, marks: str) -> Field:
        """Notes when sign-ins of this browser ended; gone after a minute."""
        return _set(self.rounds, marks, "SameSite=Lax; Max-Age=60")


def _set(name: bytes, value: str, attributes: str) -> Field:
    return (b"set-cookie", b"%b=%b; %b; %b" % (name, value.encode("ascii"), _ATTRIBUTES, attributes.encode("ascii")))
