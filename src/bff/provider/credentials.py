"""Which client secret authenticates us now. During a rotation there are two, and the provider knows one of them.

The secret that worked last is used first. The other one is tried once, and only on `invalid_client`: a provider
authenticates the client before it looks at the grant (RFC 6749 section 5.2), so no authorization code and no refresh
token is spent by the first try. No other error is retried.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from bff.config.values.secrets import Secret
from bff.errors import ProviderRefused
from bff.telemetry import tokens as telemetry

T = TypeVar("T")


class Credentials:
    """The client secrets at one provider: one, or two during a rotation."""

    def __init__(self, secrets: Sequence[Secret], *, provider: str) -> None:
        self._secrets = secrets
        self._provider = provider
        self._working = 0  # position of the secret that worked last

    async def call(self, attempt: Callable[[str], Awaitable[T]]) -> T:
        """The result of `attempt(secret)`: with the secret that worked last, on `invalid_client` with the other one.

        Raises:
            ProviderRefused: the provider refused both secrets, or the request itself.
            SecretUnavailable: the secret cannot be read.
        """
        first = self._working % len(self._secrets)
        try:
            return await attempt(self._secrets[first].read())
        except ProviderRefused as refused:
            if refused.error != "invalid_client" or len(self._secrets) == 1:
                raise
        other = (first + 1) % len(self._secrets)
        result = await attempt(self._secrets[other].read())
        self._working = other
        telemetry.secret_switched(provider=self._provider, position=other)
        return result
