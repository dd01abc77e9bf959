"""YAML with marks: what is taken, what is refused, and that nothing in it can hurt."""

from pathlib import Path

import pytest

from bff.config.problems import Findings
from bff.config.yaml_tree import MAX_NODES, MappingNode, ScalarNode, SequenceNode, read_tree
from support.config_texts import TWELVE_LINES, changed, loaded, problem, problems


def test_tree() -> None:
    """Mappings, lists and texts come out as written, whatever the texts look like."""
    tree = read_tree(b"a: [1, 'two', no]\nb: {c: ~}\n", Findings())
    assert tree == MappingNode(
        entries={
            "a": SequenceNode(
                items=(
                    ScalarNode(text="1", null=False),
                    ScalarNode(text="two", null=False),
                    ScalarNode(text="no", null=False),
                )
            ),
            "b": MappingNode(entries={"c": ScalarNode(text="~", null=True)}),
        }
    )


@pytest.mark.parametrize("written", ["'~'", '"null"', "'null'", "nil", "None"])
def test_texts_that_only_look_like_nothing(written: str) -> None:
    """In quotes, the words for nothing are texts; so are the words of other languages."""
    tree = read_tree(written.encode(), Findings())
    assert isinstance(tree, ScalarNode)
    assert not tree.null


@pytest.mark.requirement("R-277")
def test_duplicate_key() -> None:
    """Of two equal keys none wins: the second is an error that names the line of the first."""
    found = problem(changed("  corp:\n", "  corp:\n    issuer: https://evil.example\n"))
    assert (found.line, found.column, found.key) == (8, 5, "providers.corp.issuer")
    assert found.message == "is given twice; the first is on line 7"


@pytest.mark.parametrize("block", ["public_url: https://a.example.com", "providers: {}", "routes: []"])
def test_duplicate_section(block: str) -> None:
    """The same for whole sections, empty or not."""
    found = problem(f"{TWELVE_LINES}{block}\n")
    assert found.line == 13
    assert found.message.startswith("is given twice")


def test_anchors_and_aliases(tmp_path: Path) -> None:
    """A value may be named once and used again."""
    text = changed("upstream: http://api:8000\n", "upstream: http://api:8000\n    timeouts: &slow {first_byte: 5m}\n")
    config = loaded(f"{text}  - path: /slow\n    upstream: http://api:8000\n    timeouts: *slow\n", tmp_path)
    assert [route.timeouts.first_byte for route in config.routes] == [300.0, 300.0]


def test_problem_in_an_alias() -> None:
    """What is wrong in an aliased value is told where it was written."""
    text = changed("upstream: http://api:8000\n", "upstream: http://api:8000\n    timeouts: &slow {first_byte: 5}\n")
    found = problems(f"{text}  - path: /slow\n    upstream: http://api:8000\n    timeouts: *slow\n")
    assert [(p.line, p.key) for p in found] == [
        (13, "routes[0].timeouts.first_byte"),
        (13, "routes[1].timeouts.first_byte"),
    ]


def test_billion_laughs() -> None:
    """Aliases that expand without measure are refused after a bounded amount of work."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    assert problem("\n".join(lines)).message == f"has more than {MAX_NODES} values once its aliases are expanded"


@pytest.mark.parametrize("text", ["- a\n" * 200_000, "[" + "a," * 400_000, "a: {" + "b: c, " * 100_000])
def test_many_values(text: str) -> None:
    """A file with very many values is given up early."""
    assert problem(text).message == f"has more than {MAX_NODES} values"


@pytest.mark.parametrize("text", ["&a [*a]", "a: &a {b: *a}", "&a {? *a : b}"])
def test_alias_inside_its_own_anchor(text: str) -> None:
    """A value that contains itself is refused."""
    assert "nested too deeply" in problems(text)[0].message or "plain text" in problems(text)[0].message


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 10_000, "- " * 10_000, "? " * 10_000, "[" * 40 + "]" * 40])
def test_deep_nesting(text: str) -> None:
    """Depth is bounded before it meets the interpreter's own limit."""
    assert problem(text).message == "is nested too deeply"


@pytest.mark.parametrize(
    "tagged", ["!!str shop", "!secret shop", "!!python/object/apply:os.system [id]", "! shop", "!<tag:x,2026:y> shop"]
)
def test_tags(tagged: str) -> None:
    """A tag is refused at its place; nothing is ever constructed."""
    found = problems(changed("client_id: shop", f"client_id: {tagged}"))
    told = {(p.line, p.column): p.message for p in found}
    assert told[8, 16] == "tags (`!...`) are not supported: write the plain value"


def test_merge_key() -> None:
    """Merge keys are YAML 1.1; they are refused with a word for what to do."""
    found = problem(changed("    client_id", "    <<: {scope: openid}\n    client_id"))
    assert found.line == 8
    assert "alias the whole value" in found.message


@pytest.mark.parametrize("key", ["? [a]\n: b\n", "{a: b}: c\n", "? &x {y: z}\n: *x\n"])
def test_keys_that_are_no_texts(key: str) -> None:
    """A list or section as a key is refused."""
    assert problem(f"{TWELVE_LINES}{key}").message == "has a key that is no plain text"


@pytest.mark.parametrize(
    ("source", "line", "column"),
    [
        (b"", 1, 1),
        (b"# nothing\n", 1, 1),
        (b"a: b\n--- \nc: d\n", 2, 1),
        (b"a: b\n\xff\xfe", 2, 1),
        (b"a: b\nc: \xc3(", 2, 4),
        (b"a: b\nc: \x00", 2, 4),
        (b"a: b\n\tc: d", 2, 1),
        (b"a: [b\nc: d", 2, 2),
        (b"a: *nowhere", 1, 4),
        (b"a: &x b\nc: &x d", 2, 4),
        (b"a: !x!y z", 1, 4),
        (b'a: "\\UFFFFFFFF"', 1, 7),
        (b"%YAML " + b"9" * 5000 + b".1\n---\na", 1, 7),
        (b"a: b\n" + b"#" * 2_000_000, 1, 1),
    ],
)
def test_no_yaml(source: bytes, line: int, column: int) -> None:
    """What is no YAML, or not one document, is one problem with its place."""
    found = problem(source)
    assert (found.line, found.column) == (line, column)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a: *nowhere", "is not YAML: an alias"),
        ("a: &x b\nc: &x d", "is not YAML: an anchor"),
        ("a: !x!y z", "is not YAML: a tag"),
        ("a: [b", "is not YAML: expected ',' or ']'"),
        ("a: x: y", "is not YAML: mapping values are not allowed here; put a value that holds `: ` in quotes"),
        ("a: b\n  c: d", "is not YAML: mapping values are not allowed here; put a value that holds `: ` in quotes, or"),
        ("a: @b", "is not YAML: found character '@' that cannot start any token; put the value in quotes"),
        ("a:\n\tb: c", "is not YAML: found character '\\t' that cannot start any token; write spaces instead of tabs"),
        ("a:\n  b: c\n d: e", "is not YAML: expected <block end>, but found '<block mapping start>'; begin the keys"),
        ("a: b\n---\na: b", "is not YAML: found another document; keep one"),
    ],
)
def test_syntax_errors_say_what_they_are(text: str, what: str) -> None:
    """A syntax error is named, and where people make it often, so is what to do about it."""
    assert problem(text).message.startswith(what)


@pytest.mark.parametrize(
    ("text", "line", "column", "hint"),
    [
        ("a: b\nc: 'd\ne: f\n", 2, 4, "close the quote that begins here"),
        ('a: b\nc: [d, "e\nf: g\n', 2, 8, "close the quote that begins here"),
        ("a: b\nc d\ne: f\n", 2, 1, "write `key: value`"),
        ("a: b\nc: {d: e\nf: g\n", 3, 2, "close the bracket of line 2"),
        ("a: b\nc: {d: ${E}}\n", 2, 9, "in quotes"),
    ],
)
def test_syntax_errors_lead_to_the_mistake(text: str, line: int, column: int, hint: str) -> None:
    """Where the parser notices a mistake only at the end of the file, or lines later, the beginning is named."""
    found = problem(text)
    assert (found.line, found.column) == (line, column)
    assert hint in found.message


@pytest.mark.parametrize("text", ["hello", "- a\n- b\n", "~"])
def test_file_without_keys(text: str) -> None:
    """A file that holds no keys is one problem."""
    assert problem(text).message == "the file is not a section: write its keys, as `key: value`"


def test_byte_order_mark(tmp_path: Path) -> None:
    """A byte order mark, which editors add, is no content."""
    assert loaded(f"\ufeff{TWELVE_LINES}", tmp_path).public_url.text == "https://app.example.com"


@pytest.mark.requirement("R-172")
@pytest.mark.parametrize(
    "written", ["*hunter2secret", "&hunter2secret x}", "!hunter2!secret x", "'hunter2secret", "@hunter2secret"]
)
def test_syntax_errors_do_not_quote_the_file(written: str) -> None:
    """A secret that happens to be a syntax error in YAML does not turn up in the problem."""
    text = changed("{env: CORP_SECRET}", written)
    assert problems(text)
    assert not any("hunter2" in p.message or "hunter2" in p.key for p in problems(text))


def test_keys_are_shown_escaped_and_cut() -> None:
    """A key from the file reaches a terminal as printable ASCII of bounded length."""
    key = problem(f'{TWELVE_LINES}"\\e[31m{"x" * 500}": 1\n').key
    assert key.startswith('"\\u001b[31mxxx')
    assert len(key) < 80


@pytest.mark.requirement("R-172")
@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("{client_secret:hunter2secret, client_id: shop}", 'providers.corp."client_secret:..."'),
        ("{client_secret=hunter2secret, client_id: shop}", 'providers.corp."client_secret=..."'),
        ("{client_secret hunter2secret, client_id: shop}", 'providers.corp."client_secret ..."'),
        ("{'client_secret: hunter2secret', client_id: shop}", 'providers.corp."client_secret:..."'),
        ("{https://example.com/roles: 1, client_id: shop}", 'providers.corp."https://example.com/roles"'),
    ],
)
def test_a_value_that_became_part_of_its_key_is_not_repeated(written: str, shown: str) -> None:
    """In braces `client_secret:VALUE` is one key, because YAML wants a space behind the colon; up to there it is shown."""
    found = problems(f"providers: {{corp: {written}}}\n")
    assert shown in [p.key for p in found]
    assert not any("hunter2" in p.message or "hunter2" in p.key for p in found)


@pytest.mark.requirement("R-172")
def test_a_field_and_its_value_in_one_are_not_repeated() -> None:
    """Names of fields are the operator's own, and their values may be credentials."""
    found = problems(changed("upstream:", "request_headers: {set: {X-Api-Key:hunter2secret}}\n    upstream:"))
    assert {p.key for p in found} == {'routes[0].request_headers.set."X-Api-Key:..."'}


def test_a_key_without_a_space_behind_its_colon_is_told() -> None:
    """The advice is the space, and the key that was meant is not called missing."""
    said = problem(
        changed("  - path: /api\n    upstream: http://api:8000", "  - {path:/api, upstream: http://api:8000}")
    )
    assert said.message == "is not a key that is known here; write `path: VALUE`, with a space behind the colon"
