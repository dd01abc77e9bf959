"""`bff init`: a first configuration, its session key, and what is to be registered at the provider.

All is judged before a byte is written, and a file that is there is never touched.
"""

import dataclasses
import os.path
import secrets
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from bff.cli.init_files import Answers, configuration, examples_left
from bff.cli.recipes.advice import SETTINGS
from bff.config.load import load
from bff.demo.eject import write_files
from bff.errors import ConfigError

NOT_WRITTEN = 1
_PLACEHOLDER = "replace this text with the client secret that the provider gives you\n"


def init(answers: Answers) -> int:
    """Write the files; the exit status."""
    folder, texts = answers.folder, _texts(answers)
    taken = [name for name in texts if os.path.lexists(folder / name)]
    if taken:
        return _refuse(f"{folder / taken[0]} is there already; nothing was written (another folder: --dir)")
    problems = _problems(answers)
    if problems:
        return _refuse("the gateway would not start with these answers; nothing was written", *problems)
    try:
        written = write_files(folder, texts)
    except OSError as error:
        return _refuse(f"{error.filename}: {error.strerror}")
    for line in (*_report(written), "", *_registration(answers), "", *_next_steps(answers)):
        click.echo(line)
    return 0


def _texts(answers: Answers) -> dict[str, str]:
    texts = {
        "bff.yaml": configuration(answers),
        "secrets/session-key": secrets.token_urlsafe(48) + "\n",
        ".gitignore": "/secrets/\n",
    }
    if answers.client_secret_file is None:
        texts[answers.secret_file] = _PLACEHOLDER
    return texts


def _problems(answers: Answers) -> Sequence[str]:
    """What `bff check` would say of these files, seen in a folder of their own that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="bff-init-") as name:
        folder = Path(name)
        write_files(folder, _texts(dataclasses.replace(answers, folder=folder)))
        try:
            load(folder / "bff.yaml")
        except ConfigError as error:
            return [f"{problem.key}: {problem.message}" for problem in error.problems]
    return []


def _refuse(*lines: str) -> int:
    for line in lines:
        click.echo(f"error: {line}", err=True)
    return NOT_WRITTEN


def _report(written: Sequence[Path]) -> list[str]:
    mode = "   readable for its owner alone"
    return [f"written  {file}{mode if file.parent.name == 'secrets' else ''}" for file in written]


def _registration(answers: Answers) -> list[str]:
    own = f"{answers.public_url}/bff"
    return [
        f"Register at {answers.provider.title}:",
        '  kind of client             confidential ("web application"): authorization code, PKCE S256, a client secret',
        f"  redirect URI               {own}/callback/{answers.kind}",
        f"  post-logout redirect URI   {answers.public_url}/",
        f"  back-channel logout URL    {own}/backchannel-logout/{answers.kind}   (where there is a field for it)",
        f"  jwks URI                   {own}/jwks/{answers.kind}   (only if `client_keys` take the secret's place)",
        *(f"  also                       {setting}" for setting in SETTINGS.get(answers.kind, ())),
    ]


def _next_steps(answers: Answers) -> list[str]:
    file = answers.folder / "bff.yaml"
    left = [
        f"  {file}:{example.line}: {example.key}: {example.value} is an example" for example in examples_left(answers)
    ]
    if answers.client_secret_file is None:
        left.append(f"  {answers.folder / answers.secret_file}: holds a placeholder for the client secret")
    steps = ["Still to fill in:", *left, ""] if left else []
    return [*steps, "Then:", f"  bff check -c {file} --online", f"  bff serve -c {file}"]
