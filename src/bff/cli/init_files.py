"""The text of the files that `bff init` writes. Pure: answers in, texts out."""

import os.path
import re
from dataclasses import dataclass
from pathlib import Path

from bff.cli.recipes.advice import examples, meaning
from bff.cli.recipes.recipe import Recipe, recipe

_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9._/-]*")
_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})  # no texts, to some YAML reader


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What the operator said; None: not said. Paths are absolute."""

    folder: Path  # where the files are to be
    kind: str
    issuer: str | None = None
    client_id: str | None = None
    client_secret_file: Path | None = None
    public_url: str
    port: int
    apis: tuple[tuple[str, str], ...]  # (path, upstream)
    app: Path | str  # a folder, or the URL of a server
    store: str
    assumed: frozenset[str] = frozenset()  # those of `apis` and `app` that are defaults which were not even shown

    @property
    def secret_file(self) -> str:
        """Where the client secret lies, as the file says it."""
        if self.client_secret_file is None:
            return f"secrets/{self.kind}"
        return self.written(self.client_secret_file)

    def written(self, path: Path) -> str:
        """The path as it stands in a file of this folder: relative if it lies below, else absolute."""
        below = os.path.relpath(path, self.folder)
        return str(path) if below.startswith("..") else below

    @property
    def provider(self) -> Recipe:
        """The recipe with the operator's values in it."""
        adapted = recipe(self.kind)
        if self.issuer is not None:
            adapted = adapted.with_issuer(self.issuer)
        if self.client_id is not None:
            adapted = adapted.with_value("client_id", quoted(self.client_id))
        return adapted.with_value("client_secret", f"{{file: {quoted(self.secret_file)}}}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A value that is still the recipe's example."""

    line: int
    key: str
    value: str


def quoted(text: str) -> str:
    """A YAML text: in quotes unless it is plain. A single quote is doubled inside of them (YAML 1.2 section 7.3.2)."""
    plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    return text if plain else "'" + text.replace("'", "''") + "'"


def configuration(answers: Answers) -> str:
    """`bff.yaml`, with a comment for each line."""
    management = 9090 if answers.port != 9090 else 9091
    return f"""\
# The gateway in front of one app, made by `bff init`. Relative paths start at the folder of this file.
#   bff check --online    judges it, and asks the provider, the store and the upstreams
#   bff serve             runs it

# The origin that browsers use, exactly as their address bar shows it. Redirect URIs are made from it.
public_url: {answers.public_url}

# Loopback: reached from this machine only, such as by a proxy that ends TLS. In a container: 0.0.0.0:{answers.port}
listen: 127.0.0.1:{answers.port}

# /livez /readyz /metrics /version, on a port that is never public; or `off`
management: 127.0.0.1:{management}

# The addresses of a proxy in front, whose X-Forwarded-* are then believed:
# trusted_proxies: [10.0.0.0/8]

session:
  # memory:// is for one process, and its sessions end with it; for more: redis://HOST:6379/0
  store: {quoted(answers.store)}
  # Seal sessions and cookies; the newest first.
  keys: [{{file: secrets/session-key}}]

providers:
  # {answers.provider.title}. The name below is part of the redirect URI.
  {answers.kind}:
{_provider(answers.provider)}
# The longest path wins. A path without a route is answered with 404.
routes:
{_routes(answers)}"""


def examples_left(answers: Answers) -> tuple[Example, ...]:
    """What the operator still has to write, in the order of the file."""
    original, said = recipe(answers.kind), {"issuer": answers.issuer, "client_id": answers.client_id}
    lines = configuration(answers).splitlines()
    own = [line for line in answers.provider.lines if line.key in examples(answers.kind) and said.get(line.key) is None]
    left = [
        (f"providers.{answers.kind}.{line.key}", line.key, line.value)
        for line in own
        if line.value == original.value(line.key)
    ]
    if "apis" in answers.assumed:
        left += [(f"routes[{at}].upstream", "upstream", url) for at, (_, url) in enumerate(answers.apis)]
    if "app" in answers.assumed:
        left.append((f"routes[{len(answers.apis)}].upstream", "upstream", str(answers.app)))
    return tuple(
        Example(line=lines.index(f"    {word}: {value}") + 1, key=key, value=value) for key, word, value in left
    )


def _provider(adapted: Recipe) -> str:
    """Each line below the comment that says what it is for."""
    text = ""
    for line in adapted.lines:
        comment = meaning(adapted.kind, line.key)
        more = f" Here: {line.comment}." if line.comment and line.key == "client_secret" else ""
        text += f"    # {comment}{more}\n    {line.key}: {line.value}\n"
    return text


def _routes(answers: Answers) -> str:
    text = ""
    for path, upstream in answers.apis:
        text += (
            "  # An API: it receives the access token of the signed-in user.\n"
            f"  - path: {quoted(path)}\n"
            f"    upstream: {upstream}\n"
        )
    if isinstance(answers.app, Path):
        folder = quoted(answers.written(answers.app))
        return f"{text}  # The app: a folder with an index.html.\n  - path: /\n    files: {folder}\n"
    return (
        f"{text}"
        "  # The app: a server of its own, which receives no token. WebSocket, for reloading while it is developed.\n"
        f"  - path: /\n    upstream: {answers.app}\n    token: none\n    websocket: true\n"
    )
