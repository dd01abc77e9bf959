"""Frames of a WebSocket as they pass: every cut, every order, and the `websockets` library as the judge."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import SERVER, Protocol, State

from bff.proxy.closes import Close
from bff.proxy.websocket_frames import NO_CODE, Fault, FrameReader, close_frame

LIMIT = 300
MASK = b"\x01\x80\x03\xff"


def frame(first: int, content: bytes = b"", *, mask: bytes | None = MASK, width: int = 0) -> bytes:
    """A frame; `first` is its first byte, `width` the bytes of its length where that is not to be the least."""
    size = len(content)
    width = width or (0 if size < 126 else 2 if size < 65536 else 8)
    short = {0: size, 2: 126, 8: 127}[width]
    head = bytes([first, short | (0 if mask is None else 0x80)]) + (size.to_bytes(width) if width else b"")
    if mask is None:
        return head + content
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(content))


def passed(pieces: list[bytes], *, masked: bool = True, limit: int = LIMIT) -> tuple[bytes, Any, Any, bool]:
    """What comes out of these pieces, and what is known then."""
    reader = FrameReader(masked=masked, limit=limit)
    out = b"".join(map(reader.feed, pieces))
    return out, reader.fault, reader.close_code, reader.has_closed


def bytewise(data: bytes) -> list[bytes]:
    """One by one."""
    return [data[at : at + 1] for at in range(len(data))]


GOOD_CODES = [1000, 1001, 1008, 1014, 3000, 4999]
contents = st.binary(max_size=140) | st.sampled_from([b"x" * 125, b"x" * 126, b"x" * 200])
data_frames = st.builds(frame, st.sampled_from([0x00, 0x80, 0x01, 0x81, 0x02, 0x82]), contents)
control_frames = st.builds(frame, st.sampled_from([0x89, 0x8A]), st.binary(max_size=125))
closes = st.builds(
    lambda code, reason: frame(0x88, code.to_bytes(2) + reason),
    st.sampled_from(GOOD_CODES),
    st.sampled_from([b"", b"bye"]),
) | st.just(frame(0x88))
wrong_frames = st.one_of(
    st.builds(frame, st.sampled_from([0x83, 0x87, 0x8B, 0x8F, 0x08, 0x09]), st.binary(max_size=10)),
    st.builds(frame, st.just(0x89), st.binary(min_size=126, max_size=130)),
    st.builds(frame, st.just(0x81), st.just(b"x"), mask=st.none()),
    st.just(frame(0x88, b"x")),
    st.builds(lambda code: frame(0x88, code.to_bytes(2) + b"why"), st.sampled_from([1005, 1006, 1015])),
)
streams = st.lists(data_frames | control_frames, max_size=8).flatmap(
    lambda frames: st.lists(closes | wrong_frames | data_frames, max_size=3).map(
        lambda more: b"".join([*frames, *more])
    )
)


@pytest.mark.requirement("R-256", "R-261")
@given(streams, st.data())
def test_a_cut_changes_nothing(stream: bytes, data: st.DataObject) -> None:
    """However a stream is cut into segments, what comes out and what is known is that of the whole."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert passed(pieces) == passed([stream]) == passed(bytewise(stream))


@pytest.mark.requirement("R-256", "R-261")
@given(streams)
def test_a_stream_is_judged_as_the_websockets_library_does(stream: bytes) -> None:
    """The same streams are at fault, for the same reason, and the same close is seen.

    But for a close amid the fragments of a message, which the library refuses and RFC 6455 section 5.4 allows ("Control frames MAY be
    injected in the middle of a fragmented message").
    """
    judge = Protocol(SERVER, state=State.OPEN, max_size=LIMIT)
    judge.receive_data(stream)
    error = judge.parser_exc
    _, fault, close_code, has_closed = passed([stream])
    if isinstance(error, PayloadTooBig):
        assert fault is not None  # a frame may be too large and out of order
    elif isinstance(error, ProtocolError) and "incomplete fragmented message" in str(error):
        assert fault is None
        assert has_closed
    elif isinstance(error, ProtocolError):
        assert fault is Fault.BROKEN
    else:
        assert fault is None
        heard = judge.close_rcvd
        assert has_closed is (heard is not None)
        assert close_code == (None if heard is None else int(heard.code))


@given(streams)
def test_what_comes_out_is_a_beginning_of_what_came(stream: bytes) -> None:
    """Nothing is altered; without a fault and a close only the beginning of a head is kept."""
    out, fault, close_code, _ = passed([stream])
    assert stream.startswith(out)
    if fault is None and close_code is None:
        assert len(stream) - len(out) < 14


@pytest.mark.requirement("R-256")
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("code", [*GOOD_CODES, None])
def test_a_close_is_seen_with_its_code(masked: bool, code: int | None) -> None:
    """Also without a code (1005), and what comes behind it is dropped."""
    close = frame(0x88, b"" if code is None else code.to_bytes(2) + b"why", mask=MASK if masked else None)
    stream = close + frame(0x81, b"late", mask=MASK if masked else None)
    for pieces in ([stream], bytewise(stream)):
        assert passed(pieces, masked=masked) == (close, None, code or NO_CODE, True)


@pytest.mark.requirement("R-256")
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("code", [1005, 1006, 1015])
def test_a_code_that_no_frame_carries_does_not_pass(masked: bool, code: int) -> None:
    """RFC 6455 section 7.4.1: these stand for a close that was not sent. Others are for the receiver to judge."""
    text, close = (
        frame(one, content, mask=MASK if masked else None) for one, content in ((0x81, b"x"), (0x88, code.to_bytes(2)))
    )
    for pieces in ([text + close], bytewise(text + close)):
        assert passed(pieces, masked=masked) == (text, Fault.BROKEN, None, False)


@pytest.mark.requirement("R-256")
def test_a_close_has_come_when_its_reason_has() -> None:
    """Its code is known before; what is passed on ends with the frame."""
    reader = FrameReader(masked=True, limit=LIMIT)
    close = frame(0x88, b"\x03\xe8because")
    assert reader.feed(close[:10]) == close[:10]
    assert (reader.close_code, reader.has_closed, reader.at_boundary) == (1000, False, False)
    assert reader.feed(close[10:] + b"more") == close[10:]
    assert reader.has_closed


@pytest.mark.requirement("R-256", "R-261")
@pytest.mark.parametrize(
    ("stream", "comes_out"),
    [
        (frame(0x82, b"x" * 301), 0),
        (frame(0x82, b"x" * 300) + frame(0x82, b"x" * 301), 1),
        (frame(0x02, b"x" * 200) + frame(0x89, b"!") + frame(0x80, b"x" * 101), 2),
        (b"\x82\xff" + b"\xff" * 8 + MASK, 0),
    ],
    ids=["one frame", "the second", "in fragments", "2^64 bytes"],
)
def test_a_message_that_is_too_big_does_not_come_out(stream: bytes, comes_out: int) -> None:
    """Its head says how large it is; what came before it has come out, and we are between two frames."""
    reader = FrameReader(masked=True, limit=300)
    out = reader.feed(stream)
    assert reader.fault is Fault.TOO_BIG
    assert reader.at_boundary
    before = [frame(0x82, b"x" * 300)] if comes_out == 1 else [frame(0x02, b"x" * 200), frame(0x89, b"!")][:comes_out]
    assert out == b"".join(before)


@pytest.mark.requirement("R-256")
def test_behind_a_message_that_is_too_big_a_close_is_still_seen() -> None:
    """The other side answers our 1009 behind what it had begun."""
    stream = frame(0x82, b"x" * 1000) + frame(0x81, b"y") + frame(0x88, b"\x03\xf1")
    for pieces in ([stream], bytewise(stream)):
        assert passed(pieces) == (b"", Fault.TOO_BIG, 1009, True)


@pytest.mark.requirement("R-256")
@pytest.mark.parametrize("width", [2, 8])
def test_a_length_may_be_longer_than_it_must(width: int) -> None:
    """Receivers take it, so it passes as it is."""
    stream = frame(0x82, b"abc", width=width)
    assert passed(bytewise(stream)) == (stream, None, None, False)


@pytest.mark.requirement("R-256")
def test_reserved_bits_are_the_extensions() -> None:
    """A compressed message has one set: it passes."""
    stream = frame(0xC1, b"zip")
    assert passed([stream]) == (stream, None, None, False)


@pytest.mark.requirement("R-256")
def test_a_frame_under_way_can_be_finished_alone() -> None:
    """What is behind it is left, so that a close of ours can stand there."""
    reader = FrameReader(masked=False, limit=LIMIT)
    one, two = frame(0x82, b"x" * 100, mask=None), frame(0x82, b"y" * 100, mask=None)
    reader.feed(one[:50])
    assert not reader.at_boundary
    assert reader.finish(one[50:60]) == one[50:60]
    assert not reader.at_boundary
    assert reader.finish(one[60:] + two) == one[60:]
    assert reader.at_boundary
    assert reader.feed(two) == two


@pytest.mark.requirement("R-256")
@pytest.mark.parametrize("mask", [None, MASK])
@pytest.mark.parametrize(
    "close", [Close(1008, "session ended"), Close(1001), Close(NO_CODE), Close(1000, "\u20ac" * 41)]
)
def test_a_close_of_ours_is_what_the_library_reads(mask: bytes | None, close: Close) -> None:
    """Code and reason, masked towards a server only."""
    written = close_frame(close, mask=mask)
    reader = FrameReader(masked=mask is not None, limit=LIMIT)
    assert (reader.feed(written), reader.close_code, reader.has_closed) == (written, close.code, True)
    content = b"" if close.code == NO_CODE else close.code.to_bytes(2) + close.reason.encode()
    assert written == Frame(Opcode.CLOSE, content).serialize(mask=False) or mask == MASK
    assert CloseCode.NORMAL_CLOSURE == 1000


def test_a_reason_that_does_not_fit_is_a_mistake_of_ours() -> None:
    """RFC 6455 section 5.5: 125 bytes."""
    with pytest.raises(ValueError, match="125"):
        close_frame(Close(1000, "x" * 124), mask=None)
