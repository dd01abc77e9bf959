"""What a `RequestReader` reports of bytes that come in pieces, in a form in which two readings can be compared."""

from collections.abc import Iterable
from dataclasses import dataclass

from msgspec.structs import astuple

from bff.config.model import LimitsConfig
from bff.errors import BrowserError
from bff.request_head import Peer
from bff.server.judged_head import Message
from bff.server.request_reader import Content, RequestReader

PEER = Peer("192.0.2.7", False)
TRUSTED = Peer("192.0.2.8", True)
SMALL = LimitsConfig(max_head=300, max_target=60)


@dataclass(frozen=True, slots=True)
class Read:
    """One message and its content; `complete`: all of it has come."""

    message: Message
    content: bytes
    complete: bool


@dataclass(slots=True)
class Reading:
    """All that was reported: messages in order, then perhaps a refusal; `tunnel` is what came behind a handshake."""

    messages: list[Read]
    error: BrowserError | None = None
    tunnel: bytes | None = None

    @property
    def summary(self) -> tuple[object, ...]:
        """What may not depend on the pieces: of a message whose content is refused, how much of it was told is left open."""
        told = [
            (told_of(one.message), one.content if one.complete or self.error is None else None) for one in self.messages
        ]
        return told, [one.complete for one in self.messages], type(self.error), self.tunnel


def told_of(message: Message) -> tuple[object, ...]:
    """A message as values that compare."""
    head = message.head
    named = (
        head.method,
        head.path,
        head.query,
        head.has_empty_query,
        head.fields,
        dict(head.named),
        head.section.repeated,
        head.peer,
    )
    return (*named, *astuple(message)[1:])


def read(pieces: Iterable[bytes], *, limits: LimitsConfig = SMALL, peer: Peer = PEER) -> Reading:
    """Feed the pieces and take every event as soon as it is there."""
    reader, reading = RequestReader(peer=peer, limits=limits), Reading([])
    for piece in pieces:
        if reading.tunnel is not None:
            reading.tunnel += piece
            continue
        reader.feed(piece)
        while (event := reader.next_event()) is not None:
            take(event, reading)
            if isinstance(event, Message) and event.is_websocket:
                reading.tunnel = reader.rest()
                break
    return reading


def take(event: object, reading: Reading) -> None:
    """Note one event; fails on an order of events that is not documented."""
    assert reading.error is None, "an event after the refusal"
    if isinstance(event, Message):
        assert all(one.complete for one in reading.messages), "a message within the content of another"
        reading.messages.append(Read(event, b"", not event.has_content))
    elif isinstance(event, Content):
        last = reading.messages.pop()
        assert not last.complete, "content after the last of it"
        reading.messages.append(Read(last.message, last.content + event.data, event.last))
    else:
        assert isinstance(event, BrowserError), event
        reading.error = event


def bytewise(data: bytes) -> list[bytes]:
    """Each byte by itself."""
    return [data[at : at + 1] for at in range(len(data))]
