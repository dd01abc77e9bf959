"""A sign-in under way, as values: what is known between an authorization request and its response, and what binds it to a browser.

Both travel with the browser, sealed (`web/transactions.py`); the store keeps neither (R-313).

    LoginTransaction   in `state`: what was asked, of which provider, when, by which browser
    BrowserLogins      in the login cookie: the browser's id, earlier ids, its session, and what is too long for `state`

Rules of the browser's id:

- A new transaction is bound to the current id only. A callback takes transactions of the current id and of earlier ones.
- A sign-in renews the id, and the store marks the old one as renewed. `/login` does not use a renewed id, so a copy of the cookie that
  was made before begins no sign-in that this browser would complete (R-311). Sign-ins that had begun before still end well (R-305).
- `/login` also renews an id that is older than `ID_LIFETIME_SECONDS`, so a mark need not live longer.
"""

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qsl, urlencode

from bff.base64url import base64url
from bff.oauth.step_up import StepUp

ID_LIFETIME_SECONDS = 3600.0
# ids: enough for eight tabs that began at the same time, each with an id of its own, and their renewals
MAX_EARLIER = 16
MAX_LONG_BYTES = 2150  # of ways back and parameters in the login cookie, which stays below 3.5 KB with them
# bytes of a way back in `state`, which stays below 500 characters with it: some providers take no more
MAX_IN_STATE = 192


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginTransaction:
    """What is known between an authorization request and its response (RFC 6749 section 4.1, RFC 9700 section 4.7.1).

    `nonce`, `code_verifier`, `dpop_seed` and `answer_key` are derived from `seed`, which only the gateway can read.
    """

    provider: str
    registration: bytes  # of which issuer, client and redirect URI the request spoke
    browser: bytes = field(repr=False)  # the id of the browser that began it
    seed: bytes = field(repr=False)  # 256 random bits
    return_to: str = field(repr=False)
    begun_at: float
    step_up: StepUp | None = None  # what this sign-in was asked for beyond what every one is (RFC 9470)
    begun_again: bool = False  # it takes the place of one that the provider asked to begin again
    silent: bool = False  # the page asked for `prompt=none`: a refusal is an answer to it, and no error

    @property
    def name(self) -> str:
        """What it is called where its use is remembered."""
        return self._derived("name")

    @property
    def nonce(self) -> str:
        """43 characters (providers need to take 64)."""
        return self._derived("nonce")

    @property
    def code_verifier(self) -> str:
        """64 unreserved characters (RFC 7636 section 4.1 asks for 43 to 128).

        Who estimates the entropy of 43 random characters by their frequencies finds less than 192 bits in one of 500, as the OpenID
        Foundation's suite does (EnsureMinimumPkceCodeVerifierEntropy); never so with 64.
        """
        return self._derived("code_verifier", digest="sha384")

    @property
    def dpop_seed(self) -> str:
        """43 characters, of which the key is made that binds the tokens of this sign-in (`signing_key.from_seed`)."""
        return self._derived("dpop_seed")

    @property
    def answer_key(self) -> str:
        """43 characters, of which the key is made that seals what a second answer to the callback needs (`used_states.py`)."""
        return self._derived("answer_key")

    def _derived(self, purpose: str, *, digest: str = "sha256") -> str:
        derived = hmac.digest(self.seed, b"bff login " + purpose.encode(), digest)
        return base64url(derived)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserLogins:
    """What the login cookie says."""

    id: bytes = field(repr=False)
    made_at: float
    earlier: tuple[bytes, ...] = field(default=(), repr=False)  # the latest first
    session_key: str | None = None  # the browser's session: the Strict cookie is absent at the callback
    # transaction, way back, parameters as a query
    long: tuple[tuple[str, str, str], ...] = field(default=(), repr=False)

    def began(self, transaction: LoginTransaction) -> bool:
        """Whether this browser began it (RFC 9700 section 4.7.1)."""
        return any(hmac.compare_digest(own, transaction.browser) for own in (self.id, *self.earlier))

    def is_old(self, *, now: float) -> bool:
        """Whether no more sign-ins may begin under this id."""
        return now - self.made_at >= ID_LIFETIME_SECONDS

    def renewed(self, *, used: bytes, now: float) -> "BrowserLogins":
        """Under a new id; `used` is the id that is most likely to be used again."""
        known = dict.fromkeys((used, self.id, *self.earlier))
        return replace(self, id=new_browser_id(), made_at=now, earlier=tuple(known)[:MAX_EARLIER])

    def joined(self, ids_of_tabs: Iterable[bytes]) -> "BrowserLogins":
        """With further ids of this browser: those of tabs that began at the same time, before it had a cookie."""
        ids = dict.fromkeys((*ids_of_tabs, *self.earlier))
        return replace(self, earlier=tuple(known for known in ids if known != self.id)[:MAX_EARLIER])

    def way_back(self, transaction: LoginTransaction) -> str:
        """Where its sign-in leads."""
        return next((path for name, path, _ in self.long if name == transaction.name[:8]), transaction.return_to)

    def parameters(self, transaction: LoginTransaction) -> dict[str, str]:
        """What the page added to its sign-in (`login_params`)."""
        return dict(parse_qsl(next((more for name, _, more in self.long if name == transaction.name[:8]), "")))

    def keeping(
        self, transaction: LoginTransaction, *, return_to: str, parameters: Mapping[str, str]
    ) -> "BrowserLogins":
        """With what `state` has no room for: a long way back, and parameters; the oldest make room for it."""
        if return_to == transaction.return_to and not parameters:
            return self
        kept, size = [], 0
        for name, path, more in ((transaction.name[:8], return_to, urlencode(parameters)), *self.long):
            size += len(path) + len(more) + 12
            if size <= MAX_LONG_BYTES:
                kept.append((name, path, more))
        return replace(self, long=tuple(kept))

    def without(self, transaction: LoginTransaction) -> "BrowserLogins":
        """Without what was kept of a transaction that is over."""
        return replace(self, long=tuple(kept for kept in self.long if kept[0] != transaction.name[:8]))


def new_browser_id() -> bytes:
    """128 random bits."""
    return secrets.token_bytes(16)


def new_browser(*, now: float) -> BrowserLogins:
    """A browser that has begun no sign-in yet."""
    return BrowserLogins(id=new_browser_id(), made_at=now)


def registration(*, issuer: str, client_id: str, redirect_uri: str) -> bytes:
    """16 bytes that stand for us at one provider: what was begun with another configuration is not completed."""
    return hashlib.sha256("\0".join((issuer, client_id, redirect_uri)).encode()).digest()[:16]


def short_way_back(return_to: str, *, step_up: StepUp | None) -> str:
    """What `state` can hold of a way back beside a step-up: all of it, else its path, else the root."""
    room = MAX_IN_STATE - (0 if step_up is None else len(" ".join(step_up.acr_values)))
    path = return_to.partition("?")[0].partition("#")[0]
    return next((part for part in (return_to, path) if len(part) <= room), "/")
