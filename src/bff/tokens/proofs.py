"""The fields that carry an access token to an API: as a bearer, or with a proof that its key is ours (RFC 9449 section 7).

A token that is bound to a key never travels as a bearer. Each request needs a proof of its own, so nothing here is kept for the next
request but the nonces that APIs demand.
"""

from bff import signing_key
from bff.clock import Clock
from bff.oauth import dpop
from bff.request_head import Field, FieldBlock, field_block
from bff.sessions.model import AccessToken
from bff.tokens.sources import bearer


class Proofs:
    """Makes the fields for tokens of every kind; one for the process, which keeps the APIs' nonces."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._nonces = dpop.Nonces()

    def credentials(self, token: AccessToken, *, method: bytes, url: str, nonces_of: str | None = None) -> FieldBlock:
        """The fields that carry this token in one request; `url` is the one that the API sees, `nonces_of` by which it is `heard`."""
        if token.dpop_seed is None:
            return bearer(token)
        proof = dpop.proof(
            signing_key.from_seed(token.dpop_seed),
            method=method.decode("ascii"),
            url=url,
            now=self._clock(),
            nonce=self._nonces.of(nonces_of or url),
            access_token=token.value,
        )
        carried = b"DPoP " + token.value.encode("ascii")
        return field_block([(b"authorization", carried), (b"dpop", proof.encode("ascii"))])

    def heard(self, fields: list[Field], *, url: str) -> bool:
        """Keep the nonce of an answer; whether there is a new one to answer a challenge with (section 8.2)."""
        return self._nonces.note(url, _single(fields, b"dpop-nonce"))


def challenged(status: int, fields: list[Field]) -> bool:
    """Whether an API asks for its nonce: no rejected token, and the request was not carried out (section 9)."""
    return status == 401 and any(
        name == b"www-authenticate" and dpop.challenged_by_api(value.decode("latin-1")) for name, value in fields
    )


def _single(fields: list[Field], wanted: bytes) -> str | None:
    values = [value for name, value in fields if name == wanted]
    return values[0].decode("latin-1") if len(values) == 1 else None
