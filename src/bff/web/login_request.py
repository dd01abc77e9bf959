"""What `GET /login` is asked: at which provider to sign in, where to come back to, and what to add for this one sign-in.

    provider            a name of the configuration; the first one if neither it nor `iss` is there
    iss                 its issuer instead: a sign-in that a third party initiates (OpenID Connect Core section 4)
    return_to           a local path
    step_up             a ticket of ours, of an answer that asked for a stronger sign-in (`step_up.py`)
    target_link_uri     the same as an absolute URL of our own origin, from that third party
    fragment            `kept`: of ours; a page has kept the fragment of the address that is come back to (`navigation.py`)
    others              of `login_params` only: a listed name with a listed value reaches the provider (R-315)

Third parties may post their parameters as a form, too.

A listed name with another value is refused, so that a page's author sees it; a name that is not listed is ignored (R-043).
"""

import re
from dataclasses import dataclass
from urllib.parse import urlencode

from bff.config.model import ANY
from bff.config.values.words import LONGEST_LOGIN_VALUE
from bff.errors import MalformedRequest
from bff.issuers import accepts
from bff.oauth.form import CONTENT_TYPE, decode_once
from bff.oauth.messages import media_type
from bff.oauth.step_up import StepUp
from bff.provider.client import Provider
from bff.proxy.browser import Receive
from bff.request_head import RequestHead
from bff.web import guards, query, step_up
from bff.web.answers import OwnAnswer, redirect
from bff.web.content import bounded_content, content_type
from bff.web.gateway import Gateway

_ABSOLUTE_URL = re.compile(r"([A-Za-z]+)://([^/?#\\]*)(.*)", re.DOTALL)  # scheme, authority, the rest
_DEFAULT_PORTS = {"https": ":443", "http": ":80"}

_BY_THIRD_PARTIES = frozenset({"iss", "login_hint", "target_link_uri"})
FRAGMENT_KEPT = "fragment=kept"

_OURS = ("provider", "return_to", "step_up", "iss", "target_link_uri", "fragment")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginRequest:
    """A sign-in that may begin. `parameters` are for the authorization request."""

    provider: Provider
    return_to: str
    parameters: dict[str, str]
    step_up: StepUp | None
    fragment_kept: bool

    @property
    def silent(self) -> bool:
        """Whether the provider is to answer without asking the user anything (OpenID Connect Core section 3.1.2.1)."""
        return self.parameters.get("prompt") == "none"


def login_request(gateway: Gateway, head: RequestHead) -> LoginRequest:
    """The sign-in that this request asks for.

    Raises:
        MalformedRequest: no such provider, a way back that leads elsewhere, a value that the provider's list lacks,
            or a `step_up` that is no ticket of ours.
    """
    asked = query.parameters(head, once=_OURS)
    provider = _provider(gateway, asked)
    ticket = asked.get("step_up")
    return LoginRequest(
        provider=provider,
        return_to=_return_to(gateway, asked),
        parameters=_parameters(provider, head),
        fragment_kept=asked.get("fragment") == "kept",
        step_up=None if ticket is None else step_up.of_ticket(gateway.signer, ticket, provider=provider.name),
    )


async def posted_login(gateway: Gateway, head: RequestHead, receive: Receive) -> OwnAnswer:
    """`POST /login`: the form of a third party, answered with a redirect to `GET`, which judges it (Core section 4).

    Raises:
        MalformedRequest: no form, or a parameter that is given twice.
    """
    if media_type(content_type(head)) != CONTENT_TYPE:
        raise MalformedRequest(f"Send {CONTENT_TYPE}.")
    try:
        values = decode_once(await bounded_content(receive), names=_BY_THIRD_PARTIES)
    except ValueError as error:
        raise MalformedRequest("The form cannot be read, or gives a parameter twice.") from error
    if "iss" not in values:
        raise MalformedRequest("A sign-in that is posted names its issuer: iss is missing.")
    return redirect(f"{head.path.decode('ascii')}?{urlencode(values)}", https=gateway.site.https)


def _provider(gateway: Gateway, asked: dict[str, str]) -> Provider:
    name, issuer = asked.get("provider"), asked.get("iss")
    if issuer is None:
        return gateway.provider(name)
    for provider in gateway.providers.values():  # several may have one issuer: the policies of an Azure AD B2C tenant
        config = provider.config
        accepted = accepts(issuer, template=config.issuer, allowed_tenants=config.allowed_tenants or ())
        if accepted and name in {None, provider.name}:
            return provider
    raise MalformedRequest("iss names no provider of this gateway, or another one than provider does.")


def _return_to(gateway: Gateway, asked: dict[str, str]) -> str:
    target = asked.get("target_link_uri")
    if target is None or "return_to" in asked:
        return guards.local_path(asked.get("return_to", "/"))
    return guards.local_path(_own_path(target, origin=gateway.site.origin))


def _own_path(target: str, *, origin: str) -> str:
    """What follows our origin in this URL. Schemes and hosts are compared in lower case, and a default port is none (RFC 6454)."""
    # Core section 4: "RPs MUST verify the value of the target_link_uri to prevent being used as an open redirector"
    found = _ABSOLUTE_URL.fullmatch(target)
    if found is not None:
        scheme, authority = found[1].lower(), found[2].lower()
        if f"{scheme}://{authority.removesuffix(_DEFAULT_PORTS.get(scheme, ''))}" == origin:
            return found[3] if found[3].startswith("/") else f"/{found[3]}"
    raise MalformedRequest(f"target_link_uri must be a URL of {origin}.")


def _parameters(provider: Provider, head: RequestHead) -> dict[str, str]:
    listed = provider.config.login_params
    if not listed:
        return {}
    asked = query.parameters(head, once=tuple(listed))
    found = {name: asked[name] for name in listed if asked.get(name)}
    for name, value in found.items():
        if len(value) > LONGEST_LOGIN_VALUE:
            raise MalformedRequest(f"{name} is longer than {LONGEST_LOGIN_VALUE} characters.")
        if listed[name] != ANY and value not in listed[name]:
            raise MalformedRequest(f"{name} has a value that `login_params` of this provider does not list.")
    return found
