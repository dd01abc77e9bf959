"""Sign in as a browser would: follow every redirect, keep cookies per origin, click on alice at the demo provider.

Cookies marked Secure are kept and sent on loopback over plain http, as Chromium and Firefox do; Python's own cookie jar
would drop them, and Envoy's and bff's are all Secure.
"""

import re
from urllib.parse import urljoin, urlsplit

import httpx2

MAX_STEPS = 20
TICKET = re.compile(r'name="ticket" value="([^"]+)"')

Jar = dict[str, dict[str, str]]


class SignInFailedError(RuntimeError):
    """The walk ended somewhere else; the text says where."""


def sign_in(start_url: str) -> str:
    """Walk from a URL of the proxy through the provider and back; the value of the `Cookie` field for the proxy.

    Raises:
        SignInFailedError: a step was answered with an error, or the walk never came home.
    """
    home = origin_of(start_url)
    jar: Jar = {}
    with httpx2.Client(follow_redirects=False, timeout=15.0, trust_env=False) as client:
        url, form = start_url, None
        for _ in range(MAX_STEPS):
            response = _send(client, url, form, jar)
            if response.is_redirect:
                url, form = urljoin(url, response.headers["location"]), None
                continue
            ticket = TICKET.search(response.text)
            if ticket is None:
                return _came_home(response, home, jar)
            url, form = urljoin(url, "/sign_in"), {"ticket": ticket[1], "user": "alice"}
    raise SignInFailedError(f"no end after {MAX_STEPS} steps, last at {url}")


def origin_of(url: str) -> str:
    """Scheme, host and port."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _send(client: httpx2.Client, url: str, form: dict[str, str] | None, jar: Jar) -> httpx2.Response:
    cookies = jar.setdefault(origin_of(url), {})
    client.cookies.clear()
    headers = {"Accept": "text/html", "User-Agent": "bench", **({"Cookie": cookie_field(cookies)} if cookies else {})}
    response = client.request("POST" if form else "GET", url, data=form, headers=headers)
    for line in response.headers.get_list("set-cookie"):
        keep(cookies, line)
    return response


def keep(cookies: dict[str, str], line: str) -> None:
    """Apply one Set-Cookie line; an expiry in the past or an age of 0 removes the cookie."""
    name, _, value = line.split(";", 1)[0].strip().partition("=")
    attributes = line.lower()
    gone = re.search(r";\s*max-age=(0|-\d+)\s*(;|$)", attributes) or "expires=thu, 01 jan 1970" in attributes
    if gone:
        cookies.pop(name, None)
        return
    cookies[name] = value


def cookie_field(cookies: dict[str, str]) -> str:
    """The cookies as a browser sends them, in one line."""
    return "; ".join(f"{name}={value}" for name, value in cookies.items())


def _came_home(response: httpx2.Response, home: str, jar: Jar) -> str:
    if origin_of(str(response.url)) != home or response.status_code >= 500 or not jar.get(home):
        raise SignInFailedError(f"{response.status_code} at {response.url}: {response.text[:500]}")
    return cookie_field(jar[home])
