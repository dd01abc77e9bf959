"""A resource server that takes bound tokens only (RFC 9449 section 7), in front of an ASGI app that takes bearers.

Each request needs a proof that was never seen, by the key that the token is bound to, over this method, this URL and this token, with
the nonce of the moment. What fails is 401 with the scheme DPoP; what holds goes on to the app behind with the token as a bearer.
"""

import base64
import hashlib
import json
import warnings
from dataclasses import dataclass, field
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry

PROOF_ALGORITHMS = ("ES256", "ES384", "EdDSA", "Ed25519")


@dataclass(kw_only=True, eq=False)
class DpopApi:
    """The server; `url` is its origin. `nonce` is what proofs must hold, None: they need none."""

    url: str
    behind: Any
    nonce: str | None = None
    scheme: str = "DPoP"  # as it spells it in challenges
    hears_out: bool = False  # reads all content before it refuses
    next_nonce: str | None = None  # goes out with each answer, as the nonce from then on
    keys: list[str] = field(default_factory=list)  # the thumbprint of each proof that held
    refused: list[str] = field(default_factory=list)
    proofs: set[str] = field(default_factory=set)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve."""
        if scope["type"] not in {"http", "websocket"}:
            return
        try:
            scope = {**scope, "headers": self._judged(scope)}
        except Refused as refused:
            self.refused.append(refused.error)
            await self._refuse(refused.error, scope, receive, send)
            return

        async def sent(message: Any) -> None:
            if message["type"] == "http.response.start" and self.next_nonce is not None:
                message = {**message, "headers": [*message["headers"], (b"dpop-nonce", self.next_nonce.encode())]}
                self.nonce, self.next_nonce = self.next_nonce, None
            await send(message)

        await self.behind(scope, receive, sent)

    def _judged(self, scope: Any) -> list[tuple[bytes, bytes]]:
        fields = scope["headers"]
        tokens = [value for name, value in fields if name == b"authorization"]
        proofs = [value for name, value in fields if name == b"dpop"]
        if len(tokens) != 1 or len(proofs) != 1 or not tokens[0].startswith(b"DPoP "):
            raise Refused("invalid_token")
        token = tokens[0].removeprefix(b"DPoP ")
        proof, thumbprint = read_proof(proofs[0].decode())
        expected = {
            "htm": scope.get("method", "GET"),
            "htu": self.url + scope["raw_path"].decode("latin-1").partition("?")[0],
            "ath": base64.urlsafe_b64encode(hashlib.sha256(token).digest()).rstrip(b"=").decode(),
        }
        if {name: proof.get(name) for name in expected} != expected or proof["jti"] in self.proofs:
            raise Refused("invalid_dpop_proof")
        self.proofs.add(proof["jti"])
        if proof.get("nonce") != self.nonce:
            raise Refused("use_dpop_nonce")
        if bound_to(token.decode()) not in {None, thumbprint}:
            raise Refused("invalid_token")
        self.keys.append(thumbprint)
        others = [pair for pair in fields if pair[0] not in {b"authorization", b"dpop"}]
        return [*others, (b"authorization", b"Bearer " + token)]

    async def _refuse(self, error: str, scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"www-authenticate", b'%b error="%b", algs="ES256"' % (self.scheme.encode(), error.encode()))]
        if self.nonce is not None:
            headers.append((b"dpop-nonce", self.nonce.encode()))
        while self.hears_out and (await receive()).get("more_body"):
            pass
        kind = "http.response" if scope["type"] == "http" else "websocket.http.response"
        await send({"type": f"{kind}.start", "status": 401, "headers": headers})
        await send({"type": f"{kind}.body", "body": b""})


class Refused(Exception):
    """A request whose token or proof does not hold; `error` is the code of the challenge."""

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


def read_proof(proof: str) -> tuple[dict[str, Any], str]:
    """The claims of a proof whose signature holds under the key in its header, and that key's thumbprint."""
    try:
        header = read_header(proof)
        key = JWKRegistry.import_key(header["jwk"])
        with warnings.catch_warnings(action="ignore"):  # of EdDSA, which has another name since RFC 9864
            claims = jwt.decode(proof, key, algorithms=[*PROOF_ALGORITHMS]).claims
    except (JoseError, ValueError, KeyError) as error:
        raise Refused("invalid_dpop_proof") from error
    if header["typ"] != "dpop+jwt" or "d" in header["jwk"]:
        raise Refused("invalid_dpop_proof")
    return claims, key.thumbprint()


def read_header(proof: str) -> dict[str, Any]:
    """The header of a proof."""
    header: dict[str, Any] = json.loads(_decoded(proof.split(".", maxsplit=1)[0]))
    return header


def bound_to(token: str) -> str | None:
    """The thumbprint in a JWT's `cnf` (RFC 9449 section 6.1); None for an opaque token, or one that is bound to nothing."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    confirmation = json.loads(_decoded(parts[1])).get("cnf", {})
    return confirmation.get("jkt")  # type: ignore[no-any-return]


def _decoded(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
