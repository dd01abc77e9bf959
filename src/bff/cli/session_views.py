"""What `bff sessions` shows of a session: who, since when, until when, and what is known of each token. Never a token, a refresh
token, a cookie, or anything else that opens something.

The claims of a JWT are shown without its signature, which makes a token of them. Texts that came from outside are printed with their
control characters escaped: a `User-Agent` must not steer the operator's terminal.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from bff.cli.columns import aligned
from bff.config.model import Config
from bff.oauth.jws import unverified_claims
from bff.sessions.model import AccessToken, Grant, LiveSession, Target, freshness, shown_id
from bff.tokens.grants import renewable
from bff.web.route_policy import route_policy

HEAD = ("ID", "USER", "PROVIDERS", "CREATED", "LAST USED", "EXPIRES", "BROWSER")
LONGEST_CELL = 40

View = dict[str, object]


def summary(live: LiveSession, config: Config) -> View:
    """One session in a list; instants are Unix seconds."""
    session = live.session
    return {
        "id": shown_id(session.key),
        "created_at": int(session.created_at),
        "last_used_at": int(live.last_used_at(idle_timeout_seconds=config.session.idle_timeout)),
        "expires_at": int(live.idle_expires_at),
        "ends_at": int(session.absolute_expires_at),
        "users": [_user(grant) for grant in session.grants],
        "user_agent": session.user_agent,
    }


def details(live: LiveSession, config: Config, *, now: float) -> View:
    """One session with its grants and tokens."""
    return {**summary(live, config), "grants": [_grant(grant, config, now=now) for grant in live.session.grants]}


def _user(grant: Grant) -> View:
    return {"provider": grant.provider, "issuer": grant.issuer, "subject": grant.subject}


def _grant(grant: Grant, config: Config, *, now: float) -> View:
    refresh = None
    if grant.refresh_token is not None:
        claims = unverified_claims(grant.refresh_token)
        refresh = {"expires_at": _whole(grant.refresh_token_expires_at), "claims": claims}
    return {
        **_user(grant),
        "client_id": grant.client_id,
        "sid": grant.sid,
        "signed_in_at": _whole(grant.granted_at),
        "auth_time": _whole(grant.auth_time),
        "access_tokens": [_access_token(grant, target, token, config, now=now) for target, token in _targets(grant)],
        "refresh_token": refresh,
        "id_token": None if grant.id_token is None else {"claims": unverified_claims(grant.id_token)},
        "claims": grant.claims,
    }


def _targets(grant: Grant) -> Iterator[tuple[Target, AccessToken | None]]:
    """Every target with its token, those too that the provider refuses to renew and whose token is gone."""
    yield from grant.access_tokens
    known = {target for target, _ in grant.access_tokens}
    yield from ((target, None) for target, _ in grant.refusals if target not in known)


def _access_token(grant: Grant, target: Target, token: AccessToken | None, config: Config, *, now: float) -> View:
    can_renew = renewable(grant, target, now=now)
    return {
        "routes": _routes(grant.provider, target, config),
        "resource": target.resource,
        "audience": target.audience,
        "asked_scope": target.scope,
        "scope": None if token is None else token.scope,
        "state": freshness(token, renewable=can_renew, now=now).value,
        "expires_at": None if token is None else _whole(token.expires_at),
        "renewed_at": _whole(token.refresh_at) if token is not None and can_renew else None,
        "renewal_refused": grant.refusal(target),
        "bound_to_key": token is not None and token.dpop_seed is not None,
        "claims": None if token is None else unverified_claims(token.value),
    }


def _routes(provider: str, target: Target, config: Config) -> list[str]:
    """The routes that attach this token."""
    policies = [route_policy(route) for route in config.routes]
    return [p.label for p in policies if p.takes_user and p.provider == provider and p.target == target]


def table(found: Sequence[LiveSession], config: Config) -> list[str]:
    """The lines of `bff sessions list`."""
    return aligned([HEAD, *(_row(live, config) for live in found)])


def _row(live: LiveSession, config: Config) -> tuple[str, ...]:
    session = live.session
    cells = (
        shown_id(session.key),
        ",".join(dict.fromkeys(grant.subject or "-" for grant in session.grants)),
        ",".join(grant.provider for grant in session.grants),
        iso(session.created_at),
        iso(live.last_used_at(idle_timeout_seconds=config.session.idle_timeout)),
        iso(live.idle_expires_at),
        session.user_agent or "-",
    )
    return tuple(_cut(plain(cell)) for cell in cells)


def text(view: Mapping[str, object], *, indent: str = "") -> Iterator[str]:
    """The lines of `bff sessions show`: a line for each fact, what belongs together indented."""
    for name, value in view.items():
        if isinstance(value, dict) and name != "claims":
            yield f"{indent}{name}:"
            yield from text(value, indent=indent + "  ")
        elif isinstance(value, list) and value and all(isinstance(part, dict) for part in value):
            for part in value:
                yield f"{indent}{name.removesuffix('s')}:"
                yield from text(part, indent=indent + "  ")
        else:
            yield f"{indent}{name}: {_value(name, value)}"


def _value(name: str, value: object) -> str:
    if value is None or value == []:
        return "-"
    if name.endswith("_at") or name == "auth_time":
        return iso(value)
    return plain(value) if isinstance(value, str) else json.dumps(value)


def iso(instant: object) -> str:
    """An instant for people, in UTC."""
    if not isinstance(instant, int | float):
        return "-"
    return datetime.fromtimestamp(instant, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def plain(value: str) -> str:
    """A text from outside on one line, with escapes for control characters and all else that is not printable."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in value)


def _cut(cell: str) -> str:
    return cell if len(cell) <= LONGEST_CELL else f"{cell[: LONGEST_CELL - 3]}..."


def _whole(instant: float | None) -> int | None:
    return None if instant is None else int(instant)
