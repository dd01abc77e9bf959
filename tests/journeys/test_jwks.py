"""Our public keys, for providers that fetch them: `GET /bff/jwks/{provider}`."""

from pathlib import Path

from bff import signing_key
from support.gateway_world import gateway_world
from support.http_client import http_client
from support.tls_certificates import client_files


def key_file(folder: Path, name: str) -> tuple[dict[str, str], signing_key.SigningKey]:
    """A reference to a new key."""
    key = signing_key.generate()
    (folder / name).write_text(key.pem())
    return {"file": str(folder / name)}, key


async def test_public_halves_of_both_keys_are_served(tmp_path: Path) -> None:
    """Both keys of a rotation, newest first, without a private member, cacheable, without a cookie or header of ours."""
    (new, newest), (old, oldest) = key_file(tmp_path, "new.pem"), key_file(tmp_path, "old.pem")
    async with gateway_world(corp={"client_keys": [new, old]}) as world, http_client() as http:
        answer = await http.get(f"{world.url}/bff/jwks/corp")
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/jwk-set+json"
        assert answer.headers["cache-control"] == "public, max-age=300"
        assert "set-cookie" not in answer.headers
        assert answer.json() == {"keys": [newest.published(), oldest.published()]}
        assert "d" not in answer.json()["keys"][0]
        assert (await http.head(f"{world.url}/bff/jwks/corp")).content == b""
        assert (await http.post(f"{world.url}/bff/jwks/corp")).status_code == 405


async def test_new_key_is_served_without_a_restart(tmp_path: Path) -> None:
    """A key that replaces the file's old one is published at the next request."""
    reference, _ = key_file(tmp_path, "key.pem")
    async with gateway_world(corp={"client_keys": [reference]}) as world, http_client() as http:
        _, newer = key_file(tmp_path, "newer.pem")
        (tmp_path / "newer.pem").rename(tmp_path / "key.pem")
        answer = await http.get(f"{world.url}/bff/jwks/corp")
        assert [key["kid"] for key in answer.json()["keys"]] == [newer.kid]


async def test_self_signed_certificate_is_published(tmp_path: Path) -> None:
    """RFC 8705 section 2.2.2: a provider finds the certificate of `self_signed_tls_client_auth` in our JWKS."""
    certificate, key = client_files(tmp_path)
    issuer = "https://login.example.com"  # never called: a provider with a certificate is reached by https only
    settings = {
        "issuer": issuer,
        "client_certificate": {"certificate": str(certificate), "key": str(key)},
        "client_auth": "self_signed_tls_client_auth",
    }
    async with gateway_world(corp=settings) as world, http_client() as http:
        (jwk,) = (await http.get(f"{world.url}/bff/jwks/corp")).json()["keys"]
        assert jwk == signing_key.of_certificate(certificate.read_text())


async def test_provider_without_keys_has_no_such_page() -> None:
    """404 for a provider that has no keys of ours, and for one that does not exist."""
    async with gateway_world() as world, http_client() as http:
        for name in ("corp", "nowhere", "CORP", ""):
            assert (await http.get(f"{world.url}/bff/jwks/{name}")).status_code == 404
