"""What goes to a provider and what comes back: `provider/http.py` sends it, this package builds and parses it."""

from codecs import BOM_UTF8
from dataclasses import dataclass, field

from bff.errors import ProviderMisbehaved
from bff.oauth import strict_json

_LONGEST_SHOWN = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderRequest:
    """One request, complete: the sender adds only the fields that HTTP needs (Host, Content-Length)."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)  # holds our secret, or an access token
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderResponse:
    """One answer, complete, and bounded in size by `provider/http.py`; `content_type` is as received."""

    status: int
    content_type: str = ""
    retry_after: str | None = None
    date: str | None = None
    dpop_nonce: str | None = None  # RFC 9449 section 8.1
    www_authenticate: str = ""
    location: str | None = field(default=None, repr=False)  # never followed; it may hold a code
    body: bytes = field(default=b"", repr=False)


def shown(value: object) -> str:
    """A value that a provider sent and that is no secret, for a message: quoted, escaped and cut."""
    text = ascii(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def media_type(content_type: str) -> str:
    """A Content-Type without parameters, in lower case, e.g. `application/json`."""
    return content_type.partition(";")[0].strip().lower()


def parse_json_object(response: ProviderResponse, *, provider: str) -> dict[str, object]:
    """The JSON object in the body. The bytes are judged, not the media type: providers serve JSON under many names.

    A byte order mark is left out (RFC 8259 section 8.1: parsers "MAY ignore the presence of a byte order mark").

    Raises:
        ProviderMisbehaved: `not_json`: no JSON object with one meaning (`strict_json`).
    """
    try:
        return strict_json.parse_object(response.body.removeprefix(BOM_UTF8))
    except ValueError as error:
        raise ProviderMisbehaved(f"answered with {error}", provider=provider, reason="not_json") from None
