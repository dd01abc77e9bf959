"""A provider or store that does not answer as it should: what a command prints, in one line."""

from bff.errors import BffError, ProviderError, ProviderRefused, ProviderUnavailable, StoreUnavailable
from bff.telemetry.remedies import REMEDIES

_ADVICE = {
    "invalid_client": "compare client_id, client_secret and client_auth with what is registered at the provider",
    "unauthorized_client": "let the client use this grant type at the provider",
    "invalid_scope": "compare `scope` with what the provider lets this client ask for",
    "invalid_target": "compare `resource` and `audience` with the APIs that the provider knows",
}


def described(error: BffError) -> str:
    """The error, the cause of a missing answer, and what to do about it.

    A cause without an answer cannot quote one. The provider's name is left out: the line begins with it.
    """
    said = str(error).removeprefix(f"provider {error.provider}: ") if isinstance(error, ProviderError) else str(error)
    advice = _ADVICE.get(error.error) if isinstance(error, ProviderRefused) else None
    if isinstance(error, StoreUnavailable | ProviderUnavailable):
        cause = str(error.__cause__ or "").partition("<")[0].rstrip(" :.")  # redis-py shows its objects' insides
        said = f"{said}: {cause}" if cause else said
        advice = REMEDIES.get(error.reason or "")
    return f"{said}; {advice}" if advice else said
