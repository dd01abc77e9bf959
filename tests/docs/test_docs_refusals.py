"""`docs/how-to/refusals.md` has a row for every reason that the log may give for a refused sign-in or refresh."""

import ast

import pytest

from bff.oauth import refresh_refusal
from bff.oauth.error_response import LATER
from support.documented import ROOT, codes, page, rows

ROOMS = ["oauth", "provider", "tokens", "web/login.py"]


def reasons() -> set[str]:
    """Every `reason="..."` in the code that signs people in and keeps their tokens."""
    files = [file for room in ROOMS for file in _files(room)]
    words = [node.value for file in files for node in ast.walk(ast.parse(file.read_text())) if _is_reason(node)]
    return {word.value for word in words if isinstance(word, ast.Constant) and isinstance(word.value, str)}


def claims() -> set[str]:
    """Every claim that a token must have, or have as a string or an instant: its name is the reason if it is not so."""
    calls = (node for file in _files("oauth") for node in ast.walk(ast.parse(file.read_text())))
    named = (node.args[0] for node in calls if isinstance(node, ast.Call) and _reads_claim(node))
    return {name.value for name in named if isinstance(name, ast.Constant)} - {"session_expiry"}  # refuses nothing


def _reads_claim(call: ast.Call) -> bool:
    names = {"text", "required_text", "instant", "required_instant"}
    return isinstance(call.func, ast.Attribute) and call.func.attr in names and bool(call.args)


def _files(room: str) -> list:
    place = ROOT / "src" / "bff" / room
    return [place] if place.suffix else sorted(place.rglob("*.py"))


def _is_reason(node: ast.AST) -> bool:
    return isinstance(node, ast.keyword) and node.arg == "reason"


@pytest.mark.requirement("R-336")
def test_every_reason_has_a_row() -> None:
    """Reasons of ours, and the error codes that we tell apart."""
    documented = {code for row in rows(page("how-to/refusals.md")) for code in codes(row[0])}
    known = refresh_refusal._USERS | refresh_refusal._OPERATORS | LATER
    assert {"jti", "sub", "exp"} <= claims()
    assert reasons() | known | claims() <= documented
