"""The upstream behind an edge proxy and the gateway: it keeps every request that reached it, and judges which of them were asked for.

The edge sets two fields on each request that it forwards, over what a browser has set: `X-Edge` with a secret and a number of its own,
and `X-Edge-Line` with the method and the path that it read. So a request that the gateway read and the edge did not see has no such
mark or a forged one, and a request that the two read differently has another line.
"""

from dataclasses import dataclass, field

from support.framing_cases import FORGED
from support.scripted_upstream import Conversation, Received, chunked, response

SECRET = b"set-by-the-edge-only-"
PREFIX = b" /api"  # the route's, which the gateway takes away


def owner_of(received: Received) -> bytes:
    """Whose request it is, and which: `token /a/7/echo`."""
    bearer = b",".join(received.values(b"authorization")).removeprefix(b"Bearer ")
    return b"%b %b" % (bearer, received.target)


@dataclass(slots=True)
class EdgeUpstream:
    """A script that answers as the target says, with the owner in a field and as content."""

    seen: list[Received] = field(default_factory=list)

    async def __call__(self, it: Conversation) -> None:
        """Serve one connection."""
        while True:
            head = await it.head()
            kind = head.target.partition(b"?")[0].rpartition(b"/")[2].decode("latin-1")
            early = kind in {"early", "earlyclose"}
            content = b"" if early else await it.content(head)
            received = Received(method=head.method, target=head.target, fields=head.fields, content=content)
            self.seen.append(received)
            await it.send(answer(received, kind))
            if kind in {"close", "earlyclose"}:
                it.close()
                return
            if early:
                await it.content(head)


def answer(received: Received, kind: str) -> bytes:
    """What this kind of target is answered with."""
    own = owner_of(received)
    name = "X-Owner: " + own.decode("latin-1")
    without = received.method == b"HEAD"
    if kind == "nocontent":
        return b"HTTP/1.1 204 No Content\r\n%b\r\n\r\n" % name.encode("latin-1")
    if kind == "notmodified":
        return b"HTTP/1.1 304 Not Modified\r\n%b\r\nContent-Length: 7\r\n\r\n" % name.encode("latin-1")
    if kind == "chunked" and not without:
        return chunked(own, trailers=b"X-Owner-Again: %b\r\n" % own).replace(
            b"OK\r\n", b"OK\r\n%b\r\n" % name.encode("latin-1"), 1
        )
    whole = response(own, name, *(["Connection: close"] if kind == "close" else []))
    if without:
        whole = whole.removesuffix(own)
    return (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" if kind == "hints" else b"") + whole


def faults(seen: list[Received], *, bearers: dict[bytes, bytes]) -> list[str]:
    """What reached the upstream and should not have; `bearers` maps each user's token to its name."""
    found: list[str] = []
    marks: set[bytes] = set()
    for received in seen:
        found += [
            f"{fault}: {received.method!r} {received.target!r} {received.fields!r}"
            for fault in _faults(received, bearers)
        ]
        for mark in received.values(b"x-edge"):
            if mark in marks:
                found.append(f"sent twice: {received.method!r} {received.target!r}")
            marks.add(mark)
    return found


def _faults(received: Received, bearers: dict[bytes, bytes]) -> list[str]:
    marks, lines = received.values(b"x-edge"), received.values(b"x-edge-line")
    bearer, _, target = owner_of(received).partition(b" ")
    judged = {
        "not asked for": len(marks) != 1 or not marks[0].startswith(SECRET),
        "read in two ways": [*map(_with_no_empty_query, lines)]
        != [_with_no_empty_query(received.method + PREFIX + received.target)],
        "a forged field": any(FORGED in value for _, value in received.fields),
        "the user of another request": target.split(b"/")[1] != bearers.get(bearer),
        "content that is the head of a request": SECRET in received.content,
    }
    return [fault for fault, holds in judged.items() if holds]


def _with_no_empty_query(line: bytes) -> bytes:
    """The gateway forwards an empty query (`/x?`) as none (`/x`), since ASGI cannot tell them apart."""
    return line.removesuffix(b"?")
