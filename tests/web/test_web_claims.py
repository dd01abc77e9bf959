"""Claims of a user as texts."""

import pytest

from bff.web.claims import as_in_json, claim, text_of

CLAIMS = {
    "email": "alice@example.com",
    "https://example.com/roles": ["admin"],
    "realm_access": {"roles": ["reader"], "deep": {"er": 1}},
    "a.b": "by its name",
    "a": {"b": "by its path"},
    "https://example.com/app": {"roles": ["owner"], "v1.2": {"roles": ["tester"]}},
    "resource_access": {"orders.example.com": {"roles": ["clerk"]}, "orders": {"example": "another"}},
    "nothing": None,
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("email", "alice@example.com"),
        ("https://example.com/roles", ["admin"]),
        ("realm_access.roles", ["reader"]),
        ("realm_access.deep.er", 1),
        ("a.b", "by its name"),
        ("https://example.com/app.roles", ["owner"]),
        ("https://example.com/app.v1.2.roles", ["tester"]),
        ("resource_access.orders.example.com.roles", ["clerk"]),
        ("resource_access.orders.example", "another"),
        ("resource_access.orders.example.net", None),
        (".a", None),
        ("a.", None),
        ("a..b", None),
        ("", None),
        ("email.domain", None),
        ("realm_access.other", None),
        ("other", None),
        ("nothing", None),
        ("nothing.more", None),
    ],
)
def test_claim_is_found_by_name_and_then_by_path(name: str, value: object) -> None:
    """A claim's whole name comes first, then the path that its dots make through objects, whose names may hold dots; else None."""
    assert claim(CLAIMS, name) == value


@pytest.mark.parametrize(
    ("written", "text"),
    [
        *[(word, "true") for word in ("true", "True", "TRUE")],
        *[(word, "false") for word in ("false", "False", "FALSE")],
        *[("7.0", "7"), ("-3.00", "-3"), ("1.50", "1.5"), ("0.0", "0")],
        *[
            (text, text)
            for text in ("7", "tRUE", "yes", "007.0", "1.2.3", "1e3", ".5", "+1.0", "9" * 16 + ".0", "", " 7.0")
        ],
    ],
)
def test_what_an_operator_writes_is_read_as_json_would_spell_it(written: str, text: str) -> None:
    """One value has several spellings in YAML; what is none of a boolean or number stays as it is."""
    assert as_in_json(written) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("true", "true"),
        (True, "true"),
        (False, "false"),
        (7, "7"),
        ("", ""),
        (None, None),
        (1.5, "1.5"),
        (7.0, "7"),
        (-0.25, "-0.25"),
        (["a"], None),
        ({}, None),
    ],
)
def test_scalar_has_a_text(value: object, text: str | None) -> None:
    """Texts, booleans and numbers have one text each; a boolean is the same as its text, 7.0 the same as 7."""
    assert text_of(value) == text
