"""`GET /callback/{provider}` takes the browser back from the provider (RFC 6749 section 4.1.2) and signs it in.

What protects it, in the order of the recipe: the transaction is ours, of this browser and this provider, and not too old
(`transactions.py`); it is used once (`used_states.py`); the response's `iss` is judged before anything else in it; the code is
redeemed once; no token is used before signature, issuer, audience, nonce and time of the ID token were checked; the session gets a
new id.
"""

import asyncio
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, replace

from bff.errors import BffError, CallbackRefused, ProviderRefused, StoreUnavailable
from bff.oauth import authorization
from bff.oauth.id_token import IdToken, check_id_token
from bff.oauth.tokens import TokenResponse
from bff.provider.client import Provider
from bff.request_head import RequestHead
from bff.sessions import fates, sign_outs
from bff.sessions.logins import BrowserLogins, LoginTransaction
from bff.sessions.model import Grant, session_key
from bff.telemetry import sign_in as telemetry
from bff.tokens import grants
from bff.tokens.lease import lease
from bff.tokens.sign_in import keep_sign_in
from bff.web import form_post, login, navigation, transactions, used_states
from bff.web.answers import OwnAnswer
from bff.web.gateway import Gateway
from bff.web.problems import SignInFailed
from bff.web.route_policy import sign_in_target
from bff.web.who import user_of

# What providers answer where a person took too long, or came from another tab (Keycloak: `temporarily_unavailable` with
# `authentication_expired`; lua-resty-openidc#549).
BEGIN_AGAIN = frozenset({"temporarily_unavailable", "authentication_expired", "login_required"})

# What a provider answers to `prompt=none` where it would have to ask the user something (OpenID Connect Core section 3.1.2.6).
NOT_SILENTLY = frozenset({"login_required", "interaction_required", "account_selection_required", "consent_required"})

# What a token endpoint says of a code that was used before, or whose time has passed (RFC 6749 section 5.2); the second is GitHub's.
_CODE_IS_OVER = frozenset({"invalid_grant", "bad_verification_code"})

MAX_USER_AGENT = 256  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """A response that belongs to a transaction of this browser at this provider; nothing else in it is judged yet."""

    provider: Provider
    head: RequestHead
    parameters: authorization.CallbackParameters
    browser: BrowserLogins
    transaction: LoginTransaction

    @property
    def return_to(self) -> str:
        """Where the sign-in leads."""
        return self.browser.way_back(self.transaction)


async def callback(gateway: Gateway, head: RequestHead, name: str) -> OwnAnswer:
    """The redirection endpoint.

    Raises:
        SignInFailed: in CallbackRefused, it is not the answer to a question of this browser; in ProviderError or StoreUnavailable,
            the sign-in could not be completed.
    """
    provider = gateway.provider(name)
    call: Callback | None = None
    try:
        call = _belonging(gateway, provider, head)
        await _judge_age(gateway, call)
        return await asyncio.shield(_under_way(gateway, call))
    except BffError as error:
        if call is not None and call.transaction.silent:  # the person asked for nothing: the event alone tells of it
            return navigation.way_back(gateway, head, call.return_to, more=())
        return_to = "/" if call is None else call.return_to
        raise SignInFailed(error, provider=provider.name, return_to=return_to) from error


def _belonging(gateway: Gateway, provider: Provider, head: RequestHead) -> Callback:
    try:
        parameters = form_post.callback_parameters(gateway, provider, head)
        browser = transactions.known_browser(gateway, head)
        transaction = transactions.opened(gateway, provider, browser, state=parameters.state)
    except BffError as error:
        telemetry.login_declined(error, provider=provider.name)
        raise
    return Callback(provider=provider, head=head, parameters=parameters, browser=browser, transaction=transaction)


async def _judge_age(gateway: Gateway, call: Callback) -> None:
    """Judged when it is known where the sign-in was to lead: a person who was too slow comes back there by the next one."""
    try:
        await transactions.in_time(gateway, call.transaction)
    except BffError as error:
        telemetry.login_declined(error, provider=call.provider.name)
        raise


def _under_way(gateway: Gateway, call: Callback) -> asyncio.Task[OwnAnswer]:
    """The work for this transaction, begun now or by an earlier click at this worker (R-303); those of other workers wait in
    `used_states.one_at_a_time`.

    It belongs to the application and not to the request: a browser drops its first request at the second click, and the code that
    was sent can be sent no more.
    """
    sign_ins, name = gateway.process.sign_ins, call.transaction.name
    if name in sign_ins:
        telemetry.login_repeated(provider=call.provider.name)
        return sign_ins[name]
    sign_ins[name] = gateway.process.tasks.start(_judged(gateway, call))
    sign_ins[name].add_done_callback(lambda _: sign_ins.pop(name))
    return sign_ins[name]


async def _judged(gateway: Gateway, call: Callback) -> OwnAnswer:
    try:
        async with used_states.one_at_a_time(gateway, call.transaction):
            return await _complete(gateway, call)
    except BffError as error:
        telemetry.login_declined(error, provider=call.provider.name)
        raise


async def _complete(gateway: Gateway, call: Callback) -> OwnAnswer:
    known = await call.provider.metadata()
    if not await used_states.use(gateway, call.transaction):  # nothing is redeemed
        return await _repeated(gateway, call)
    try:
        code = _judge_response(call, iss_supported=known.iss_parameter_supported)
    except ProviderRefused as refused:
        return await _without_code(gateway, call, refused)
    sent_at = await gateway.process.shared_now()
    tokens = await _redeem(gateway, call.provider, call.transaction, code)
    id_token = await _checked_id_token(gateway, call.provider, call.transaction, tokens)
    grant = await _grant(gateway, call, tokens, id_token)
    ends_at = id_token.session_expiry if id_token else None
    return await _signed_in(gateway, call, grant, ends_at=ends_at, sent_at=sent_at)


async def _repeated(gateway: Gateway, call: Callback) -> OwnAnswer:
    """The way back once more, with the cookies of the session that the first answer gave, while that may not have arrived."""
    telemetry.login_repeated(provider=call.provider.name)
    async with _one_sign_in(gateway, call):
        session_id = await used_states.kept_session(gateway, call.transaction)
        if session_id is None:
            return navigation.way_back(gateway, call.head, call.return_to, more=())
        return await _with_session(gateway, call, session_id)


def _judge_response(call: Callback, *, iss_supported: bool) -> authorization.AuthorizationCode:
    return authorization.parse_authorization_response(
        call.parameters,
        provider=call.provider.name,
        issuer=call.provider.config.issuer,
        iss_supported=iss_supported,
        unadvertised_iss=call.provider.config.unadvertised_iss,
    )


async def _without_code(gateway: Gateway, call: Callback, refused: ProviderRefused) -> OwnAnswer:
    """The provider's error, in a response that is its own (R-055): begin again once where it wants that (R-304).

    A sign-in with `prompt=none` goes back after any error: the person has not asked for it, and a page would be in the way.
    """
    if call.transaction.silent and refused.error in NOT_SILENTLY:
        telemetry.login_not_silent(provider=call.provider.name, reason=refused.error)
        return navigation.way_back(gateway, call.head, call.return_to, more=())
    never_asks = call.provider.config.authorization_params.get("prompt") == "none"
    if refused.error not in BEGIN_AGAIN or call.transaction.begun_again or never_asks:
        detail = "The provider did not sign you in. Try again."
        declined = CallbackRefused(detail, reason=refused.error, by_provider=True)
        if not call.transaction.silent:
            raise declined from refused
        telemetry.login_declined(declined, provider=call.provider.name)
        return navigation.way_back(gateway, call.head, call.return_to, more=())
    telemetry.login_begun_again(provider=call.provider.name, reason=refused.error)
    browser = await transactions.beginning_browser(gateway, call.head)
    again = await transactions.begin(
        gateway, call.provider, browser, return_to=call.return_to, step_up=call.transaction.step_up
    )
    again = replace(again, begun_again=True, silent=call.transaction.silent)
    more = call.browser.parameters(call.transaction)
    browser = browser.keeping(again, return_to=call.return_to, parameters=more)
    return await login.to_provider(gateway, call.provider, call.head, browser, again, more=more)


async def _signed_in(
    gateway: Gateway, call: Callback, grant: Grant, *, ends_at: float | None, sent_at: float
) -> OwnAnswer:
    """Keep the sign-in in the browser's session, and renew the login cookie; unless the user signed out since the code was sent.

    One at a time for each browser: sign-ins that end side by side keep each other's grants (R-305).
    """
    store = gateway.process.store
    async with _one_sign_in(gateway, call):
        kept = await keep_sign_in(
            store,
            grant=grant,
            previous_key=await _current_session(gateway, call),
            absolute_timeout_seconds=gateway.config.session.absolute_timeout,
            now=gateway.process.clock(),
            ends_at=ends_at,
            user_agent=_user_agent(call.head),
        )
        gateway.revoke(kept.left_behind)
        answer = await _with_session(gateway, call, kept.session_id)
        await _judge_sign_outs(gateway, call, grant, kept.session_id, sent_at=sent_at)
        await used_states.keep_session(gateway, call.transaction, kept.session_id)
    telemetry.login_completed(provider=grant.provider)
    await _tell_of(gateway, session_key(kept.session_id))
    return answer


async def _judge_sign_outs(gateway: Gateway, call: Callback, grant: Grant, session_id: str, *, sent_at: float) -> None:
    """No sign-out came while the sign-in was under way: its session was not there to be ended (`sign_outs.py`, R-183, R-213).

    Raises:
        CallbackRefused: `signed_out`: one came, and the session is over.
        StoreUnavailable: that is not known.
    """
    store, now, key = gateway.process.store, gateway.process.clock(), session_key(session_id)
    here = await sign_outs.browser_since(store, call.transaction.browser, since=call.transaction.begun_at, now=now)
    if not here and not await sign_outs.user_since(store, grant, since=sent_at, now=now):
        return
    if await store.delete(key):
        await fates.ended(store, key, cause="signed_out", now=now)
    gateway.revoke([grant])
    raise CallbackRefused("You signed out while this sign-in was under way.", reason="signed_out")


def _one_sign_in(gateway: Gateway, call: Callback) -> AbstractAsyncContextManager[str]:
    """For the length of the block no other sign-in of this browser changes its session."""
    return lease(gateway.process.store, f"sign-in {call.transaction.browser.hex()}")


async def _with_session(gateway: Gateway, call: Callback, session_id: str) -> OwnAnswer:
    """The way back with the cookie of this session and a login cookie under a new id."""
    used, key = call.transaction.browser, session_key(session_id)
    browser = await transactions.renew(gateway, call.browser, used=used, session_key=key)
    settings = gateway.config.session
    session_cookie = gateway.cookies.set_session(
        gateway.signer.sign(gateway.cookies.session, session_id),
        seconds=settings.absolute_timeout if settings.persistent else None,
    )
    login_cookie = transactions.kept_by_browser(gateway, call.head, browser.without(call.transaction))
    more = (session_cookie, *login_cookie, *navigation.signed_out_no_more(gateway, call.head))
    return navigation.way_back(gateway, call.head, call.return_to, more=more)


async def _tell_of(gateway: Gateway, key: str) -> None:
    """Note when the session ends by itself, and who it is."""
    store, now = gateway.process.store, gateway.process.clock()
    with suppress(StoreUnavailable):  # the sign-in stands
        live = await store.read(key, touch=False, now=now)
        if live is not None:
            await fates.started(store, live.session, now=now, user=user_of(gateway, live))


def _user_agent(head: RequestHead) -> str | None:
    """What the browser calls itself, bounded: its user sees it in the list of sessions."""
    value = head.named.get(b"user-agent")
    return None if value is None else value[:MAX_USER_AGENT].decode("latin-1")


async def _current_session(gateway: Gateway, call: Callback) -> str | None:
    """The session that this browser has now: by its login cookie, or by a sign-in that has just ended in another tab."""
    for key in (call.browser.session_key, await transactions.session_after(gateway, call.transaction.browser)):
        live = key and await gateway.process.store.read(key, touch=False, now=gateway.process.clock())
        if live and any(map(gateway.gave, live.session.grants)):  # not one of another gateway on this host
            return key
    return None


async def _redeem(
    gateway: Gateway, provider: Provider, transaction: LoginTransaction, code: authorization.AuthorizationCode
) -> TokenResponse:
    try:
        return await provider.exchange_code(
            code,
            code_verifier=transaction.code_verifier,
            redirect_uri=provider.redirect_uri,
            resource=sign_in_target(gateway.config, provider.name).resource,
            dpop_seed=login.dpop_seed(provider, transaction),
        )
    except ProviderRefused as refused:
        if refused.error in _CODE_IS_OVER:
            raise CallbackRefused("The sign-in took too long. Sign in again.", reason=refused.error) from refused
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
        await provider.identity.verify(tokens.id_token, types=("JWT",)),
        provider=provider.name,
        issuer=provider.config.issuer,
        client_id=provider.config.client_id,
        nonce=transaction.nonce,
        access_token=tokens.access_token,
        now=gateway.process.clock(),
        leeway=provider.config.leeway,
        max_age=login.max_age(provider, transaction),
        acr_values=login.acr_values(provider, transaction),
        allowed_tenants=provider.config.allowed_tenants or (),
        trusted_audiences=provider.config.trusted_audiences,
        insecure_no_nonce=provider.config.insecure_no_nonce,
    )


async def _grant(gateway: Gateway, call: Callback, tokens: TokenResponse, id_token: IdToken | None) -> Grant:
    provider = call.provider
    subject, claims = await _who(provider, tokens, id_token)
    return grants.granted(
        tokens,
        provider=provider.name,
        issuer=id_token.issuer if id_token else provider.config.issuer,
        client_id=provider.config.client_id,
        target=sign_in_target(gateway.config, provider.name),
        id_token=id_token,
        userinfo={**form_post.name_of(call.parameters.user), **claims},
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
        return subject, await provider.identity.userinfo(
            tokens.access_token, subject=subject, dpop_seed=tokens.dpop_seed
        )
    user = await provider.identity.user(tokens.access_token, dpop_seed=tokens.dpop_seed)
    return user.subject, user.claims
