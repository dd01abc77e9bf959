"""How an authorization request reaches the provider: in the browser's URL, signed, or pushed. Each step turns parameters into others.

parameters -> request_object: signed -> par -> the URL
"""

from functools import partial

from bff.clock import Clock
from bff.config.model import ProviderConfig
from bff.errors import ProviderMisbehaved
from bff.oauth import authorization, par, request_object
from bff.oauth.form import Fields
from bff.oauth.metadata import ProviderMetadata
from bff.provider.calls import AuthenticatedCalls
from bff.signing_key import SigningKey


async def authorization_url(
    parameters: Fields,
    *,
    known: ProviderMetadata,
    config: ProviderConfig,
    calls: AuthenticatedCalls,
    clock: Clock,
    key: SigningKey | None,
) -> str:
    """The URL that the browser is sent to. `key` binds what will be granted: a pushed request is proved with it.

    Raises:
        ProviderError: the request cannot be pushed, or there is no authorization endpoint.
        SecretUnavailable: no usable key or credential.
    """
    if key is not None:
        calls.check_proofs(known, key)
    pushes = config.par == "required" or (config.par == "auto" and known.requires_pushed_requests)
    if config.request_object == "signed":
        signed = _signed(parameters, known=known, calls=calls, now=clock())
        parameters = signed if pushes else (*request_object.outside_too(parameters), *signed)
    if pushes:
        parameters = await _pushed(parameters, known=known, calls=calls, key=key)
    return authorization.build_authorization_request(parameters, metadata=known, provider=calls.client.provider)


def _signed(parameters: Fields, *, known: ProviderMetadata, calls: AuthenticatedCalls, now: float) -> Fields:
    key = calls.credentials.signing_key()
    alg = key.algorithm(known.request_object_signing_algorithms)
    return request_object.signed_request(parameters, client=calls.client, key=key, alg=alg, now=now)


async def _pushed(
    parameters: Fields, *, known: ProviderMetadata, calls: AuthenticatedCalls, key: SigningKey | None
) -> Fields:
    provider, endpoint = calls.client.provider, known.pushed_authorization_request_endpoint
    if endpoint is None:
        raise ProviderMisbehaved("has no endpoint for pushed requests", provider=provider, reason="no_par_endpoint")
    pushed = await calls.call(
        partial(par.build_par_request, endpoint=endpoint, parameters=parameters),
        lambda response, _: par.parse_par_response(response, provider=provider),
        known=known,
        key=key,
    )
    return pushed.parameters(client_id=calls.client.client_id)
