"""`POST /callback/{provider}`: an authorization response as a form (`response_mode: form_post`), for providers that insist.

The form comes from a page of the provider, so browsers send no cookie of ours with it that is not `SameSite=None`, and we have
none. The answer is a redirect to `GET` of the same path: a navigation, which carries the Lax login cookie, and is judged there like
any other callback. In between the response travels in the query, sealed: codes and names do not get into histories and logs, and the
query is only what came by POST. The seal proves nothing about the sender: as with `GET`, anyone can post a form (R-062).

Apple sends the user's name in this form, at the first sign-in only, and nowhere else. It is not signed: the user can change
it, so it makes claims to greet a person with and is never believed over an ID token or UserInfo.
"""

from dataclasses import replace
from urllib.parse import urlencode

from bff.errors import CallbackRefused, MethodNotAllowed
from bff.oauth import strict_json
from bff.oauth.authorization import CallbackParameters, parse_callback_query
from bff.oauth.form import CONTENT_TYPE, RepeatedParameter, decode_once
from bff.oauth.messages import media_type
from bff.provider.client import Provider
from bff.proxy.browser import Receive
from bff.request_head import RequestHead
from bff.telemetry import sign_in as telemetry
from bff.web import transactions
from bff.web.answers import OwnAnswer, redirect
from bff.web.content import bounded_content, content_type
from bff.web.gateway import Gateway
from bff.web.problems import SignInFailed

LONGEST_RESPONSE = 8192  # bytes, in a request target that may have 16 KiB
LONGEST_NAME = 255

_KEPT = frozenset({"state", "code", "iss", "error", "user"})
_SEALED = "response"


async def posted_callback(gateway: Gateway, head: RequestHead, name: str, receive: Receive) -> OwnAnswer:
    """Take the form, and send the browser to `GET /callback/{provider}` with it.

    Raises:
        MethodNotAllowed: this provider answers in the query.
        SignInFailed: in CallbackRefused, `malformed` or `repeated_parameter`.
    """
    provider = gateway.provider(name)
    if provider.config.response_mode != "form_post":
        raise MethodNotAllowed("This provider answers by GET.", allow="GET, HEAD")
    try:
        response = _kept(await bounded_content(receive), content_type(head))
    except CallbackRefused as refused:
        telemetry.login_declined(refused, provider=provider.name)
        raise SignInFailed(refused, provider=provider.name, return_to="/") from refused
    sealed = transactions.sealed(gateway, _kind(provider), response)
    return redirect(f"{head.path.decode('ascii')}?{_SEALED}={sealed}", https=gateway.site.https)


def callback_parameters(gateway: Gateway, provider: Provider, head: RequestHead) -> CallbackParameters:
    """The authorization response of a callback: the one that a form brought, or the one in the query.

    Raises:
        CallbackRefused: `malformed` (or not sealed here, for this provider) or `repeated_parameter`.
    """
    form = _posted(gateway, provider, head) if provider.config.response_mode == "form_post" else None
    if form is None:
        return parse_callback_query(head.query)
    return replace(parse_callback_query(form), user=decode_once(form, names=frozenset({"user"})).get("user"))


def name_of(user: str | None) -> dict[str, object]:
    """`given_name`, `family_name` and `name` from Apple's `user` parameter; empty where there is none, or anything odd in it."""
    try:
        parts = strict_json.parse_object((user or "{}").encode()).get("name")
    except ValueError:
        return {}
    if not isinstance(parts, dict):
        return {}
    given, family = _text(parts.get("firstName")), _text(parts.get("lastName"))
    said = {"given_name": given, "family_name": family, "name": f"{given} {family}".strip()}
    return {claim: value for claim, value in said.items() if value}


def _posted(gateway: Gateway, provider: Provider, head: RequestHead) -> bytes | None:
    """The form that this redirect of ours carries; None if it carries none."""
    try:
        sealed = decode_once(head.query, names=frozenset({_SEALED})).get(_SEALED)
    except ValueError:
        sealed = ""
    if sealed is None:
        return None
    form = transactions.unsealed(gateway, _kind(provider), sealed.encode())
    if form is None:
        raise CallbackRefused("The provider's answer is damaged. Sign in again.", reason="malformed")
    return form


def _kept(content: bytes, kind: str) -> bytes:
    if media_type(kind) != CONTENT_TYPE:
        raise CallbackRefused("The provider's answer is no form. Sign in again.", reason="malformed")
    try:
        values = decode_once(content, names=_KEPT)
    except RepeatedParameter as error:
        raise CallbackRefused(f"{error.name} is given more than once.", reason="repeated_parameter") from None
    except ValueError:
        raise CallbackRefused("A parameter is not UTF-8.", reason="malformed") from None
    response = urlencode(values).encode("ascii")
    if len(response) > LONGEST_RESPONSE:
        raise CallbackRefused("The provider's answer is too long.", reason="malformed")
    return response


def _kind(provider: Provider) -> bytes:
    return b"form of %b" % provider.name.encode("ascii")


def _text(value: object) -> str:
    usable = isinstance(value, str) and len(value) <= LONGEST_NAME and value.isprintable()
    return str(value).strip() if usable else ""
