"""`GET /login` sends the browser to the provider (RFC 6749 section 4.1.1); `callback.py` takes it back.

Only a navigation of the whole window may start a sign-in. What the callback needs travels sealed and bound to this browser and this
provider (`transactions.py`).
"""

from collections.abc import Mapping
from dataclasses import replace

from bff.errors import BffError, ProviderError, SecretUnavailable, StoreUnavailable
from bff.oauth import authorization, pkce
from bff.oauth.form import Fields
from bff.provider.client import Provider
from bff.request_head import RequestHead
from bff.sessions.logins import BrowserLogins, LoginTransaction
from bff.telemetry import sign_in as telemetry
from bff.web import guards, navigation, transactions
from bff.web.answers import OwnAnswer, redirect
from bff.web.gateway import Gateway
from bff.web.login_request import FRAGMENT_KEPT, LoginRequest, login_request
from bff.web.problems import SignInFailed
from bff.web.route_policy import user_targets


async def login(gateway: Gateway, head: RequestHead) -> OwnAnswer:
    """`GET /login?provider=&return_to=&step_up=`: what else may be in the query says `login_request.py`.

    Raises:
        MalformedRequest: the query asks for what is not to be had.
        CsrfRefused: not a navigation of the whole window.
        SignInFailed: in one of the next; a page of the app says so.
        ProviderError, SecretUnavailable, StoreUnavailable: cannot begin now.
    """
    guards.top_level(head)
    asked = login_request(gateway, head)
    return_to = asked.return_to
    if navigation.must_click(gateway, head, return_to=return_to):
        return navigation.lead_on_to_sign_in(gateway, head, at_once=False, return_to=return_to)
    if navigation.must_bounce(head, session_cookie=gateway.cookies.session):
        return navigation.lead_on_to_sign_in(gateway, head, at_once=True, return_to=return_to)
    if navigation.may_have_fragment(gateway, head, return_to=return_to) and not asked.fragment_kept:
        return navigation.lead_on_to_sign_in(gateway, head, at_once=True, return_to=return_to, more=f"&{FRAGMENT_KEPT}")
    try:
        answer = await _begun(gateway, head, asked)
    except (ProviderError, SecretUnavailable, StoreUnavailable) as error:
        return _not_begun(gateway, head, asked, error)
    telemetry.login_started(provider=asked.provider.name)
    return answer


async def _begun(gateway: Gateway, head: RequestHead, asked: LoginRequest) -> OwnAnswer:
    provider, return_to = asked.provider, asked.return_to
    live = await guards.session(gateway, head, touch=False)
    browser = await transactions.beginning_browser(gateway, head)
    browser = replace(browser, session_key=live.session.key if live else None)
    transaction = await transactions.begin(gateway, provider, browser, return_to=return_to, step_up=asked.step_up)
    transaction = replace(transaction, silent=asked.silent)
    browser = browser.keeping(transaction, return_to=return_to, parameters=asked.parameters)
    return await to_provider(gateway, provider, head, browser, transaction, more=asked.parameters)


def _not_begun(gateway: Gateway, head: RequestHead, asked: LoginRequest, error: BffError) -> OwnAnswer:
    """Where a sign-in that cannot begin leads: back, if it was to be silent, or to the app's own page (`pages.sign_in_error`).

    That page may begin another one at once, which no click at the provider slows down: the third within a minute ends on a page of
    ours (R-301).

    Raises:
        SignInFailed: the app has such a page.
        BffError: it has none, or this goes round.
    """
    if navigation.goes_round(gateway, head):
        raise error
    marked = (navigation.mark_of_round(gateway, head),)
    if asked.silent:
        telemetry.login_declined(error, provider=asked.provider.name)
        return redirect(asked.return_to, https=gateway.site.https, more=marked)
    if gateway.config.pages.sign_in_error is None:
        raise error
    raise SignInFailed(error, provider=asked.provider.name, return_to=asked.return_to, more=marked) from error


async def to_provider(
    gateway: Gateway,
    provider: Provider,
    head: RequestHead,
    browser: BrowserLogins,
    transaction: LoginTransaction,
    *,
    more: Mapping[str, str],
) -> OwnAnswer:
    """The answer that sends the browser to the provider with this transaction; `more` is what a page may add (`login_params`)."""
    url = await provider.authorization_url(
        _authorization_parameters(gateway, provider, transaction, more=more),
        dpop_seed=dpop_seed(provider, transaction),
    )
    if provider.metadata_are_due and not gateway.process.tasks.stopping:
        gateway.process.tasks.start(provider.renew_metadata())
    return redirect(url, https=gateway.site.https, more=transactions.kept_by_browser(gateway, head, browser))


def dpop_seed(provider: Provider, transaction: LoginTransaction) -> str | None:
    """Of the key that binds the tokens of this sign-in, where the provider is to bind them (RFC 9449)."""
    return transaction.dpop_seed if provider.config.dpop == "on" else None


def _authorization_parameters(
    gateway: Gateway, provider: Provider, transaction: LoginTransaction, *, more: Mapping[str, str]
) -> Fields:
    return authorization.authorization_parameters(
        client_id=provider.config.client_id,
        redirect_uri=provider.redirect_uri,
        scope=provider.config.scope,
        state=transactions.state_of(gateway, transaction),
        nonce=transaction.nonce,
        code_challenge=pkce.code_challenge(transaction.code_verifier),
        resources=_resources(gateway, provider),
        max_age=max_age(provider, transaction),
        acr_values=acr_values(provider, transaction),
        extra={**provider.config.authorization_params, **more},
        response_mode=provider.config.response_mode,
    )


def max_age(provider: Provider, transaction: LoginTransaction) -> float | None:
    """The most recent authentication that is asked for: by the provider's configuration, or by a step-up."""
    asked = (provider.config.max_age, transaction.step_up.max_age_seconds if transaction.step_up else None)
    return min((max_age for max_age in asked if max_age is not None), default=None)


def acr_values(provider: Provider, transaction: LoginTransaction) -> tuple[str, ...]:
    """A step-up names what it needs; without one, what the provider's configuration asks of every sign-in."""
    return (transaction.step_up.acr_values if transaction.step_up else ()) or provider.config.acr_values


def _resources(gateway: Gateway, provider: Provider) -> tuple[str, ...]:
    targets = user_targets(gateway.config, provider.name)
    return tuple(dict.fromkeys(target.resource for target in targets if target.resource is not None))
