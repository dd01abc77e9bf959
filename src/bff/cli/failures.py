"""A provider or store that does not answer as it should: what a command prints, in one line."""

from bff.errors import BffError, ProviderError, ProviderUnavailable, StoreUnavailable
from bff.telemetry.remedies import REMEDIES, reason_of


def described(error: BffError) -> str:
    """The error, the cause of a missing answer, and what to do about it.

    A cause without an answer cannot quote one. The provider's name is left out: the line begins with it.
    """
    said = str(error).removeprefix(f"provider {error.provider}: ") if isinstance(error, ProviderError) else str(error)
    if isinstance(error, StoreUnavailable | ProviderUnavailable):
        cause = str(error.__cause__ or "").partition("<")[0].rstrip(" :.")  # redis-py shows its objects' insides
        said = f"{said}: {cause}" if cause else said
    remedy = REMEDIES.get(reason_of(error) or "")
    return f"{said}; {remedy}" if remedy else said
