"""What a configuration relies on and the provider's metadata does not offer. Pure; for `bff check --online`."""

from bff.config.model import ProviderConfig
from bff.oauth import dpop
from bff.oauth.metadata import ProviderMetadata
from bff.signing_key import SEEDED

# By what name the metadata lists it, where that is another than ours: an assertion of a workload is one by a private key.
_LISTED_AS = {"client_assertion": "private_key_jwt"}


def unsupported(config: ProviderConfig, known: ProviderMetadata) -> str | None:
    """The first of them, in words; None: nothing is missing. A list that the metadata leaves out says nothing, but for DPoP."""
    method = _LISTED_AS.get(config.client_auth or "", config.client_auth)
    listed = known.token_endpoint_auth_methods
    if method is not None and listed and method not in listed:
        return f"its metadata lists no {method} for `client_auth: {config.client_auth}`, but {', '.join(listed)}"
    proofs = known.dpop_signing_algorithms
    if config.dpop == "on" and (not proofs or dpop.algorithm(proofs) is None):
        ours = ", ".join(SEEDED)
        return f"its metadata lists none of {ours} in dpop_signing_alg_values_supported, which `dpop: on` needs"
    return _unpushable(config, known)


def _unpushable(config: ProviderConfig, known: ProviderMetadata) -> str | None:
    if config.par == "off" and known.requires_pushed_requests:
        return (
            "its metadata has require_pushed_authorization_requests, and `par: off` sends requests through the browser"
        )
    pushes = config.par == "required" or (config.par == "auto" and known.requires_pushed_requests)
    if pushes and known.pushed_authorization_request_endpoint is None:
        why = "`par: required`" if config.par == "required" else "its require_pushed_authorization_requests"
        return f"its metadata has no pushed_authorization_request_endpoint, which {why} needs"
    return None
