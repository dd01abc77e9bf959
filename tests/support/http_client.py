"""HTTP clients for loopback, of which each is made in no time: httpx2's own reads the system's authorities, which takes 20 ms.

They trust no authority, so they speak plain HTTP only. Of the environment they read nothing, and they keep no cookie unless asked to.
"""

import ssl
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx2


def http_client(*, keeps_cookies: bool = False, **options: Any) -> httpx2.AsyncClient:
    """A client; `options` as for `httpx2.AsyncClient`, of which `verify` may trust a test's authority."""
    return httpx2.AsyncClient(
        **{"verify": _trusting_none(), **options}, trust_env=False, cookies=None if keeps_cookies else _keeping_none()
    )


def http_get(url: str, **options: Any) -> httpx2.Response:
    """One GET on a connection of its own; `options` as for `httpx2.get`."""
    return httpx2.get(url, trust_env=False, verify=_trusting_none(), **options)


def _trusting_none() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _keeping_none() -> CookieJar:
    return CookieJar(policy=DefaultCookiePolicy(allowed_domains=()))
