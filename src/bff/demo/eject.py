"""The demo written down: its configuration, page, API and provider, for the user to edit.

The running demo is made of these very files: it ejects `bff.yaml`, the page and fresh secrets into a folder of its own
and loads them from there. So what `--eject` writes is what was seen to work.

    DIR/bff.yaml        the gateway's configuration
    DIR/page/           the single-page app
    DIR/api.py          the sample API            python api.py
    DIR/provider.py     the demo provider         python provider.py
    DIR/secrets/        a session key and the client secret, made here, readable by the owner only, ignored by git
    DIR/README.md       how to start it
"""

import os
import secrets
from importlib.resources import files
from pathlib import Path

from bff.demo.configuration import CLIENT_ID, PROVIDER_NAME, THE_DEMO, Addresses, Behind, configuration_text
from bff.demo.grants import Client

PAGE_FILES = ("index.html", "app.js", "style.css")


def demo_client(addresses: Addresses, *, secret: str) -> Client:
    """The gateway as it is registered at the demo provider."""
    return Client(
        client_id=CLIENT_ID,
        secret=secret,
        redirect_uris=(f"{addresses.gateway}/bff/callback/{PROVIDER_NAME}",),
        post_logout_redirect_uris=(f"{addresses.gateway}/",),
        scopes=("openid", "profile", "email", "offline_access", "rates:read"),
        backchannel_logout_uri=f"{addresses.gateway}/bff/backchannel-logout/{PROVIDER_NAME}",
        name="The demo app",
    )


def eject(directory: Path) -> list[Path]:
    """Write the whole demo into `directory`, which may exist but not hold any of its files; returns what was written.

    Raises:
        FileExistsError: something is there already; nothing was written.
        OSError: it cannot be written.
    """
    addresses = Addresses()
    texts = {
        **gateway_files(addresses, store="memory://"),
        "api.py": _api_text(addresses),
        "provider.py": _provider_text(addresses),
        "README.md": _readme_text(addresses),
        "secrets/.gitignore": "*\n",
    }
    for name in texts:
        if (directory / name).exists():
            raise FileExistsError(f"{directory / name} is there already; nothing was written")
    return write_files(directory, texts)


def gateway_files(addresses: Addresses, *, store: str, behind: Behind = THE_DEMO) -> dict[str, str]:
    """What the gateway itself needs, by relative path: configuration, page, new secrets."""
    page = files("bff.demo").joinpath("page")
    names = PAGE_FILES if behind.app is None else ()
    return {
        "bff.yaml": configuration_text(addresses, store=store, behind=behind),
        **{f"page/{name}": page.joinpath(name).read_text(encoding="utf-8") for name in names},
        "secrets/session-key": secrets.token_urlsafe(48) + "\n",
        "secrets/client-secret": secrets.token_urlsafe(32) + "\n",
    }


def write_files(directory: Path, texts: dict[str, str]) -> list[Path]:
    """Write each text below `directory`; secrets are readable by their owner only, from the first byte."""
    written = []
    for name, text in texts.items():
        path = directory / name
        secret = name.startswith("secrets/")
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700 if secret else 0o777)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if secret else 0o666)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        written.append(path)
    return written


def _api_text(addresses: Addresses) -> str:
    source = files("bff.demo").joinpath("api.py").read_text(encoding="utf-8")
    return f"""{source}

if __name__ == "__main__":
    import uvicorn  # an API of your own stands alone: it knows nothing of bff

    sample = SampleApi(issuer="{addresses.provider}", audience="{addresses.api}")
    uvicorn.run(sample.app, host="127.0.0.1", port={addresses.api_port}, proxy_headers=False)
"""


def _provider_text(addresses: Addresses) -> str:
    client = demo_client(addresses, secret="")
    return f'''\
"""The demo provider with one client. It signs people in at a click, so it answers loopback only and must stay there."""

from pathlib import Path

from bff.demo.grants import Client
from bff.demo.provider import DemoProvider

client = Client(
    client_id="{client.client_id}",
    secret=(Path(__file__).parent / "secrets" / "client-secret").read_text(encoding="utf-8").strip(),
    redirect_uris={client.redirect_uris!r},
    post_logout_redirect_uris={client.post_logout_redirect_uris!r},
    scopes={client.scopes!r},
    backchannel_logout_uri="{client.backchannel_logout_uri}",
    name="{client.name}",
)
provider = DemoProvider(issuer="{addresses.provider}", clients=[client], access_token_lifetime_seconds=60)

if __name__ == "__main__":
    from bff.config.model import Address
    from bff.server.process import run

    run(provider.app, Address(host="127.0.0.1", port={addresses.provider_port}))
'''


def _readme_text(addresses: Addresses) -> str:
    return f"""\
# The demo, to take apart

Three processes, each in a terminal of its own, in this folder, by the Python that `bff` is installed in
(such as `../.venv/bin/python` and `../.venv/bin/bff`):

    python provider.py          # signs in alice and bob     {addresses.provider}
    python api.py               # verifies its tokens        {addresses.api}
    bff serve -c bff.yaml       # the gateway                {addresses.gateway}

Then open {addresses.gateway} and sign in.

- `bff.yaml` is the gateway's whole configuration. After a change: `bff check -c bff.yaml`, then start
  `bff serve` again.
- `page/` is the single-page app. Reload the page to see a change.
- `api.py` is the API behind the routes `/api` and `/rates`.
- `secrets/` was made for this folder, and its `.gitignore` keeps it out of a repository.

To use a provider of your own: register the redirect URI `{addresses.gateway}/bff/callback/{PROVIDER_NAME}`
there, put its issuer, client_id and client secret into `bff.yaml`, and the issuer into the last lines of `api.py`.
`resource` is what the demo provider calls the API: write what yours calls it (the audience in `api.py`), or leave it out.
"""
