"""A provider that knows its client by keys: it fetches them from the client's JWKS, and keeps them until it is to look again."""

from dataclasses import replace

import httpx2
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from bff.demo.parameters import Call

_ASSERTION = ("client_assertion", "client_assertion_type")


class ClientJwks:
    """The keys at this URL, as a provider's cache has them (RFC 7523 section 3)."""

    def __init__(self, url: str, *, secret: str) -> None:
        self._url = url
        self._secret = secret  # by what the demo provider knows the client
        self._keys: KeySet | None = None
        self.refused = 0

    @property
    def kids(self) -> set[str]:
        """The keys that the provider knows now."""
        return set() if self._keys is None else {str(key.kid) for key in self._keys}

    async def look(self) -> None:
        """Fetch them."""
        async with httpx2.AsyncClient(trust_env=False) as http:
            answer = await http.get(self._url)
        self._keys = KeySet.import_key_set(answer.raise_for_status().json())

    async def judged(self, call: Call) -> Call:
        """The call with the client's secret in the place of an assertion by one of its keys; of another one, as it is."""
        form = dict(call.form)
        if "client_assertion" not in form:
            return call
        if self._keys is None:
            await self.look()
        assert self._keys is not None
        rest = tuple(pair for pair in call.form if pair[0] not in {*_ASSERTION, "client_id"})
        try:
            client_id = jwt.decode(form["client_assertion"], self._keys, algorithms=["ES256"]).claims["sub"]
        except (JoseError, ValueError):
            self.refused += 1
            return replace(call, form=rest)
        return replace(call, form=(*rest, ("client_id", client_id), ("client_secret", self._secret)))
