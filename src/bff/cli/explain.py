"""`bff explain`: print every judgement on one request, in order, and what becomes of it."""

import asyncio
from collections.abc import Sequence

import click

from bff.cli.explanation import Explanation, explain
from bff.cli.typed_request import HIDDEN, NotTyped, typed_head, typed_session
from bff.clock import wall
from bff.config.model import Config
from bff.errors import BffError, LoginRequired, NotImplementedHere, NotPermitted, StepUpRequired
from bff.request_head import Field, RequestHead
from bff.telemetry.remedies import remedy_for
from bff.web.gateway import build_gateway, build_process
from bff.web.problems import row_of


def run(
    config: Config,
    method: str,
    url: str,
    *,
    signed_in: str | None,
    claims: Sequence[str],
    headers: Sequence[str],
    page: bool,
    csrf: bool,
) -> int:
    """Print the explanation; 0 if the request would be forwarded or served, 1 if it would be refused.

    Raises:
        click.UsageError: what was typed is no request.
    """
    gateway = build_gateway(config, build_process(config))
    if signed_in is not None and signed_in not in gateway.providers:
        raise click.UsageError(f"there is no provider {signed_in}; known: {', '.join(gateway.providers)}")
    try:
        head = typed_head(gateway, method, url, headers=headers, page=page, csrf=csrf, signed_in=signed_in is not None)
        live = None if signed_in is None else typed_session(gateway, gateway.provider(signed_in), claims, now=wall())
    except NotTyped as error:
        raise click.UsageError(str(error)) from error
    explanation = asyncio.run(explain(gateway, head, live))
    for line in lines(explanation, head):
        click.echo(line)
    return 0 if explanation.refused is None else 1


def lines(explanation: Explanation, head: RequestHead) -> list[str]:
    """What is printed."""
    out = [f"{name:<10} {result}" for name, result in explanation.steps]
    if explanation.refused is not None:
        return [*out, *_refusal(explanation, explanation.refused, head)]
    if explanation.served is not None:
        return [*out, f"served     {explanation.served}"]
    if explanation.passed is not None:
        return [*out, "", *_written(explanation.passed, explanation.hidden)]
    sent = explanation.forwarded
    if sent is None:
        raise ValueError("nothing was decided")
    return [*out, "", f"{_text(sent.method)} {_text(sent.target)}", *_written(sent.fields, explanation.hidden)]


def _written(fields: Sequence[Field], hidden: frozenset[bytes]) -> list[str]:
    return [f"{_text(name)}: {HIDDEN if name in hidden else _text(value)}" for name, value in fields]


def _refusal(explanation: Explanation, error: BffError, head: RequestHead) -> list[str]:
    row = row_of(error)
    out = [f"{explanation.asking:<10} refused", "", f"{row.status} urn:bff:problem:{row.type}: {error}"]
    if isinstance(error, NotPermitted | StepUpRequired):
        out.append(f"reason: {error.reason}")
    if isinstance(error, LoginRequired):
        out.append(f"provider: {error.provider}")
        if head.is_navigation:
            out.append("a page load is led to the sign-in instead")
    if isinstance(error, NotImplementedHere) and head.method.upper() != head.method:
        out.append(f"methods are in capitals (RFC 9110 section 9.1): {_text(head.method.upper())}")
    remedy = remedy_for(error, kind=row.type)
    return out if remedy is None else [*out, f"remedy: {remedy}"]


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")
