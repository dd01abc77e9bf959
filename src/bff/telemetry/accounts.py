"""What is known of one request, gathered while it is served, for the one line that the log has of it.

The recipe's task carries its account along (a context variable); code that decides something about the request notes it there. The
lane has no task: it makes its account when the request is over. With `log.access` each request is one `request.served`, a refused one
too; without it only what needs a reason is written (`request.refused`, `request.not_served`, `request.failed`).
"""

import re
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import structlog

from bff.clock import steady
from bff.request_head import RequestHead

_PARENT = re.compile(rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


@dataclass(slots=True, kw_only=True, eq=False)
class Account:
    """One request. `why`: the one word for a missing session or a refusal; `reasons`: what a refusal says besides."""

    head: RequestHead
    began: float  # on the steady clock
    client: str  # the browser's address
    scheme: str = "https"  # by which browsers reach us
    whole: bool = False  # `log.access`: it gets a line, whether it is refused or not
    route: str | None = None
    span: Any = None  # one that the lane has begun
    trace: str | None = None  # of our own span; else the browser's counts
    why: str | None = None
    cause: str | None = None  # by what the session was ended
    upstream: str | None = None
    upstream_began: float | None = None  # on the steady clock
    upstream_seconds: float | None = None
    session: str | None = None  # the first eight characters of its key
    user: str | None = None
    level: str = "info"
    reasons: dict[str, object] = field(default_factory=dict)

    def facts(self) -> dict[str, object]:
        """Its fields in the log, those that are known. The query is never logged: it may hold secrets."""
        head = self.head
        facts = {
            "request_id": head.request_id.decode("ascii"),
            "trace_id": self.trace or trace_id(head),
            "route": self.route,
            "method": head.method.decode("ascii", "backslashreplace"),
            "path": head.path.decode("ascii", "backslashreplace"),
            "why": self.why,
            "cause": self.cause,
            "upstream": self.upstream,
            "upstream_seconds": None if self.upstream_seconds is None else round(self.upstream_seconds, 6),
            "session": self.session,
            "user": self.user,
            "client": self.client,
        }
        return {name: value for name, value in facts.items() if value is not None}


_current: ContextVar[Account | None] = ContextVar("bff request", default=None)


def begin(account: Account) -> None:
    """From now on this task works for this request; what it logs carries the request's id."""
    _current.set(account)
    structlog.contextvars.bind_contextvars(request_id=account.head.request_id.decode("ascii"))


def current() -> Account | None:
    """The account of the request that this task, or the one that started it, works for."""
    return _current.get()


def new_account(head: RequestHead, *, client: str, scheme: str, whole: bool, began: float | None = None) -> Account:
    """The account of a request that began now, or at `began` on the steady clock."""
    return Account(head=head, client=client, scheme=scheme, whole=whole, began=steady() if began is None else began)


def trace_id(head: RequestHead) -> str | None:
    """The trace that the request belongs to; None if its `traceparent` is none: an API begins a trace of its own then.

    Neither id is zero, `ff` is no version, and version 00 ends with its flags (https://www.w3.org/TR/trace-context/, section 3.2).
    """
    found = _PARENT.fullmatch(head.named.get(b"traceparent", b""))
    if found is None or (found[1] == b"00" and found[3] is not None):
        return None
    return found[2].decode("ascii")
