"""A provider that rotates refresh tokens, ends a grant whose token comes twice, and can be in every kind of trouble."""

import asyncio
import base64
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.utils import formatdate

from starlette.responses import Response

from bff.demo import issuing
from bff.demo.grants import Client
from bff.demo.parameters import Call
from bff.demo.provider import Endpoint
from support.client_jwks import ClientJwks
from support.fake_provider import Answer, FakeProvider, oauth_error


@dataclass(frozen=True, slots=True)
class Use:
    """One refresh that came in: when, whether it was answered with tokens, and whose."""

    at: float
    served: bool
    user: str = ""


class FaultProvider(FakeProvider):
    """`delay_seconds` is how late the answer to a refresh comes, after its token was rotated; `trouble` is said in its place."""

    def __init__(
        self,
        *,
        issuer: str,
        clients: Sequence[Client],
        access_token_lifetime_seconds: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(
            issuer=issuer, clients=clients, access_token_lifetime_seconds=access_token_lifetime_seconds, clock=clock
        )
        self.delay_seconds = 0.0
        self.trouble: Answer | None = None
        self.jwks_of_client: ClientJwks | None = None
        self.answering: list[str] = []  # the users whose answers are late
        self.uses: list[Use] = []
        self.spent: Counter[str] = Counter()  # refresh token -> how often it was served

    def people(self, count: int) -> list[str]:
        """So many users, each with a name of their own."""
        names = [f"user-{number}" for number in range(count)]
        issuing.USERS.update({name: {"name": name, "email": f"{name}@example.com"} for name in names})
        return names

    def refuse(self, status: int, *, retry_after: int | None = None) -> None:
        """Answer every refresh with this status until `recover`."""
        fields = () if retry_after is None else (("retry-after", str(retry_after)),)
        self.trouble = Answer(status=status, body=oauth_error("temporarily_unavailable").body, fields=fields)

    def recover(self) -> None:
        """Answer every refresh at once again."""
        self.trouble, self.delay_seconds = None, 0.0

    async def respond(self, call: Call, endpoint: Endpoint) -> Response:
        """Rotate first, then be late: what is cut off then is lost."""
        if self.jwks_of_client is not None:
            call = await self.jwks_of_client.judged(call)
        form = dict(call.form)
        if call.path != "/token" or form.get("grant_type") != "refresh_token":
            return await super().respond(call, endpoint)
        if self.trouble is not None:
            self.uses.append(Use(self.clock(), served=False))
            self.misbehave(answers={"/token": self.trouble})
            refusal = await super().respond(call, endpoint)
            self.misbehave(answers={})
            return refusal
        response = await super().respond(call, endpoint)
        response.headers["date"] = formatdate(self.clock(), usegmt=True)
        user = _user(response)
        self.uses.append(Use(self.clock(), served=True, user=user))
        if response.status_code != 401 and self.misbehaviour.rotate:  # `invalid_client`: the token was not looked at
            self.spent[form["refresh_token"]] += 1
        self.answering.append(user)
        try:
            await asyncio.sleep(self.delay_seconds)  # this is the provider's slowness, not a test that waits
        finally:
            self.answering.remove(user)
        return response

    @property
    def under_way(self) -> int:
        """How many refreshes wait for their late answers."""
        return len(self.answering)

    @property
    def used_twice(self) -> int:
        """How many refresh tokens were sent again after they had been rotated."""
        return sum(1 for count in self.spent.values() if count > 1)


def _user(response: Response) -> str:
    """Whose tokens these are; empty if there are none."""
    token = json.loads(bytes(response.body)).get("access_token", "")
    payload = token.partition(".")[2].partition(".")[0]
    return str(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["sub"]) if payload else ""
