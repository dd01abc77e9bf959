"""The certificate that we show to a provider: over real TLS, at the endpoints for it, and read again when it changes."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from bff.config.model import CertificateConfig, ProviderConfig
from bff.errors import ProviderMisbehaved, ProviderUnavailable, SecretUnavailable
from bff.provider.client import Provider
from bff.secret_uses import SecretUses, digest
from support.provider_pair import pair
from support.tls_certificates import Authority, client_files
from support.tls_ends import ending_tls
from support.tls_provider import TlsProvider, tls_provider


@asynccontextmanager
async def world(
    folder: Path, *, uses: SecretUses | None = None, **settings: Any
) -> AsyncIterator[tuple[TlsProvider, Provider, CertificateConfig]]:
    """A provider that asks for certificates of this authority, and our side of it with one."""
    authority = Authority(folder)
    certificate, key = client_files(folder, authority=authority)
    shown = CertificateConfig(certificate=certificate, key=key)
    async with tls_provider(authority) as theirs:
        config = ProviderConfig(
            issuer=theirs.url,
            client_id="shop",
            client_auth="tls_client_auth",
            client_certificate=shown,
            ca_file=authority.file,
            **settings,
        )
        ours = Provider(name="corp", config=config, redirect_uri="https://app/cb", clock=lambda: 1.8e9, uses=uses)
        try:
            yield theirs, ours, shown
        finally:
            await ours.close()


@pytest.mark.requirement("R-091")
async def test_certificate_is_shown_at_the_endpoints_for_it(tmp_path: Path) -> None:
    """The alias of the metadata is called, the certificate is ours, and the form names the client and holds no secret."""
    async with world(tmp_path) as (theirs, ours, _):
        await ours.client_credentials(scope=None, resource=None, audience=None)
        call = theirs.calls[-1]
        assert call.path == "/mtls/token"
        assert call.common_name == "shop"
        assert call.form == {"grant_type": "client_credentials", "client_id": "shop"}


async def test_the_certificate_that_is_shown_is_noted_as_used(tmp_path: Path) -> None:
    """An operator who rotates it sees which one is in use."""
    uses = SecretUses(clock=lambda: 1.8e9)
    async with world(tmp_path, uses=uses) as (_, ours, shown):
        await ours.client_credentials(scope=None, resource=None, audience=None)
        (use,) = uses.all()
        assert (use.owner, use.position, use.digest) == (
            "corp",
            "client_certificate",
            digest(shown.certificate.read_text()),
        )


@pytest.mark.requirement("R-091")
async def test_endpoint_of_the_configuration_wins(tmp_path: Path) -> None:
    """A written endpoint is called, whatever the aliases say."""
    async with world(tmp_path) as (theirs, _, shown):
        config = ProviderConfig(
            issuer=theirs.url,
            client_id="shop",
            client_auth="tls_client_auth",
            client_certificate=shown,
            ca_file=tmp_path / "authority.pem",
            token_endpoint=f"{theirs.url}/written/token",
            discovery="openid",
        )
        ours = Provider(name="corp", config=config, redirect_uri="https://app/cb", clock=lambda: 1.8e9)
        await ours.client_credentials(scope=None, resource=None, audience=None)
        await ours.close()
        assert theirs.calls[-1].path == "/written/token"


CALLED = ("token", "revocation", "userinfo", "pushed_authorization_request")


async def call_all(ours: Provider) -> None:
    """Every kind of call that shows the certificate."""
    await ours.client_credentials(scope=None, resource=None, audience=None)
    await ours.revoke("rt", token_type_hint="refresh_token")
    await ours.identity.userinfo("at", subject="alice")
    await ours.authorization_url((("client_id", "shop"),))


@pytest.mark.requirement("R-091")
@pytest.mark.parametrize(
    "aliased",
    [(), *[(name,) for name in CALLED], ("token", "userinfo"), CALLED],
    ids=lambda names: " ".join(names) or "none",
)
async def test_an_alias_stands_for_its_own_endpoint_only(tmp_path: Path, aliased: tuple[str, ...]) -> None:
    """RFC 8705 section 5: an endpoint that is not in `mtls_endpoint_aliases` is called at its conventional URL."""
    async with world(tmp_path, par="required") as (theirs, ours, _):
        unused = {"introspection_endpoint": "http://elsewhere.example/introspect", "device_authorization_endpoint": 7}
        theirs.aliases = {**{f"{name}_endpoint": "{url}/mtls/" + name for name in aliased}, **unused}
        await call_all(ours)
        assert [call.path for call in theirs.calls] == [
            f"/mtls/{name}" if name in aliased else f"/{name}" for name in CALLED
        ]
        assert {call.common_name for call in theirs.calls} == {"shop"}


@pytest.mark.requirement("R-091", "R-329")
@pytest.mark.parametrize(
    "alias", ["http://127.0.0.1:9/token", "", "/token", 7, ["{url}/mtls/token"], "https://u@h/token"]
)
async def test_an_alias_that_is_no_https_url_is_not_called(tmp_path: Path, alias: object) -> None:
    """Nothing is sent there, nor to the endpoint that asks for no certificate."""
    async with world(tmp_path) as (theirs, ours, _):
        theirs.aliases = {"token_endpoint": alias}
        with pytest.raises(ProviderMisbehaved) as refused:
            await ours.client_credentials(scope=None, resource=None, audience=None)
        assert refused.value.reason == "endpoint"
        assert theirs.calls == []


@pytest.mark.requirement("R-091", "R-076")
async def test_an_alias_on_another_host_proves_its_own_name(tmp_path: Path) -> None:
    """A server there without a certificate that we trust gets no request, and our refresh token is not spent."""
    other = Authority(tmp_path, "other")
    async with world(tmp_path) as (theirs, ours, _), tls_provider(other) as elsewhere:
        theirs.aliases = {"token_endpoint": f"{elsewhere.url}/mtls/token"}
        with pytest.raises(ProviderUnavailable) as unavailable:
            await ours.refresh("rt", scope=None, resource=None, audience=None)
        assert (unavailable.value.reason, unavailable.value.unanswered) == ("not_connected", False)
        assert elsewhere.calls == theirs.calls == []


def at(url: str, authority: Authority, shown: CertificateConfig | None) -> Provider:
    """Our side of a server that has nothing but a token endpoint."""
    settings: dict[str, Any] = {"client_auth": "none", "insecure_public_client": True}
    if shown is not None:
        settings = {"client_auth": "tls_client_auth", "client_certificate": shown}
    config = ProviderConfig(
        issuer=url,
        client_id="shop",
        discovery="off",
        token_endpoint=f"{url}/token",
        ca_file=authority.file,
        **settings,
    )
    return Provider(name="corp", config=config, redirect_uri="https://app/cb", clock=lambda: 1.8e9)


@pytest.mark.requirement("R-091", "R-342", "R-336")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
async def test_a_certificate_that_the_provider_refuses_has_a_reason(tmp_path: Path, version: ssl.TLSVersion) -> None:
    """In TLS 1.3 the refusal comes when the request is written already: it was not read, and no refresh token is spent."""
    authority = Authority(tmp_path)
    certificate, key = client_files(tmp_path, authority=Authority(tmp_path, "other"))
    context = authority.asking_server("127.0.0.1")
    context.maximum_version = version
    async with ending_tls(context) as (url, failures):
        ours = at(url, authority, CertificateConfig(certificate=certificate, key=key))
        with pytest.raises(ProviderUnavailable) as unavailable:
            await ours.refresh("rt", scope=None, resource=None, audience=None)
        await ours.close()
    assert len(failures) == 1
    assert (unavailable.value.reason, unavailable.value.unanswered) == ("client_certificate", False)


@pytest.mark.requirement("R-091", "R-342")
async def test_a_provider_that_misses_a_certificate_has_the_same_reason(tmp_path: Path) -> None:
    """TLS 1.3 has an alert for it: `certificate_required`."""
    authority = Authority(tmp_path)
    context = authority.asking_server("127.0.0.1")
    async with ending_tls(context) as (url, _):
        ours = at(url, authority, None)
        with pytest.raises(ProviderUnavailable) as unavailable:
            await ours.refresh("rt", scope=None, resource=None, audience=None)
        await ours.close()
    assert (unavailable.value.reason, unavailable.value.unanswered) == ("client_certificate", False)


@pytest.mark.requirement("R-085", "R-342")
async def test_tls_that_breaks_in_mid_answer_is_an_outage(tmp_path: Path) -> None:
    """What is no record of TLS ends the call with our own error; the request may have been carried out."""
    authority = Authority(tmp_path)
    async with ending_tls(authority.server("127.0.0.1"), then=b"HTTP/1.1 200 OK\r\n\r\n") as (url, _):
        ours = at(url, authority, None)
        with pytest.raises(ProviderUnavailable) as unavailable:
            await ours.refresh("rt", scope=None, resource=None, audience=None)
        await ours.close()
    assert (unavailable.value.reason, unavailable.value.unanswered) == ("cut_off", True)


@pytest.mark.requirement("R-091")
async def test_new_certificate_is_shown_after_the_files_changed(tmp_path: Path) -> None:
    """A rotated certificate is used by new connections; half a rotation and garbage keep the old one, and say so."""
    async with world(tmp_path) as (theirs, ours, shown):
        authority = theirs.authority

        async def name() -> str:
            await ours.client_credentials(scope=None, resource=None, audience=None)
            return theirs.calls[-1].common_name

        assert await name() == "shop"
        newer = client_files(tmp_path, name="newer", authority=authority)
        with capture_logs() as logs:
            newer[0].rename(shown.certificate)
            assert await name() == "shop"
            newer[1].rename(shown.key)
            assert await name() == "newer"
            (tmp_path / "garbage").write_text("garbage")
            (tmp_path / "garbage").rename(shown.certificate)
            assert await name() == "newer"
            assert await name() == "newer"
        assert [(entry["event"], entry["file"]) for entry in logs] == [
            ("config.file_unusable", str(shown.certificate))
        ] * 2


@pytest.mark.requirement("R-091")
async def test_a_connection_that_shows_the_former_certificate_gets_no_further_call(tmp_path: Path) -> None:
    """A busy connection is never idle: without this a provider that has ended the former certificate would see it for ever."""
    async with world(tmp_path) as (theirs, ours, shown):
        theirs.keeps = True

        async def name() -> str:
            await ours.client_credentials(scope=None, resource=None, audience=None)
            return theirs.calls[-1].common_name

        assert [await name(), await name()] == ["shop", "shop"]
        assert theirs.connections == 1
        newer = client_files(tmp_path, name="newer", authority=theirs.authority)
        newer[1].rename(shown.key)
        newer[0].rename(shown.certificate)
        assert [await name(), await name()] == ["newer", "newer"]
        assert theirs.connections == 2


@pytest.mark.requirement("R-091")
async def test_without_a_usable_certificate_nothing_is_sent(tmp_path: Path) -> None:
    """A certificate that never could be read ends the call before a connection."""
    async with world(tmp_path) as (theirs, ours, shown):
        shown.key.write_text("garbage")
        with pytest.raises(SecretUnavailable):
            await ours.client_credentials(scope=None, resource=None, audience=None)
        assert theirs.calls == []


@pytest.mark.requirement("R-091")
async def test_endpoint_without_tls_is_refused(tmp_path: Path) -> None:
    """Over plain http no certificate is shown, so nothing is sent."""
    certificate, key = client_files(tmp_path)
    shown = CertificateConfig(certificate=certificate, key=key)
    async with pair(client_auth="tls_client_auth", client_certificate=shown) as plain:
        with pytest.raises(ProviderMisbehaved) as refused:
            await plain.ours.client_credentials(scope=None, resource=None, audience=None)
        assert refused.value.reason == "endpoint"
        assert plain.token_calls() == []
