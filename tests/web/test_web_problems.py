"""Errors as answers (RFC 9457): every class has its row, and nothing secret leaves in one."""

import inspect
import json

import pytest
from structlog.testing import capture_logs

from bff import errors
from bff.web import problems
from bff.web.problems import LAST_RESORT, TABLE, problem_of

CANARIES = ("canary-token", "canary-host.internal", "canary=query")
ELSEWHERE = {
    errors.BffError: "the base of all",
    errors.ConfigError: "ends the process before there is anybody to answer",
    errors.BrowserGone: "there is nobody to answer",
    errors.MaxForwardsReached: "is answered 200 in app.py",
}


def error_classes() -> list[type[errors.BffError]]:
    """Every class of the tree, and those that other rooms derive from it."""
    found: list[type[errors.BffError]] = []
    waiting: list[type[errors.BffError]] = [errors.BffError]
    while waiting:
        kind = waiting.pop()
        found.append(kind)
        waiting += kind.__subclasses__()
    return found


def an_error(kind: type[errors.BffError]) -> errors.BffError:
    """An error of this class whose every text and fact holds a canary, but for what is shown on purpose."""
    text = "; ".join(CANARIES)
    facts: dict[str, object] = {}
    for name, parameter in inspect.signature(kind.__init__).parameters.items():
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            continue
        facts[name] = {
            "provider": "corp",
            "ticket": "dGlja2V0.c2ln",
            "allow": "GET, HEAD",
            "problems": (),
            "challenges": (),
        }.get(name, "canary-host.internal")
    shown = text if not issubclass(kind, errors.BrowserError) else "What to do."
    return kind(shown, **facts) if kind is not errors.ConfigError else kind(file="f", problems=())


@pytest.mark.parametrize(
    "kind", [kind for kind in error_classes() if kind.__module__ == "bff.errors"], ids=lambda k: k.__name__
)
def test_every_error_has_a_row(kind: type[errors.BffError]) -> None:
    """Each class of the tree stands in the table, or a class above it that blames the same party does."""
    if kind in ELSEWHERE:
        return
    row = problems.row_of(an_error(kind))
    assert row is not LAST_RESORT
    blamed = next(base for base in kind.__mro__ if errors.BffError in base.__bases__)
    answered_by = next(base for base in kind.__mro__ if base in TABLE)
    assert issubclass(answered_by, blamed)


EXPECTED = {
    errors.MalformedRequest: 400,
    errors.CallbackRefused: 400,
    errors.LoginRequired: 401,
    errors.CsrfRefused: 403,
    errors.NoRoute: 404,
    errors.MethodNotAllowed: 405,
    errors.RequestTimeout: 408,
    errors.ContentTooLarge: 413,
    errors.MisdirectedRequest: 421,
    errors.HeadTooLarge: 431,
    errors.LoopDetected: 508,
    errors.ProviderUnavailable: 503,
    errors.ProviderRefused: 502,
    errors.ProviderMisbehaved: 502,
    errors.StoreUnavailable: 503,
    errors.SecretUnavailable: 503,
    errors.UpstreamUnreachable: 502,
    errors.UpstreamBroke: 502,
    errors.UpstreamTimeout: 504,
}


@pytest.mark.requirement("R-261", "R-267", "R-190")
@pytest.mark.parametrize(("kind", "status"), EXPECTED.items(), ids=lambda value: getattr(value, "__name__", str(value)))
def test_statuses(kind: type[errors.BffError], status: int) -> None:
    """The statuses that the interface promises, each with what belongs to it."""
    problem = problem_of(an_error(kind), base_path="/bff", https=True)
    fields = dict(problem.fields)
    assert problem.status == status
    assert (b"retry-after" in fields) == (status == 503)
    assert (b"www-authenticate" in fields) == (status == 401)
    assert (b"allow" in fields) == (status == 405)
    assert int(fields[b"content-length"]) == len(problem.body)


@pytest.mark.requirement("R-273", "R-265", "R-003", "R-274")
@pytest.mark.parametrize(
    "error",
    [
        *(an_error(kind) for kind in error_classes() if kind not in ELSEWHERE),
        RuntimeError("; ".join(CANARIES)),
        KeyError("canary"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_nothing_secret_in_a_body(error: Exception) -> None:
    """No token, host or query of an error's message is in the answer; the request id in it is in the log as well."""
    with capture_logs() as logs:
        problem = problem_of(error, base_path="/bff", https=True)
    content = json.loads(problem.body)
    for canary in ("canary", *CANARIES):
        assert canary not in problem.body.decode()
        assert canary not in repr(problem.fields)
    assert {"type", "title", "status", "detail", "request_id"} <= content.keys()
    assert content["status"] == problem.status
    assert content["detail"]
    (entry,) = logs
    assert entry["request_id"] == content["request_id"]


@pytest.mark.requirement("R-273")
def test_request_ids_differ() -> None:
    """Two answers have two request ids."""
    ids = {json.loads(problem_of(ValueError(), base_path="/bff", https=True).body)["request_id"] for _ in range(50)}
    assert len(ids) == 50


@pytest.mark.requirement("R-267")
def test_challenge_is_our_own_scheme_and_names_where_to_sign_in() -> None:
    """The 401 challenge is neither Basic nor Bearer, so no browser opens a dialogue, and points at the provider's login."""
    problem = problem_of(errors.LoginRequired("Sign in.", provider="corp"), base_path="/base", https=False)
    assert dict(problem.fields)[b"www-authenticate"] == b'BFF login_url="/base/login?provider=corp"'
    assert json.loads(problem.body)["login_url"] == "/base/login?provider=corp"


@pytest.mark.requirement("R-270")
def test_hsts_only_where_we_are_https() -> None:
    """On plain http (loopback) nobody is told to use https for a year."""
    told = [dict(problem_of(ValueError(), base_path="/b", https=https).fields) for https in (True, False)]
    assert [b"strict-transport-security" in fields for fields in told] == [True, False]


@pytest.mark.requirement("R-275")
@pytest.mark.parametrize(
    ("error", "event"),
    [
        (errors.CsrfRefused("x"), "request.refused"),
        (errors.UpstreamTimeout("slow", origin="http://api"), "request.not_served"),
        (errors.StoreUnavailable("x"), "request.not_served"),
        (ZeroDivisionError(), "request.failed"),
    ],
)
def test_outcome_is_logged(error: Exception, event: str) -> None:
    """Refusals, failures of others and our own are told apart in the log."""
    with capture_logs() as logs:
        problem_of(error, base_path="/bff", https=True)
    assert [entry["event"] for entry in logs] == [event]


@pytest.mark.requirement("R-275")
@pytest.mark.parametrize(
    ("error", "facts"),
    [
        (
            errors.ProviderRefused("x", provider="corp", error="invalid_scope"),
            {"provider": "corp", "reason": "invalid_scope"},
        ),
        (errors.ProviderMisbehaved("x", provider="corp", reason="scope"), {"provider": "corp", "reason": "scope"}),
        (errors.UpstreamBroke("x", origin="http://api"), {"origin": "http://api"}),
        (errors.StoreUnavailable("x"), {}),
    ],
)
def test_log_says_whose_fault_it_was_and_why(error: errors.BffError, facts: dict[str, str]) -> None:
    """Whoever has to mend it reads the class, the provider or upstream, and the reason: an OAuth error by its code."""
    with capture_logs() as logs:
        problem_of(error, base_path="/bff", https=True)
    (entry,) = logs
    told = {name: value for name, value in entry.items() if name in {"error", "provider", "origin", "reason"}}
    assert told == {"error": type(error).__name__, **facts}


@pytest.mark.requirement("R-346")
@pytest.mark.parametrize(("seconds", "told"), [(0.2, b"1"), (19.1, b"20"), (None, b"5")])
def test_browsers_are_told_when_the_provider_may_be_asked_again(seconds: float | None, told: bytes) -> None:
    """The end of a provider's circuit is the browser's Retry-After, in whole seconds."""
    error = errors.ProviderUnavailable("x", provider="corp", retry_after_seconds=seconds)
    assert dict(problem_of(error, base_path="/bff", https=True).fields)[b"retry-after"] == told
