"""The heads of WebSocket frames as they pass by, sans-I/O: bytes go in, the same bytes come out, and what was seen is noted.

Contents are not looked at: extensions are negotiated by browser and upstream with each other, so a payload may be compressed and the
reserved bits of a head are theirs (RFC 6455 section 5.2, https://www.rfc-editor.org/rfc/rfc6455#section-5.2). UTF-8 is for the
receiver to check, too (section 8.1).

What is held to, because a gateway that passed it on would be blamed for it, or could not find the next head:
    opcode    0 to 2 and 8 to 10; the others are reserved (section 5.2)
    control   at most 125 bytes, not fragmented (section 5.5); a close has no content, or begins with a code (section 5.5.1), which is
              none of those that only stand for what was not sent ("MUST NOT be set", section 7.4.1)
    mask      on every frame of a client and on none of a server (section 5.1)
    messages  a continuation has a beginning, and a message ends before the next one begins (section 5.4)
    size      of a message, over all of its frames, as it is on the wire

A head comes out when all of it is there, so what has come out ends between two frames whenever `at_boundary`. No more than a head,
and the code of a close with it, is ever kept: 14 bytes.
"""

from enum import Enum, auto

from bff.proxy.closes import Close

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

NO_CODE = 1005  # RFC 6455 section 7.4.1: stands for a close frame without a code
_NEVER_SENT = frozenset({NO_CODE, 1006, 1015})  # a lost connection, and one without TLS

_LAST, _MASKED, _OPCODE, _LENGTH = 0x80, 0x80, 0x0F, 0x7F
_MAX_CONTROL = 125
_WIDTHS = {126: 2, 127: 8}  # of the length, where the first byte cannot say it


class Fault(Enum):
    """What was wrong with a frame. Neither it nor what follows it comes out."""

    BROKEN = auto()  # close with 1002
    TOO_BIG = auto()  # close with 1009


class FrameReader:
    """The frames that one side sends. `masked`: that side is a client; `limit` is the most a message may have, in bytes.

    `close_code` is set by the head of a close frame; what comes behind that frame is dropped (RFC 6455 section 1.4).
    After `Fault.TOO_BIG` frames are still followed, so that the other side's close is seen; they do not come out.
    """

    __slots__ = ("_head", "_in_message", "_is_lost", "_left", "_limit", "_mask_bit", "_size", "close_code", "fault")

    def __init__(self, *, masked: bool, limit: int) -> None:
        self._mask_bit = _MASKED if masked else 0
        self._limit = limit
        self._head = b""  # the beginning of a head
        self._left = 0  # bytes of the frame that are still to come
        self._size = 0  # of the message so far
        self._is_lost = False  # where the next head begins is not known any more
        self._in_message = False  # a message has begun and has more frames
        self.close_code: int | None = None
        self.fault: Fault | None = None

    @property
    def at_boundary(self) -> bool:
        """Whether a frame of another's may follow what has come out; nothing comes out of a frame with a fault."""
        return not self._left or self.fault is not None

    @property
    def has_closed(self) -> bool:
        """Whether all of a close frame has come."""
        return self.close_code is not None and not self._left

    def feed(self, data: bytes) -> bytes:
        """What may be passed on of what came."""
        if self.fault is not None:
            if not self._is_lost:
                self._follow(self._with_head(data))
            return b""
        if self._head:
            data = self._with_head(data)
        end = self._follow(data)
        return data if end == len(data) else data[:end]

    def finish(self, data: bytes) -> bytes:
        """The part of what came that ends the frame under way; then `at_boundary`, unless more of it is to come."""
        rest = data[: self._left]
        self._left -= len(rest)
        return rest

    def _with_head(self, data: bytes) -> bytes:
        data, self._head = self._head + data, b""
        return data

    def _follow(self, data: bytes) -> int:
        """Read all heads in these bytes; how many of the bytes may be passed on."""
        at, size = self._left, len(data)
        refused_at = -1
        while at < size and self.close_code is None:
            following = self._read_head(data, at)
            if self.fault is not None and refused_at < 0:
                refused_at = at
            if not following:
                self._left = 0
                if not self._is_lost:
                    self._head = data[at:]
                return at if refused_at < 0 else refused_at
            at = following
        self._left = at - size if at > size else 0
        return min(at, size) if refused_at < 0 else refused_at

    def _read_head(self, data: bytes, at: int) -> int:
        """Where the frame ends whose head is at `at`; 0: the head is not complete, or not one."""
        if len(data) < at + 2:
            return 0
        first, second = data[at], data[at + 1]
        opcode, length = first & _OPCODE, second & _LENGTH
        if second & _MASKED != self._mask_bit or not self._is_orderly(opcode, first & _LAST, length):
            return self._break()
        content = at + 2
        if length > _MAX_CONTROL:
            content += _WIDTHS[length]
            length = int.from_bytes(data[at + 2 : content])
        if self._mask_bit:
            content += 4
        if len(data) < content:
            return 0
        if opcode == CLOSE:
            return self._read_close(data, content, length)
        if opcode < CLOSE:
            self._count(length, last=bool(first & _LAST))
        return content + length

    def _is_orderly(self, opcode: int, last: int, length: int) -> bool:
        if opcode >= CLOSE:
            return opcode <= PONG and last > 0 and length <= _MAX_CONTROL and (opcode, length) != (CLOSE, 1)
        return self._in_message if opcode == CONTINUATION else opcode <= BINARY and not self._in_message

    def _count(self, length: int, *, last: bool) -> None:
        self._size += length
        if self._size > self._limit:
            self.fault = Fault.TOO_BIG
        self._in_message = not last
        if last:
            self._size = 0

    def _read_close(self, data: bytes, content: int, length: int) -> int:
        if not length:
            self.close_code = NO_CODE
            return content
        if len(data) < content + 2:
            return 0
        code = int.from_bytes(data[content : content + 2])
        if self._mask_bit:
            code ^= int.from_bytes(data[content - 4 : content - 2])
        if code in _NEVER_SENT:
            return self._break()
        self.close_code = code
        return content + length

    def _break(self) -> int:
        """The head is not one, so it is not known where the next one begins."""
        self.fault = self.fault or Fault.BROKEN
        self._is_lost = True
        return 0


def close_frame(close: Close, *, mask: bytes | None) -> bytes:
    """A close as one frame; `mask` is 4 unpredictable bytes for a client's (RFC 6455 section 10.3), None for a server's."""
    content = b"" if close.code == NO_CODE else close.code.to_bytes(2) + close.reason.encode()
    if len(content) > _MAX_CONTROL:
        raise ValueError("a close frame has at most 125 bytes of content")
    if mask is None:
        return bytes((_LAST | CLOSE, len(content))) + content
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(content))
    return bytes((_LAST | CLOSE, _MASKED | len(content))) + mask + masked
