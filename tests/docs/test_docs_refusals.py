"""`docs/how-to/refusals.md` has a row for every reason that the log may give for a refused sign-in or refresh."""

import ast

import pytest

from bff.oauth import refresh_refusal
from bff.oauth.error_response import LATER
from support.documented import ROOT, codes, page, rows

# Error codes that a provider may send the browser back with, or answer our calls with: the IANA registry "OAuth Extensions Error".
REGISTERED = {
    *("invalid_request", "unauthorized_client", "access_denied", "unsupported_response_type", "invalid_scope"),
    *("server_error", "temporarily_unavailable", "invalid_client", "invalid_grant", "unsupported_grant_type"),
    *("interaction_required", "login_required", "account_selection_required", "consent_required"),
    *("invalid_request_uri", "invalid_request_object", "request_not_supported", "request_uri_not_supported"),
    *("registration_not_supported", "unmet_authentication_requirements", "invalid_token", "insufficient_scope"),
    *("invalid_target", "invalid_dpop_proof", "use_dpop_nonce", "insufficient_user_authentication"),
    *("invalid_authorization_details", "slow_down"),
}
SIGN_IN = ("login", "callback", "form_post", "transactions", "backchannel_logout")
PLACES = ["oauth", "provider", "tokens", *(f"web/{name}.py" for name in SIGN_IN)]


def reasons() -> set[str]:
    """Every `reason="..."` in the code that signs people in and keeps their tokens."""
    files = [file for place in PLACES for file in _files(place)]
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


def _files(place: str) -> list:
    path = ROOT / "src" / "bff" / place
    return [path] if path.suffix else sorted(path.rglob("*.py"))


def _is_reason(node: ast.AST) -> bool:
    return isinstance(node, ast.keyword) and node.arg == "reason"


@pytest.mark.requirement("R-336")
def test_every_reason_has_a_row() -> None:
    """Reasons of ours, and the error codes that we tell apart."""
    documented = {code for row in rows(page("how-to/refusals.md")) for code in codes(row[0])}
    known = REGISTERED | refresh_refusal._USERS | refresh_refusal._OPERATORS | LATER
    assert {"jti", "sub", "exp"} <= claims()
    assert reasons() | known | claims() <= documented
