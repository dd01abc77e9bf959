"""The new file as text: a head that says what to do, the sections, and every setting that has no twin."""

from dataclasses import dataclass

from bff.cli.oauth2_proxy import provider, routes, server
from bff.cli.oauth2_proxy.section import Section
from bff.cli.oauth2_proxy.settings import Settings
from bff.cli.oauth2_proxy.twins import NONE, TWINS


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The file, and what is said beside it: `files` are to be made, `remarks` to be looked at."""

    text: str
    files: dict[str, str]
    remarks: tuple[str, ...]


def written(settings: Settings) -> Written:
    """The whole configuration."""
    name, notes = provider.name_of(settings), Section()
    top, session, own = server.top(settings), server.session(settings), provider.section(settings)
    listed = routes.routes(settings, notes)
    files = {**session.files, **own.files}
    remarks = (*top.remarks, *session.remarks, *own.remarks, *notes.remarks, *settings.remarks)
    public_url = next(value for key, value, _ in top.lines if key == "public_url")
    text = _head(f"{public_url}/bff/callback/{name}", files=files, remarks=remarks)
    text += f"\n{top.text('')}\nsession:\n{session.text('  ')}\nproviders:\n  {name}:\n{own.text('    ')}\nroutes:\n"
    for route in listed:
        text += _item(route.keys)
    return Written(text=text + _without_twin(settings), files=files, remarks=remarks)


def _item(keys: Section) -> str:
    """A list's item: its first key stands behind the hyphen, and has no remark."""
    return "  - " + keys.text("    ").lstrip()


def _head(redirect_uri: str, *, files: dict[str, str], remarks: tuple[str, ...]) -> str:
    lines = [
        "Made by `bff import oauth2-proxy`. Judge it with `bff check`, with --online against provider and upstreams.",
        f"Register this redirect URI at the provider: {redirect_uri}",
        *(f"Make the file {file} (mode 0600): {what}" for file, what in files.items()),
        *(f"Look at: {remark}" for remark in remarks),
    ]
    return "".join(f"# {' '.join(line.split())}\n" for line in lines)


def _without_twin(settings: Settings) -> str:
    """Names only: a value may be a secret."""
    names = sorted(name for name in settings.values if name not in TWINS and settings.has(name))
    if not names:
        return ""
    lines = [f"#   {_shown(name)}: {NONE.get(name, 'not a setting that is known here')}\n" for name in names]
    return "\n# Settings without a twin:\n" + "".join(lines)


def _shown(name: str) -> str:
    return name[:60] if name.isprintable() else "?"
