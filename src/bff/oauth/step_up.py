"""Step-up authentication (RFC 9470): what an API or a route asks of the next sign-in, as a value.

https://www.rfc-editor.org/rfc/rfc9470. Pure: the challenge of an API is parsed here; the authorization request that follows carries
`acr_values` and `max_age` of it and nothing else.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

MAX_ACR_BYTES = 190  # of all `acr_values` together: they travel in `state`, which some providers cut at 500 characters
_LONGEST_MAX_AGE = 10 * 365 * 86400.0

_SCHEME = re.compile(rb"[ \t,]*([A-Za-z0-9!#$%&'*+.^_`|~-]+)(?:[ \t]+|(?=,)|$)")
# what `Basic` and `Negotiate` have in the place of parameters
_TOKEN68 = re.compile(rb"[A-Za-z0-9._~+/-]+=*[ \t]*(?=,|$)")
_PARAMETER = re.compile(
    # RFC 9110 section 11.2 wants quotes around what is no token; APIs write URIs (`acr_values=urn:a:b`) without them as well
    rb"""[ \t,]*([A-Za-z0-9!#$%&'*+.^_`|~-]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([!#-+\--~]+))[ \t]*(?=,|$)"""
)
_ACR = re.compile(r"[!#-\[\]-~]+")  # one word of `acr_values`: visible ASCII


@dataclass(frozen=True, slots=True, kw_only=True)
class StepUp:
    """What a sign-in is asked for: one of `acr_values` if there are any, and an authentication not older than `max_age_seconds`."""

    acr_values: tuple[str, ...] = ()
    max_age_seconds: float | None = None


def step_up_of_challenge(value: bytes) -> StepUp | None:
    """What one `WWW-Authenticate` value asks for; None: it holds no usable `insufficient_user_authentication` (RFC 9470 section 3)."""
    parameters = _insufficient(value)
    return None if parameters is None else _step_up(parameters)


def asks_for_another_sign_in(value: bytes) -> bool:
    """Whether one `WWW-Authenticate` value says `insufficient_user_authentication`: no other token of the same sign-in would do."""
    return _insufficient(value) is not None


def _insufficient(value: bytes) -> dict[bytes, bytes] | None:
    for scheme, parameters in _challenges(value):
        if scheme in {b"bearer", b"dpop"} and parameters.get(b"error") == b"insufficient_user_authentication":
            return parameters
    return None


def dump(step_up: StepUp) -> str:
    """As text, for `load`."""
    return json.dumps([step_up.acr_values, step_up.max_age_seconds], separators=(",", ":"))


def load(text: str) -> StepUp:
    """From a text that `dump` made."""
    acr_values, max_age = json.loads(text)
    return StepUp(acr_values=tuple(acr_values), max_age_seconds=max_age)


def _step_up(parameters: dict[bytes, bytes]) -> StepUp | None:
    """Only what an authorization request can carry: an API must not be able to write other parameters into it."""
    words = parameters.get(b"acr_values", b"").decode("ascii", "replace").split()
    acr_values = _first(word for word in words if _ACR.fullmatch(word))
    digits = parameters.get(b"max_age", b"")
    max_age = min(float(digits), _LONGEST_MAX_AGE) if re.fullmatch(rb"[0-9]{1,12}", digits) else None
    if not acr_values and max_age is None:
        return None
    return StepUp(acr_values=acr_values, max_age_seconds=max_age)


def _first(acr_values: Iterable[str]) -> tuple[str, ...]:
    """Those that fit, in order of preference."""
    kept: list[str] = []
    for value in acr_values:
        if len(" ".join([*kept, value])) <= MAX_ACR_BYTES:
            kept.append(value)
    return tuple(kept)


def _challenges(value: bytes) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """The challenges of one field value with their parameters (RFC 9110 section 11.6.1); reading stops at what is neither."""
    found: list[tuple[bytes, dict[bytes, bytes]]] = []
    at = 0
    while at < len(value):
        parameter = _PARAMETER.match(value, at)
        if parameter is not None and found:
            quoted, token = parameter[2], parameter[3]
            content = re.sub(rb"\\(.)", rb"\1", quoted) if quoted is not None else token
            found[-1][1].setdefault(parameter[1].lower(), content)
            at = parameter.end()
            continue
        scheme = _SCHEME.match(value, at)
        if scheme is None:
            break
        found.append((scheme[1].lower(), {}))
        token68 = _TOKEN68.match(value, scheme.end())
        at = scheme.end() if token68 is None else token68.end()
    return found
