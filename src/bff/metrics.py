"""Every number that `/metrics` shows, in one list. Labels hold names from the configuration only, never anything a browser sent."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from time import perf_counter

from prometheus_client import Counter, Histogram

from bff.errors import ProviderError

REQUESTS = Counter("bff_requests_total", "Answers to API calls, by route and status.", ["route", "status"])
PROBLEMS = Counter("bff_problems_total", "Requests answered with a problem, by its type.", ["type"])
LOGINS = Counter("bff_logins_total", "Ended sign-ins, by provider and outcome.", ["provider", "outcome"])
LOGOUTS = Counter("bff_logouts_total", "Sessions ended, by cause.", ["cause"])
REFRESHES = Counter(
    "bff_refreshes_total", "Refreshes of access tokens, by provider and outcome.", ["provider", "outcome"]
)
CONNECTIONS_REFUSED = Counter(
    "bff_connections_refused_total", "Browser connections closed at once because file descriptors run out."
)
TOKEN_CALLS = Histogram(
    "bff_token_call_seconds", "Time of calls to a token endpoint.", ["provider", "grant_type", "outcome"]
)


@lru_cache(maxsize=4096)
def request_counter(route: str, status: int) -> Callable[[], None]:
    """The bound `inc` of one route and status, kept because finding it costs more than counting."""
    return REQUESTS.labels(route, str(status)).inc


@contextmanager
def token_call(*, provider: str, grant_type: str) -> Iterator[None]:
    """Time one call to a token endpoint and note how it ended."""
    began = perf_counter()
    outcome = "ok"
    try:
        yield
    except ProviderError as error:
        outcome = type(error).__name__
        raise
    finally:
        TOKEN_CALLS.labels(provider, grant_type, outcome).observe(perf_counter() - began)
