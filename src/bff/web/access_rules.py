"""What a route requires of the user's sign-in (`require`): values of claims, how the user authenticated, and how long ago. Pure.

Only the sign-in at the route's own provider counts: a claim is worth what the provider that made it is worth. A claim that is not
held is final (403). An authentication that is too weak or too old can be repeated: the next sign-in asks for `acr_values` and
`max_age` (step-up, RFC 9470 section 4, https://www.rfc-editor.org/rfc/rfc9470#section-4).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bff.config.model import RequireConfig
from bff.errors import NotPermitted
from bff.oauth.step_up import StepUp
from bff.sessions.model import Grant
from bff.web.claims import as_in_json, claim, text_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """`claims`: for each name the values of which one must be held."""

    claims: Mapping[str, frozenset[str]]
    step_up: StepUp


def requirement(config: RequireConfig) -> Requirement:
    """The requirement that the configuration describes."""
    return Requirement(
        claims={name: frozenset(map(as_in_json, values)) | {*values} for name, values in config.claims.items()},
        step_up=StepUp(acr_values=config.acr_values, max_age_seconds=config.max_age),
    )


def judge(asked: Requirement, grant: Grant, *, now: float, leeway: float) -> str | None:
    """None if the sign-in holds what is required; `acr` or `auth_time` if the user has to authenticate in another way, or again.

    Raises:
        NotPermitted: a claim has none of the values.
    """
    for name, values in asked.claims.items():
        if not values & held(grant.claims, name):
            raise NotPermitted("Your account is not permitted to use this.", reason=f"claim {name}")
    step_up = asked.step_up
    if step_up.acr_values and grant.claims.get("acr") not in step_up.acr_values:
        return "acr"
    max_age = step_up.max_age_seconds
    if max_age is not None and not _is_recent(grant.auth_time, max_age=max_age, now=now, leeway=leeway):
        return "auth_time"
    return None


def _is_recent(auth_time: float | None, *, max_age: float, now: float, leeway: float) -> bool:
    """Not if it is in the future: with a clock that was set back it would be recent for as long."""
    return auth_time is not None and -leeway <= now - auth_time <= max_age + leeway


def held(claims: Mapping[str, object], name: str) -> frozenset[str]:
    """The values of a claim as texts: of a list each element."""
    value = claim(claims, name)
    values = value if isinstance(value, list) else [value]
    return frozenset(text for text in map(text_of, values) if text is not None)
