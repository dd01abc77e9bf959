"""Secrets live outside the configuration file: in a file that is read again when it changes, or in the environment.

A reference never shows its value: not in `repr`, not in an error. A file that vanishes, turns empty or holds what the configuration
would refuse while we run keeps its last good value, because a rotation in progress must not end any session; at start it is an error
(R-278). Each change that is refused is told of once.
"""

import errno
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from bff import regular_files, signing_key
from bff.config.spelling import SpellingError
from bff.errors import SecretUnavailable

SHORTEST_LITERAL = 32  # characters: a password that a person invents is shorter
SHORTEST_SESSION_KEY = 32
LARGEST_FILE = 64 * 1024  # bytes: an RSA key of 16,384 bits takes 12,700
_JWT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_CONTROL_CHARACTER = re.compile("[\\x00-\\x1f\\x7f]")
_FEWEST_DIFFERENT = 8  # of 32 random hexadecimal digits, fewer than 8 differ in 4 of 10^8 cases


@runtime_checkable
class Secret(Protocol):
    """A reference that can be read."""

    def read(self) -> str:
        """The value with surrounding white space dropped, never empty.

        Raises:
            SecretUnavailable: there is none.
        """
        ...


@dataclass(slots=True, kw_only=True)
class FileSecret:
    """`{file: PATH}`: read again whenever the file's identity, size or time of change differs (one `stat` a read)."""

    path: Path
    # Raises SpellingError. Set once the configuration was judged: what it refuses later is like an empty file.
    judge: Callable[[str], None] | None = field(default=None, repr=False, compare=False)
    # Called with the path and the reason for each change that is refused. Set once the configuration is in force.
    unusable: Callable[[str, str], None] | None = field(default=None, repr=False, compare=False)
    _seen: regular_files.Stamp | None = field(default=None, repr=False, compare=False)
    _value: str = field(default="", repr=False, compare=False)
    _refused: tuple[regular_files.Stamp | None, str] | None = field(default=None, repr=False, compare=False)

    def read(self) -> str:
        """The file's text, stripped.

        Raises:
            SecretUnavailable: it cannot be read or is empty, and never could be.
        """
        found: regular_files.Stamp | None = None
        try:
            found = regular_files.stamp(self.path)
            if found == self._seen:
                return self._value
            content = regular_files.read(self.path, limit=LARGEST_FILE)
        except OSError as error:
            self._seen = None  # it may be readable again without another change
            return self._last_good(found, reason=regular_files.flaw_of(error))
        try:
            value = self._judged(content)
        except SpellingError as refused:
            self._seen = found if self._value else None
            return self._last_good(found, reason=str(refused))
        self._seen, self._value, self._refused = found, value, None
        return value

    def _judged(self, content: bytes) -> str:
        """Raises: SpellingError: why it is not taken on."""
        try:
            value = content.decode("utf-8").strip()
        except UnicodeDecodeError:
            raise SpellingError("not UTF-8 text") from None
        if not value:
            raise SpellingError("empty")
        if self.judge is not None:
            self.judge(value)
        return value

    def _last_good(self, found: regular_files.Stamp | None, *, reason: str) -> str:
        if not self._value:
            raise SecretUnavailable(f"file {self.path}", reason=reason) from None
        if (found, reason) != self._refused:
            self._refused = found, reason
            if self.unusable is not None:
                self.unusable(str(self.path), reason)
        return self._value


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvSecret:
    """`{env: NAME}`. `environment` is the process's own unless `load` was handed another."""

    name: str
    environment: Mapping[str, str] | None = field(default=None, repr=False, compare=False)

    def read(self) -> str:
        """The variable's text, stripped.

        Raises:
            SecretUnavailable: it is not set or empty.
        """
        environment = os.environ if self.environment is None else self.environment
        value = environment.get(self.name, "").strip()
        if not value:
            raise SecretUnavailable(f"environment variable {self.name}", reason="not set or empty")
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class LiteralSecret:
    """A value written into the file itself; only long ones are accepted (the demo writes such)."""

    value: str = field(repr=False)

    def read(self) -> str:
        """The value as written."""
        return self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeSecret:
    """A value made at start, where the file names none. One equals any other: the setting is the same."""

    value: str = field(repr=False, compare=False)

    def read(self) -> str:
        """The value."""
        return self.value


_NOT_THERE = frozenset({os.strerror(errno.ENOENT), "empty"})
_NOT_ALLOWED = os.strerror(errno.EACCES)
_WRITTEN = "write the secret into this file"
_RELATIVE = "a relative path starts at this configuration file's folder"
_HIDDEN = "(a name that is not shown: it may be the secret itself)"
_MADE = "make one: bff secrets new session-key --out FILE"
_VARIABLE_NAME = re.compile(r"[A-Z][A-Z_]*|(?=[A-Z0-9]*_)[A-Z][A-Z0-9_]*")
_FILE_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LONGEST_NAME_WITH_DIGITS = 23  # characters


def available(secret: Secret, *, if_missing: str = _WRITTEN) -> None:
    """Refuse a reference that cannot be read; name the variable or the file, and what to do (`if_missing`: about a file)."""
    try:
        secret.read()
    except SecretUnavailable as unavailable:
        named = _named(secret)
        advice = _advice(secret, unavailable.reason, if_missing=if_missing if named else _RELATIVE)
        raise SpellingError(f"the secret cannot be read: {named or _HIDDEN}: {unavailable.reason}{advice}") from None


def _advice(secret: Secret, reason: str, *, if_missing: str) -> str:
    if isinstance(secret, EnvSecret):
        return "; set this environment variable"
    if reason in _NOT_THERE:
        return f"; {if_missing}"
    return "; let the gateway's user read it" if reason == _NOT_ALLOWED else ""


def _named(secret: Secret) -> str | None:
    """What the reference refers to; None: operators write secrets where names belong, what may be one is not repeated (R-172)."""
    if isinstance(secret, EnvSecret) and _VARIABLE_NAME.fullmatch(secret.name):
        return f"${secret.name}"
    if isinstance(secret, FileSecret) and _is_plain_file_name(secret.path.name):
        return str(secret.path)
    return None


def _is_plain_file_name(name: str) -> bool:
    """A word that a person would call a file; passwords and random texts mix digits and letters."""
    if not _FILE_NAME.fullmatch(name):
        return False
    if not any(character.isdigit() for character in name):
        return True
    separated, one_case = bool(re.search("[._-]", name)), name == name.lower()
    return separated and one_case and len(name) <= _LONGEST_NAME_WITH_DIGITS


def client_secret(secret: Secret) -> None:
    """Refuse one with a control character inside: it is two secrets in one file, or another file."""
    _judged_always(secret, _one_line)


def session_key(secret: Secret) -> None:
    """Refuse a session key that could be guessed: too short, hardly any different characters, or one text repeated."""
    _judged_always(secret, _not_to_be_guessed, if_missing=_MADE)


def _judged_always(secret: Secret, judge: Callable[[str], None], *, if_missing: str = _WRITTEN) -> None:
    """Now, and whenever its file changes: half a key, cut off while it was written, must not be taken on either, nor another file in
    its place, which may hold another secret."""
    available(secret, if_missing=if_missing)
    judge(secret.read())
    if isinstance(secret, FileSecret):
        secret.judge = judge


def _one_line(value: str) -> None:
    # RFC 6749 appendix A.2: "client-secret = *VSCHAR" (https://www.rfc-editor.org/rfc/rfc6749#appendix-A.2).
    if _CONTROL_CHARACTER.search(value):
        raise SpellingError("holds a line break or another control character: a client secret is one line")


def _not_to_be_guessed(key: str) -> None:
    if len(key) < SHORTEST_SESSION_KEY:
        raise SpellingError(f"a session key needs at least {SHORTEST_SESSION_KEY} random characters; this is shorter")
    repeats = any(key.startswith(key[period:]) for period in range(1, SHORTEST_SESSION_KEY // 2 + 1))
    if len(set(key)) < _FEWEST_DIFFERENT or repeats:
        raise SpellingError(
            "a session key needs random characters; this repeats itself (make one: bff secrets new session-key)"
        )


def client_assertion(secret: Secret) -> None:
    """Refuse what is no signed JWT; whether it has expired is for the provider to judge."""
    _judged_always(secret, _signed_jwt)


def _signed_jwt(text: str) -> None:
    if not is_signed_jwt(text):
        raise SpellingError("holds no signed JWT: three parts of base64url with points between them")


def is_signed_jwt(text: str) -> bool:
    """Whether this is the compact form of one, by its looks."""
    return _JWT.fullmatch(text) is not None


def proxy_credentials(secret: Secret) -> None:
    """Refuse what is no user name and password of Basic authentication (RFC 7617 section 2)."""
    _judged_always(secret, _user_and_password)


def _user_and_password(text: str) -> None:
    if text.find(":") < 1 or not text.isprintable():
        raise SpellingError("is no user name and password: write USER:PASSWORD as one line, without percent-encoding")


def client_key(secret: Secret) -> None:
    """Refuse what is no private key that we may sign with."""
    _judged_always(secret, _signing_key)


def _signing_key(text: str) -> None:
    try:
        signing_key.load(text)
    except signing_key.UnusableKey as unusable:
        raise SpellingError(f"the key {unusable}") from None


def one_or_two(secrets: tuple[Secret, ...]) -> None:
    """Refuse an empty list, and more than a rotation needs."""
    if not 1 <= len(secrets) <= 2:
        raise SpellingError("takes one or two of them: the newest first, and the old one during a rotation")
