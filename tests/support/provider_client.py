"""A plain OAuth client for tests of the provider itself: it sends what it is told, and judges nothing."""

from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2

from bff.demo.grants import Client, s256
from bff.demo.provider import DemoProvider
from support.fake_provider import sign_in_ticket
from support.http_client import http_client

VERIFIER = "v" * 43
RESOURCE = "http://127.0.0.1:1/api"


class ProviderClient:
    """One client of one provider, with a browser's cookies for the sign-in."""

    def __init__(self, provider: DemoProvider, *, client: Client | None = None) -> None:
        self.provider = provider
        self.client = client or next(iter(provider.clients.values()))
        self.http = http_client(keeps_cookies=True, timeout=60.0)

    async def __aenter__(self) -> "ProviderClient":
        """Use as a context manager."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.http.aclose()

    def url(self, path: str) -> str:
        """An endpoint's address."""
        return self.provider.issuer + path

    def question(self, **changes: str | None) -> dict[str, str]:
        """A complete authorization request; None leaves a parameter out."""
        pairs: dict[str, str | None] = {
            "response_type": "code",
            "client_id": self.client.client_id,
            "redirect_uri": self.client.redirect_uris[0],
            "scope": "openid profile email offline_access",
            "state": "the-state",
            "nonce": "the-nonce",
            "code_challenge": s256(VERIFIER),
            "code_challenge_method": "S256",
            **changes,
        }
        return {name: value for name, value in pairs.items() if value is not None}

    async def authorize(self, **changes: str | None) -> httpx2.Response:
        """The answer to an authorization request."""
        return await self.http.get(self.url("/authorize"), params=self.question(**changes))

    async def sign_in(self, user: str = "alice", **changes: str | None) -> dict[str, str]:
        """Ask, click on a name if there is a page, and return the parameters of the authorization response."""
        page = await self.authorize(**changes)
        if page.status_code == 303:
            return answer_of(page)
        answer = await self.http.post(self.url("/sign_in"), data={"ticket": sign_in_ticket(page.text), "user": user})
        return answer_of(answer)

    async def token(self, **form: Any) -> httpx2.Response:
        """Post to the token endpoint with the secret in the form; None leaves a field out."""
        pairs = {"client_id": self.client.client_id, "client_secret": self.client.secret, **form}
        data = {name: value for name, value in pairs.items() if value is not None}
        return await self.http.post(self.url("/token"), data=data)

    async def exchange(self, code: str, **changes: Any) -> httpx2.Response:
        """Redeem a code."""
        form = {"redirect_uri": self.client.redirect_uris[0], "code_verifier": VERIFIER, **changes}
        return await self.token(grant_type="authorization_code", code=code, **form)

    async def refresh(self, refresh_token: str, **changes: Any) -> httpx2.Response:
        """Use a refresh token."""
        return await self.token(grant_type="refresh_token", refresh_token=refresh_token, **changes)

    async def tokens(self, **changes: str | None) -> dict[str, Any]:
        """Sign in as alice and return the token response."""
        answer = await self.exchange((await self.sign_in(**changes))["code"])
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def revoke(self, token: str) -> httpx2.Response:
        """Revoke a token."""
        form = {"token": token, "client_id": self.client.client_id, "client_secret": self.client.secret}
        return await self.http.post(self.url("/revoke"), data=form)

    async def userinfo(self, access_token: str) -> httpx2.Response:
        """Ask the UserInfo endpoint."""
        return await self.http.get(self.url("/userinfo"), headers={"authorization": f"Bearer {access_token}"})


def answer_of(response: httpx2.Response) -> dict[str, str]:
    """The parameters that a redirect carries back."""
    assert response.status_code == 303, response.text
    return {name: values[0] for name, values in parse_qs(urlsplit(response.headers["location"]).query).items()}
