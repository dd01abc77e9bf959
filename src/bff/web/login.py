"""Sign-in: `GET /login` sends the browser to the provider, `GET /callback/{provider}` takes it back (RFC 6749 section 4.1).

What protects it, in the order of the recipes: only a navigation of the whole window may start it; the transaction travels sealed,
is bound to browser and provider, and is used once (`transactions.py`); the response's `iss` is judged before anything else in it; the
code is redeemed once; no token is used before signature, issuer, audience, nonce and time of the ID token were checked; the session
gets a new id.
"""

from dataclasses import replace

from bff.errors import BffError, CallbackRefused, ProviderRefused
from bff.oauth import authorization, pkce
from bff.oauth.form import Fields
from bff.oauth.id_token import IdToken, check_id_token
from bff.oauth.tokens import TokenResponse
from bff.provider.client import Provider
from bff.request_head import Field, RequestHead
from bff.sessions.logins import BrowserLogins, LoginTransaction, new_browser
from bff.sessions.model import Grant, LiveSession, session_key
from bff.telemetry import sign_in as telemetry
from bff.tokens import grants
from bff.tokens.lease import lease
from bff.tokens.sign_in import keep_sign_in
from bff.web import form_post, guards, navigation, transactions
from bff.web.answers import OwnAnswer, redirect
from bff.web.gateway import Gateway
from bff.web.login_request import LoginRequest, login_request
from bff.web.problems import SignInFailed
from bff.web.route_policy import sign_in_target, user_targets


async def login(gateway: Gateway, head: RequestHead) -> OwnAnswer:
    """`GET /login?provider=&return_to=&step_up=`: what else may be in the query says `login_request.py`.

    Raises:
        MalformedRequest: the query asks for what is not to be had.
        CsrfRefused: not a navigation of the whole window.
        ProviderError, StoreUnavailable: cannot begin now.
    """
    guards.top_level(head)
    asked = login_request(gateway, head)
    provider = asked.provider
    if navigation.must_click(gateway, head, return_to=asked.return_to):
        return navigation.lead_on(gateway, head, at_once=False)
    if navigation.must_bounce(head, session_cookie=gateway.cookies.session):
        return navigation.lead_on(gateway, head, at_once=True)
    live = await guards.session(gateway, head, touch=False)
    browser = await _beginning_browser(gateway, head, live)
    transaction = transactions.begin(gateway, provider, browser, return_to=asked.return_to, step_up=asked.step_up)
    if transaction.return_to != asked.return_to:
        browser = browser.with_way_back(transaction, asked.return_to)
    url = await provider.authorization_url(
        _authorization_parameters(gateway, asked, transaction), dpop_seed=_dpop_seed(provider, transaction)
    )
    telemetry.login_started(provider=provider.name)
    return redirect(url, https=gateway.site.https, more=(transactions.kept_by_browser(gateway, browser),))


async def _beginning_browser(gateway: Gateway, head: RequestHead, live: LiveSession | None) -> BrowserLogins:
    """This browser's part of a sign-in that begins: under an id that no sign-in has renewed elsewhere (R-311)."""
    now = gateway.process.clock()
    browser = transactions.of_browser(gateway, head) or new_browser(now=now)
    if browser.is_old(now=now) or await transactions.session_after(gateway, browser.id) is not None:
        browser = browser.renewed(used=browser.id, now=now)
    return replace(browser, session_key=live.session.key if live else None)


def _dpop_seed(provider: Provider, transaction: LoginTransaction) -> str | None:
    """Of the key that binds the tokens of this sign-in, where the provider is to bind them (RFC 9449)."""
    return transaction.dpop_seed if provider.config.dpop == "on" else None


def _authorization_parameters(gateway: Gateway, asked: LoginRequest, transaction: LoginTransaction) -> Fields:
    provider = asked.provider
    return authorization.authorization_parameters(
        client_id=provider.config.client_id,
        redirect_uri=provider.redirect_uri,
        scope=provider.config.scope,
        state=transactions.state_of(gateway, transaction),
        nonce=transaction.nonce,
        code_challenge=pkce.code_challenge(transaction.code_verifier),
        resources=_resources(gateway, provider),
        max_age=_max_age(provider, transaction),
        acr_values=_acr_values(provider, transaction),
        extra={**provider.config.authorization_params, **asked.parameters},
        response_mode=provider.config.response_mode,
    )


async def callback(gateway: Gateway, head: RequestHead, name: str) -> OwnAnswer:
    """`GET /callback/{provider}`: the redirection endpoint.

    Raises:
        SignInFailed: in CallbackRefused, it is not the answer to a question of this browser; in ProviderError or StoreUnavailable,
            the sign-in could not be completed.
    """
    provider = gateway.provider(name)
    return_to = "/"
    try:
        parameters = form_post.callback_parameters(gateway, provider, head)
        browser = transactions.known_browser(gateway, head)
        transaction = transactions.opened(gateway, provider, browser, state=parameters.state)
        return_to = browser.way_back(transaction)
        cookies_to_set = await _complete(gateway, provider, parameters, browser, transaction)
    except BffError as error:
        telemetry.login_declined(error, provider=provider.name)
        raise SignInFailed(error, provider=provider.name, return_to=return_to) from error
    return navigation.way_back(gateway, head, return_to, more=cookies_to_set)


async def _complete(
    gateway: Gateway,
    provider: Provider,
    parameters: authorization.CallbackParameters,
    browser: BrowserLogins,
    transaction: LoginTransaction,
) -> tuple[Field, ...]:
    """The cookies of the session that this sign-in makes; none if it was made before."""
    known = await provider.metadata()
    if not await transactions.use(gateway, transaction):  # a second click: nothing is redeemed
        telemetry.login_repeated(provider=provider.name)
        return ()
    code = _judge_response(parameters, provider, iss_supported=known.iss_parameter_supported)
    tokens = await _redeem(gateway, provider, transaction, code)
    id_token = await _checked_id_token(gateway, provider, transaction, tokens)
    grant = await _grant(gateway, provider, tokens, id_token, said=form_post.name_of(parameters.user))
    return await _signed_in(gateway, transaction, browser, grant)


async def _signed_in(
    gateway: Gateway, transaction: LoginTransaction, browser: BrowserLogins, grant: Grant
) -> tuple[Field, ...]:
    """Keep the sign-in in the browser's session, and renew the login cookie. One at a time for each browser, so that sign-ins
    that end side by side keep each other's grants (R-305)."""
    store, now = gateway.process.store, gateway.process.clock()
    async with lease(store, f"sign-in {transaction.browser.hex()}"):
        session_id = await keep_sign_in(
            store,
            grant=grant,
            previous_key=await _current_session(gateway, transaction, browser),
            absolute_timeout_seconds=gateway.config.session.absolute_timeout,
            now=now,
        )
        renewed = await transactions.renew(
            gateway, browser, used=transaction.browser, session_key=session_key(session_id)
        )
    telemetry.login_completed(provider=grant.provider)
    cookie = gateway.cookies.set_session(gateway.signer.sign(gateway.cookies.session, session_id))
    return (cookie, transactions.kept_by_browser(gateway, renewed.without_way_back(transaction)))


async def _current_session(gateway: Gateway, transaction: LoginTransaction, browser: BrowserLogins) -> str | None:
    """The session that this browser has now: by its login cookie, or by a sign-in that has just ended in another tab."""
    for key in (browser.session_key, await transactions.session_after(gateway, transaction.browser)):
        live = key and await gateway.process.store.read(key, touch=False, now=gateway.process.clock())
        if live and any(
            map(gateway.gave, live.session.grants)
        ):  # not the session of another gateway on this host
            return key
    return None


def _judge_response(
    parameters: authorization.CallbackParameters, provider: Provider, *, iss_supported: bool
) -> authorization.AuthorizationCode:
    try:
        return authorization.parse_authorization_response(
            parameters,
            provider=provider.name,
            issuer=provider.config.issuer,
            iss_supported=iss_supported,
            unadvertised_iss=provider.config.unadvertised_iss,
        )
    except ProviderRefused as refused:
        raise CallbackRefused("The provider did not sign you in. Try again.", reason=refused.error) from refused


async def _redeem(
    gateway: Gateway, provider: Provider, transaction: LoginTransaction, code: authorization.AuthorizationCode
) -> TokenResponse:
    try:
        return await provider.exchange_code(
            code,
            code_verifier=transaction.code_verifier,
            redirect_uri=provider.redirect_uri,
            resource=sign_in_target(gateway.config, provider.name).resource,
            dpop_seed=_dpop_seed(provider, transaction),
        )
    except ProviderRefused as refused:
        if refused.error == "invalid_grant":
            raise CallbackRefused("The sign-in took too long. Sign in again.", reason="invalid_grant") from refused
        raise


async def _checked_id_token(
    gateway: Gateway, provider: Provider, transaction: LoginTransaction, tokens: TokenResponse
) -> IdToken | None:
    """The ID token after every check of OpenID Connect Core section 3.1.3.7; None for plain OAuth 2.0."""
    if "openid" not in provider.config.scope.split():
        return None
    if tokens.id_token is None:
        raise CallbackRefused("The provider sent no ID token.", reason="id_token_missing")
    return check_id_token(
        await provider.verify(tokens.id_token, types=("JWT",)),
        provider=provider.name,
        issuer=provider.config.issuer,
        client_id=provider.config.client_id,
        nonce=transaction.nonce,
        access_token=tokens.access_token,
        now=gateway.process.clock(),
        leeway=provider.config.leeway,
        max_age=_max_age(provider, transaction),
        acr_values=_acr_values(provider, transaction),
        allowed_tenants=provider.config.allowed_tenants or (),
        trusted_audiences=provider.config.trusted_audiences,
        insecure_no_nonce=provider.config.insecure_no_nonce,
    )


def _max_age(provider: Provider, transaction: LoginTransaction) -> float | None:
    """The most recent authentication that is asked for: by the provider's configuration, or by a step-up."""
    asked = (provider.config.max_age, transaction.step_up.max_age_seconds if transaction.step_up else None)
    return min((max_age for max_age in asked if max_age is not None), default=None)


def _acr_values(provider: Provider, transaction: LoginTransaction) -> tuple[str, ...]:
    """A step-up names what it needs; without one, what the provider's configuration asks of every sign-in."""
    return (transaction.step_up.acr_values if transaction.step_up else ()) or provider.config.acr_values


async def _grant(
    gateway: Gateway, provider: Provider, tokens: TokenResponse, id_token: IdToken | None, *, said: dict[str, object]
) -> Grant:
    """`said` is what an unsigned form says of the user: it gives way to all else."""
    subject, claims = await _who(provider, tokens, id_token)
    return grants.granted(
        tokens,
        provider=provider.name,
        issuer=id_token.issuer if id_token else provider.config.issuer,
        client_id=provider.config.client_id,
        target=sign_in_target(gateway.config, provider.name),
        id_token=id_token,
        userinfo={**said, **claims},
        subject=subject,
        now=gateway.process.clock(),
    )


async def _who(
    provider: Provider, tokens: TokenResponse, id_token: IdToken | None
) -> tuple[str | None, dict[str, object]]:
    """The subject, and what UserInfo says of it if it is asked: a provider without ID tokens says there who the user is."""
    subject = id_token.subject if id_token else None
    if not provider.config.userinfo:
        return subject, {}
    if subject is not None:
        return subject, await provider.userinfo(tokens.access_token, subject=subject, dpop_seed=tokens.dpop_seed)
    user = await provider.user(tokens.access_token, dpop_seed=tokens.dpop_seed)
    return user.subject, user.claims


def _resources(gateway: Gateway, provider: Provider) -> tuple[str, ...]:
    targets = user_targets(gateway.config, provider.name)
    return tuple(dict.fromkeys(target.resource for target in targets if target.resource is not None))
