"""The answers for `bff init`: from options, and asked for where there is none. Each is judged as `bff check` judges it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click

from bff.cli.init_files import Answers
from bff.cli.recipes.advice import ONE_FOR_ALL
from bff.cli.recipes.recipe import kinds, recipe
from bff.config.problems import suggestion
from bff.config.spelling import SpellingError
from bff.config.values import paths, stores, urls

T = TypeVar("T")
Parse = Callable[[str], T]

PUBLIC_URL = "http://localhost:8080"
API = "/api=http://localhost:3000"
APP = "http://localhost:5173"
STORE = "memory://"
_PORT = 8080


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """The options as they were typed; None: left out."""

    provider: str | None
    issuer: str | None
    client_id: str | None
    client_secret_file: str | None
    public_url: str | None
    apis: Sequence[str]
    app: str | None
    store: str | None
    directory: Path
    ask: bool  # False: `--yes`


def answers(given: Given) -> Answers:
    """All answers, from the options or from the terminal.

    Raises:
        click.UsageError: an option cannot be used, or the provider is not said and not to be asked for.
    """
    if given.provider is None and not given.ask:
        raise click.UsageError(f"--yes asks nothing, so --provider KIND is needed: {', '.join(kinds())}")
    kind = _answer(given, "--provider", given.provider, _kind, default="openid", question=_which())
    own_issuer = None if kind in ONE_FOR_ALL else recipe(kind).value("issuer")
    issuer = _optional(given, "--issuer", given.issuer, urls.issuer, example=own_issuer)
    client_id = _optional(
        given, "--client-id", given.client_id, _client_id, example=recipe(kind).value("client_id").strip('"')
    )
    secret = _optional(given, "--client-secret-file", given.client_secret_file, _secret_file, example=f"secrets/{kind}")
    public_url = _answer(given, "--public-url", given.public_url, urls.parse_origin, default=PUBLIC_URL)
    apis = tuple(_parsed("--api", text, _api) for text in given.apis)
    left_out = {"apis": not given.apis, "app": given.app is None}
    return Answers(
        folder=given.directory,
        kind=kind,
        issuer=issuer,
        client_id=client_id,
        client_secret_file=secret,
        public_url=public_url.text,
        port=public_url.port if public_url.scheme == "http" else _PORT,
        apis=apis or (_answer(given, "--api", None, _api, default=API, question="An API, PATH=URL"),),
        app=_answer(
            given, "--app", given.app, _app, default=APP, question="The app: a folder, or the URL of its server"
        ),
        store=_answer(given, "--store", given.store, _store, default=STORE, question="Session store"),
        assumed=frozenset(name for name, missing in left_out.items() if missing and not given.ask),
    )


def _answer(
    given: Given, option: str, text: str | None, parse: Parse[T], *, default: str, question: str | None = None
) -> T:
    """The option's value, else the answer to a question, else the default."""
    if text is not None:
        return _parsed(option, text, parse)
    if not given.ask:
        return parse(default)
    value: T = click.prompt(question or _question(option), default=default, value_proc=_proc(option, parse), err=True)
    return value


def _optional(given: Given, option: str, text: str | None, parse: Parse[T], *, example: str | None) -> T | None:
    """The same where the recipe has an example: an empty answer leaves it in the file, to be filled in later."""
    if text is not None:
        return _parsed(option, text, parse)
    if not given.ask or example is None:
        return None
    later = _proc(option, lambda typed: parse(typed) if typed else None)
    question = f"{_question(option)} (such as {example}; empty: later)"
    value: T | None = click.prompt(question, default="", show_default=False, value_proc=later, err=True)
    return value


def _question(option: str) -> str:
    return option.removeprefix("--").replace("-", " ").capitalize().replace("url", "URL").replace(" id", " ID")


def _which() -> str:
    return f"Kind of provider ({', '.join(kinds())})"


def _parsed(option: str, text: str, parse: Parse[T]) -> T:
    try:
        return parse(text)
    except SpellingError as error:
        raise click.BadParameter(str(error), param_hint=option) from error


def _proc(option: str, parse: Parse[T]) -> Parse[T]:
    """For a question: what cannot be used is said, and the question is put again."""
    return lambda text: _parsed(option, text, parse)


def _kind(text: str) -> str:
    if text not in kinds():
        raise SpellingError(f"is no kind of provider{suggestion(text, kinds())}; known are: {', '.join(kinds())}")
    return text


def _client_id(text: str) -> str:
    if not text or not text.isprintable():
        raise SpellingError("is empty, or holds characters that cannot be printed")
    if "${" in text:
        raise SpellingError("holds `${`, which begins a variable in the file")
    return text


def _secret_file(text: str) -> Path:
    path = Path(text).absolute()
    try:
        found = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no text"
        raise SpellingError(f"{text}: {reason}") from error
    if not found:
        raise SpellingError(f"{text}: is empty")
    return path


def _api(text: str) -> tuple[str, str]:
    path, found, url = text.partition("=")
    if not found:
        raise SpellingError("is no PATH=URL, such as /api=http://localhost:3000")
    return paths.parse_prefix(path).text, str(urls.parse_upstream(url))


def _app(text: str) -> Path | str:
    if text.startswith(("http://", "https://")):
        return str(urls.parse_upstream(text))
    path = Path(text).absolute()
    if not paths.is_folder(path):
        raise SpellingError("there is no such folder: build the app first, or name the URL of its server")
    paths.app_folder(path)
    return path


def _store(text: str) -> str:
    if "${" not in text:  # else it is judged when the variable is filled in
        stores.parse_store(text)
    return text
