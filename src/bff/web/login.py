"""Sign-in: `GET /login` sends the browser to the provider, `GET /callback/{provider}` takes it back (RFC 6749 section 4.1).

What protects it, in the order of the recipes: only a navigation of the whole window may start it; a transaction is named by state
and browser together, so another browser cannot even find it, and is taken out once; the response's `iss` is judged before anything
else in it; the code is redeemed once; no token is used before signature, issuer, audience, nonce and time of the ID token were
checked; the session gets a new id.
"""

from bff.errors import BffError, CallbackRefused, ProviderRefused
from bff.oauth import authorization, pkce
from bff.oauth.id_token import IdToken, check_id_token
from bff.oauth.metadata import ProviderMetadata
from bff.oauth.tokens import TokenResponse
from bff.provider.client import Provider
from bff.request_head import RequestHead
from bff.sessions.model import Grant, LoginTransaction, transaction_key
from bff.telemetry import sign_in as telemetry
from bff.tokens import grants
from bff.tokens.sign_in import keep_sign_in
from bff.web import cookies, guards, navigation, query
from bff.web.answers import OwnAnswer, redirect, set_cookie
from bff.web.gateway import Gateway
from bff.web.problems import SignInFailed
from bff.web.route_policy import sign_in_target, user_targets

TRANSACTION_LIFETIME_SECONDS = 600.0


async def login(gateway: Gateway, head: RequestHead) -> OwnAnswer:
    """`GET /login?provider=&return_to=`: everything else in the query is ignored and sent nowhere (R-043).

    Raises:
        MalformedRequest: no such provider, or `return_to` leads elsewhere.
        CsrfRefused: not a navigation of the whole window.
        ProviderError, StoreUnavailable: cannot begin now.
    """
    guards.top_level(head)
    asked = query.parameters(head, once=("provider", "return_to"))
    return_to = guards.local_path(asked.get("return_to", "/"))
    provider = gateway.provider(asked.get("provider"))
    if navigation.must_click(gateway, head, return_to=return_to):
        return navigation.lead_on(gateway, head, at_once=False)
    if navigation.must_bounce(head):
        return navigation.lead_on(gateway, head, at_once=True)
    known = await provider.metadata()
    live = await guards.session(gateway, head, touch=False)
    browser_id = _browser_id(gateway, head) or cookies.new_browser_id()
    state = authorization.new_state()
    transaction = LoginTransaction(
        provider=provider.name,
        issuer=known.issuer,
        redirect_uri=provider.redirect_uri,
        return_to=return_to,
        nonce=authorization.new_nonce(),
        code_verifier=pkce.new_code_verifier(),
        session_key=live.session.key if live else None,
        created_at=gateway.process.clock(),
    )
    url = _authorization_request(gateway, provider, known, transaction, state=state)
    await gateway.process.store.put_transaction(
        transaction_key(browser_id=browser_id, state=state),
        transaction,
        lifetime_seconds=TRANSACTION_LIFETIME_SECONDS,
        now=gateway.process.clock(),
    )
    telemetry.login_started(provider=provider.name)
    cookie = cookies.set_login(gateway.signer.sign(cookies.LOGIN_NAME, browser_id))
    return redirect(url, https=gateway.site.https, more=(set_cookie(cookie),))


def _authorization_request(
    gateway: Gateway, provider: Provider, known: ProviderMetadata, transaction: LoginTransaction, *, state: str
) -> str:
    return authorization.build_authorization_request(
        metadata=known,
        provider=provider.name,
        client_id=provider.config.client_id,
        redirect_uri=transaction.redirect_uri,
        scope=provider.config.scope,
        state=state,
        nonce=transaction.nonce,
        code_challenge=pkce.code_challenge(transaction.code_verifier),
        resources=_resources(gateway, provider),
        max_age=provider.config.max_age,
        acr_values=provider.config.acr_values,
        extra=provider.config.authorization_params,
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
        parameters = authorization.parse_callback_query(head.query)
        known = await provider.metadata()
        transaction = await _take_transaction(gateway, provider, head, state=parameters.state)
        return_to = transaction.return_to
        session_id = await _complete(gateway, provider, transaction, parameters, known)
    except BffError as error:
        telemetry.login_declined(error, provider=provider.name)
        raise SignInFailed(error, provider=provider.name, return_to=return_to) from error
    telemetry.login_completed(provider=provider.name)
    cookie = cookies.set_session(gateway.signer.sign(cookies.SESSION_NAME, session_id))
    return navigation.way_back(gateway, head, return_to, more=(set_cookie(cookie),))


async def _complete(
    gateway: Gateway,
    provider: Provider,
    transaction: LoginTransaction,
    parameters: authorization.CallbackParameters,
    known: ProviderMetadata,
) -> str:
    """The id of the session that this sign-in makes."""
    code = _judge_response(parameters, provider, transaction, iss_supported=known.iss_parameter_supported)
    tokens = await _redeem(gateway, provider, transaction, code)
    id_token = await _checked_id_token(gateway, provider, transaction, tokens)
    grant = await _grant(gateway, provider, transaction, tokens, id_token)
    return await keep_sign_in(
        gateway.process.store,
        grant=grant,
        previous_key=transaction.session_key,
        absolute_timeout_seconds=gateway.config.session.absolute_timeout,
        now=gateway.process.clock(),
    )


async def _take_transaction(
    gateway: Gateway, provider: Provider, head: RequestHead, *, state: str | None
) -> LoginTransaction:
    """The transaction that this browser began with this state at this provider; it can be taken once."""
    browser_id = _browser_id(gateway, head)
    if browser_id is None or state is None:
        reason = "state_missing" if state is None else "browser_unknown"
        raise CallbackRefused(
            "This sign-in did not begin in this browser, or not recently. Sign in again.", reason=reason
        )
    key = transaction_key(browser_id=browser_id, state=state)
    transaction = await gateway.process.store.take_transaction(key, now=gateway.process.clock())
    if transaction is None:
        raise CallbackRefused("This sign-in is unknown, over or already used. Sign in again.", reason="state_unknown")
    if (transaction.provider, transaction.issuer) != (provider.name, provider.config.issuer):  # RFC 9700 section 4.4.2
        raise CallbackRefused("This sign-in began at another provider. Sign in again.", reason="provider_mismatch")
    return transaction


def _judge_response(
    parameters: authorization.CallbackParameters,
    provider: Provider,
    transaction: LoginTransaction,
    *,
    iss_supported: bool,
) -> authorization.AuthorizationCode:
    try:
        return authorization.parse_authorization_response(
            parameters,
            provider=provider.name,
            issuer=transaction.issuer,
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
            redirect_uri=transaction.redirect_uri,
            resource=sign_in_target(gateway.config, provider.name).resource,
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
        issuer=transaction.issuer,
        client_id=provider.config.client_id,
        nonce=transaction.nonce,
        access_token=tokens.access_token,
        now=gateway.process.clock(),
        leeway=provider.config.leeway,
        max_age=provider.config.max_age,
        acr_values=provider.config.acr_values,
    )


async def _grant(
    gateway: Gateway, provider: Provider, transaction: LoginTransaction, tokens: TokenResponse, id_token: IdToken | None
) -> Grant:
    userinfo: dict[str, object] = {}
    if provider.config.userinfo and id_token is not None:
        userinfo = await provider.userinfo(tokens.access_token, subject=id_token.subject)
    return grants.granted(
        tokens,
        provider=provider.name,
        issuer=transaction.issuer,
        target=sign_in_target(gateway.config, provider.name),
        id_token=id_token,
        userinfo=userinfo,
        now=gateway.process.clock(),
    )


def _browser_id(gateway: Gateway, head: RequestHead) -> str | None:
    cookie = cookies.find(head.named.get(b"cookie"), cookies.LOGIN_NAME)
    return gateway.signer.verify(cookies.LOGIN_NAME, cookie) if cookie else None


def _resources(gateway: Gateway, provider: Provider) -> tuple[str, ...]:
    targets = user_targets(gateway.config, provider.name)
    return tuple(dict.fromkeys(target.resource for target in targets if target.resource is not None))
