"""HTTP to one provider: one request, one response, limits on time and on size.

- Redirects are never followed: a redirected token request would carry the secret to another server (ASVS V15.3.2).
- No cookie of a provider is kept, so that a cookie of one user's call is never sent with another user's call.
- Nothing is retried: whether a request may be sent twice is decided in `credentials.py`.
- No content coding is asked for, and an answer in one is refused unread: there is nothing to decompress, so no
  decompression bomb (R-116).
- The environment is not read: a proxy variable or a netrc file cannot redirect a secret. A proxy of the configuration is
  asked for a tunnel (CONNECT) to an https URL, and sees no more than its host; it sees all of an http one.
- Until the connection stands, tunnel and TLS included, nothing of a request is sent (`connecting.py`): a failure before
  that spends no code and no refresh token. Each step of it has at most `LONGEST_CONNECT_SECONDS`.
"""

import asyncio
import ssl
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path

import httpx2

from bff.config.model import CertificateConfig
from bff.config.values.certificates import WatchedFile
from bff.config.values.secrets import Secret
from bff.errors import ProviderMisbehaved, ProviderUnavailable
from bff.oauth.messages import ProviderRequest, ProviderResponse
from bff.provider.client_certificate import ClientCertificate
from bff.provider.clock_skew import ClockSkew
from bff.provider.connecting import Connecting
from bff.provider.no_answer import FAILURES, no_answer
from bff.regular_files import flaw_of
from bff.secret_uses import CLIENT_CERTIFICATE, PROXY_CREDENTIALS, SecretUses, digest
from bff.telemetry import running as telemetry
from bff.telemetry.traces import Attributes, client_span, http_answered, http_call
from bff.trusted_roots import client_context

MAX_RESPONSE_BYTES = 1024 * 1024
MAX_CONNECTIONS = 64
RENEWAL_CONNECTIONS = 48  # at a time for renewals (`places.py`); the rest is for sign-ins
LONGEST_CONNECT_SECONDS = 10.0
PROXY_WANTS_PASSWORD = 407

Transport = httpx2.AsyncBaseTransport  # the seam: tests hand in one that opens no socket


class ProviderHttp:
    """Sends requests to one provider, through an outbound `proxy` if there is one. `transport` takes the place of the network."""

    def __init__(
        self,
        *,
        provider: str,
        timeout_seconds: float,
        ca_file: Path | None,
        proxy: str | None = None,
        proxy_credentials: Secret | None = None,
        client_certificate: CertificateConfig | None = None,
        skew: ClockSkew | None = None,
        transport: Transport | None = None,
        uses: SecretUses | None = None,
    ) -> None:
        self._skew = skew
        self._uses = uses
        self._provider = provider
        self._timeout_seconds = timeout_seconds
        # Of each step of a connection. Half of the call's time, so that the step ends by its own limit (`connecting.py`).
        self._connect_seconds = min(timeout_seconds / 2, LONGEST_CONNECT_SECONDS)
        self._transport = transport
        self._proxy = proxy
        self._proxy_credentials = proxy_credentials
        self._pair = client_certificate
        self._ca_file = ca_file
        self._authorities = WatchedFile(ca_file)
        self._line = self._new_line()

    async def send(self, request: ProviderRequest, *, limit_seconds: float | None = None) -> ProviderResponse:
        """Send one request and read its whole response, within `limit_seconds` (the provider's `timeout` if None).

        Raises:
            ProviderUnavailable: not a URL that can be called, no connection, TLS refused, a proxy that refuses, too slow, or cut off.
            ProviderMisbehaved: the response is larger than `MAX_RESPONSE_BYTES`, or has a content coding.
            SecretUnavailable: there is no usable client certificate, or password for the proxy, where one is configured.
        """
        line = await self._current_line()
        sent_at = 0.0 if self._skew is None else self._skew.now()
        line.calls += 1
        connecting = Connecting(self._connect_seconds)
        try:
            with client_span(request.method, self._described(request)) as parent:
                headers = [*request.headers, *((name.decode(), value.decode()) for name, value in parent)]
                async with (
                    asyncio.timeout(limit_seconds or self._timeout_seconds) as deadline,
                    line.client.stream(
                        request.method,
                        request.url,
                        headers=headers,
                        content=request.body,
                        extensions={"trace": connecting.note(deadline)},
                    ) as response,
                ):
                    body = await self._bounded_body(response)
                http_answered(response.status_code)
        except FAILURES as error:
            if connecting.under_way:
                self._leave_tunnels(line)
            raise no_answer(error, provider=self._provider, connecting=connecting) from error
        finally:
            line.calls -= 1
            await self._close_if_left(line)
        self._judge_proxy(response.status_code, request.url)
        self._note_uses(line, request.url)
        if self._skew is not None:
            self._skew.note(date=response.headers.get("date"), age=response.headers.get("age"), sent_at=sent_at)
        return ProviderResponse(
            status=response.status_code,
            content_type=response.headers.get("content-type", ""),
            retry_after=response.headers.get("retry-after"),
            date=response.headers.get("date"),
            dpop_nonce=response.headers.get("dpop-nonce"),
            www_authenticate=response.headers.get("www-authenticate", ""),
            location=response.headers.get("location"),
            body=body,
        )

    def _described(self, request: ProviderRequest) -> Attributes:
        """The call in a span, without the query, which may hold secrets."""
        return http_call(request.method, request.url.partition("?")[0], **{"bff.provider": self._provider})

    async def close(self) -> None:
        """Close every connection."""
        await self._line.client.aclose()

    def _judge_proxy(self, status: int, url: str) -> None:
        """Of a plain http call the proxy answers itself what it does not pass on. Other statuses may be the provider's.

        Raises:
            ProviderUnavailable: the proxy wants a password, or another one; the provider got nothing.
        """
        # RFC 9110 section 15.5.8: 407 "indicates that the client needs to authenticate itself in order to use a proxy"
        if status == PROXY_WANTS_PASSWORD and self._proxy is not None and url.startswith("http:"):
            raise ProviderUnavailable(
                "the proxy refused our credentials", provider=self._provider, reason=f"proxy_{status}"
            )

    def _note_uses(self, line: "_Line", url: str) -> None:
        """The provider has answered: what was shown on the way was taken."""
        if self._uses is None:
            return
        if line.certificate is not None and url.startswith("https:"):
            self._uses.note(self._provider, CLIENT_CERTIFICATE, line.certificate.digest)
        if line.proxy_credentials is not None:
            self._uses.note(self._provider, PROXY_CREDENTIALS, digest(line.proxy_credentials))

    # --- the connections, anew when the CA file or our credentials have changed ---

    async def _current_line(self) -> "_Line":
        """For a call that begins now. A file that cannot be used leaves the former authorities, or the former certificate, in use.

        Raises:
            SecretUnavailable: there never was a usable client certificate, or password for the proxy, where one is configured.
        """
        former = self._line
        if self._authorities.has_changed():
            try:
                self._line = self._new_line()
            except OSError as error:  # ssl.SSLError is one
                telemetry.file_unusable(str(self._ca_file), flaw_of(error))
        if self._has_other_credentials(self._line):
            self._line = self._line_with(self._line.context, self._line.certificate)
        await self._close_if_left(former)
        return self._line

    def _has_other_credentials(self, line: "_Line") -> bool:
        """Whether its connections show credentials that are not ours any more: they keep those that they began with, and a busy
        connection would show them for ever."""
        shows_another = line.certificate is not None and line.certificate.refresh()
        return shows_another or line.proxy_credentials != self._read_proxy_credentials()

    def _read_proxy_credentials(self) -> str | None:
        return None if self._proxy_credentials is None else self._proxy_credentials.read()

    def _leave_tunnels(self, line: "_Line") -> None:
        """A connection through a proxy has failed: make others from now on.

        The library never closes a tunnel in which TLS fails (httpcore's AsyncTunnelHTTPConnection), and the tunnel keeps its place in
        the pool: after `MAX_CONNECTIONS` of them every call would wait in vain. They are closed with the line, after its last call.
        """
        if self._proxy is not None and line is self._line:
            self._line = self._line_with(line.context, line.certificate)

    async def _close_if_left(self, line: "_Line") -> None:
        """Close connections that no call will use again."""
        if line is not self._line and not line.calls:
            await line.client.aclose()

    def _new_line(self) -> "_Line":
        """Raises: OSError: the CA file cannot be used."""
        context = client_context(ca_file=self._ca_file, shared=self._pair is None)
        certificate = None if self._pair is None else ClientCertificate(self._pair, context)
        return self._line_with(context, certificate)

    def _line_with(self, context: ssl.SSLContext, certificate: ClientCertificate | None) -> "_Line":
        credentials = self._read_proxy_credentials()
        client = httpx2.AsyncClient(
            transport=self._transport,
            proxy=None if self._proxy is None else httpx2.Proxy(self._proxy, auth=_user_and_password(credentials)),
            verify=context,
            follow_redirects=False,
            trust_env=False,
            timeout=httpx2.Timeout(None, connect=self._connect_seconds),  # `send` bounds the whole call
            limits=httpx2.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=16),
            cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=())),
            headers={"accept-encoding": "identity"},
        )
        return _Line(client, context, certificate, credentials)

    async def _bounded_body(self, response: httpx2.Response) -> bytes:
        if response.headers.get("content-encoding", "").strip().lower() not in {"", "identity"}:
            raise ProviderMisbehaved(
                "answered in a content coding that was not requested", provider=self._provider, reason="encoding"
            )
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > MAX_RESPONSE_BYTES:
                raise ProviderMisbehaved("answered with too large a body", provider=self._provider, reason="too_large")
        return bytes(body)


@dataclass(slots=True, eq=False)
class _Line:
    """Connections that trust the same authorities and show the same credentials, and how many calls are under way on them."""

    client: httpx2.AsyncClient
    context: ssl.SSLContext
    certificate: ClientCertificate | None
    proxy_credentials: str | None = field(repr=False)  # `user:password`
    calls: int = 0


def _user_and_password(credentials: str | None) -> tuple[str, str] | None:
    if credentials is None:
        return None
    user, _, password = credentials.partition(":")  # RFC 7617 section 2: a user name holds no colon
    return user, password
