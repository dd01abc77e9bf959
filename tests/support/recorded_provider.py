"""The demo provider with what only tests need of it: what it was asked, keys that change, and logout tokens."""

import secrets
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from joserfc.jwk import RSAKey
from starlette.responses import Response

from bff.demo.grants import Client
from bff.demo.parameters import Call
from bff.demo.provider import DemoProvider, Endpoint
from bff.demo.signing import SigningKeys, new_key, sign

CALLS_KEPT = 10_000
KEYS_IN_TURN = 4  # providers that a test starts side by side have keys of their own
PUBLISHED_KEYS = 2
LOGOUT_TOKEN_LIFETIME_SECONDS = 120
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackchannelLogout:
    """A logout request that is ready to be posted to a client; a test sends it."""

    url: str
    body: bytes
    content_type: str = "application/x-www-form-urlencoded"


class RotatedKeys(SigningKeys):
    """Keys of which the one before stays published: tokens signed before a rotation still verify (OpenID Connect Core 10.1.1)."""

    def rotate(self) -> None:
        """Sign with a new key from now on; the oldest published key is withdrawn."""
        self._keys = [new_key(), *self._keys][:PUBLISHED_KEYS]


def _made_keys() -> Iterator[RSAKey]:
    """Keys for providers that start: a few in turn, since one takes 0.1 s to make and thousands of tests need some."""
    keys = [new_key() for _ in range(KEYS_IN_TURN)]
    while True:
        yield from keys


_MADE_KEYS = _made_keys()


class RecordedProvider(DemoProvider):
    """Every request is kept in `calls`, the oldest first."""

    keys: RotatedKeys

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, keys=RotatedKeys(next(_MADE_KEYS)))
        self.calls: deque[Call] = deque(maxlen=CALLS_KEPT)

    def calls_to(self, path: str) -> list[Call]:
        """The requests to one endpoint, e.g. `/token`."""
        return [call for call in self.calls if call.path == path]

    async def respond(self, call: Call, endpoint: Endpoint) -> Response:
        """Keep the call, then answer it."""
        self.calls.append(call)
        return await super().respond(call, endpoint)

    def rotate_keys(self) -> None:
        """Sign with a new key from now on; the previous one stays published."""
        self.keys.rotate()

    def metadata(self) -> dict[str, object]:
        """It sends logout tokens (OpenID Connect Back-Channel Logout 1.0 section 2.1)."""
        return {
            **super().metadata(),
            "backchannel_logout_supported": True,
            "backchannel_logout_session_supported": True,
        }

    def build_backchannel_logout(
        self, client_id: str, *, subject: str | None = None, sid: str | None = None
    ) -> BackchannelLogout:
        """The request that tells a client of a logout (OpenID Connect Back-Channel Logout 1.0 section 2.5).

        Raises:
            ValueError: the client has registered no address for it.
        """
        client = self.clients[client_id]
        if client.backchannel_logout_uri is None:
            raise ValueError(f"client {client_id} has no backchannel_logout_uri")
        token = self.logout_token(client, subject=subject, sid=sid)
        return BackchannelLogout(url=client.backchannel_logout_uri, body=urlencode({"logout_token": token}).encode())

    def logout_token(self, client: Client, *, subject: str | None, sid: str | None) -> str:
        """A logout token (OpenID Connect Back-Channel Logout 1.0 section 2.4)."""
        now = int(self.clock())
        claims: dict[str, object] = {
            "iss": self.issuer,
            "aud": client.client_id,
            "iat": now,
            "exp": now + LOGOUT_TOKEN_LIFETIME_SECONDS,
            "jti": secrets.token_urlsafe(12),
            "events": {LOGOUT_EVENT: {}},
        }
        claims |= {name: value for name, value in (("sub", subject), ("sid", sid)) if value is not None}
        return self.sign_logout_token(header={"typ": "logout+jwt"}, claims=claims)

    def sign_logout_token(self, *, header: dict[str, object], claims: dict[str, object]) -> str:
        """The last step of every logout token."""
        return sign(self.keys.current, header=header, claims=claims)
