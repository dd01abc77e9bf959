"""The query of a request to one of our own endpoints, read in one way."""

from urllib.parse import parse_qsl

from bff.errors import MalformedRequest
from bff.request_head import RequestHead

MAX_PARAMETERS = 100


def parameters(head: RequestHead, *, once: tuple[str, ...] = ()) -> dict[str, str]:
    """The parameters by name; of a repeated one the last, except those that may come `once` only.

    Raises:
        MalformedRequest: the query cannot be read, or repeats one of `once`.
    """
    try:
        pairs = parse_qsl(
            head.query.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_PARAMETERS, errors="strict"
        )
    except ValueError as error:
        raise MalformedRequest("The query cannot be read.") from error
    if any(sum(name == known for name, _ in pairs) > 1 for known in once):
        raise MalformedRequest(f"{' and '.join(once)} may appear only once.")
    return dict(pairs)
