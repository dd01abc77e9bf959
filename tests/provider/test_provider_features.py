"""bff.provider.features: what the metadata does not offer, and the configuration relies on."""

from typing import Any

import pytest

from bff.oauth.metadata import ProviderMetadata
from bff.provider.features import unsupported
from support.fake_internet import provider_config


def missing(known: dict[str, Any], **config: Any) -> str | None:
    """What is missing with this metadata and configuration."""
    metadata = ProviderMetadata(issuer="https://p", token_endpoint="https://p/token", **known)
    return unsupported(provider_config("https://p", **config), metadata)


@pytest.mark.parametrize(
    ("known", "config", "named"),
    [
        ({}, {}, None),
        ({}, {"client_auth": "private_key_jwt"}, None),
        (
            {"token_endpoint_auth_methods": ("client_secret_post",)},
            {"client_auth": "private_key_jwt"},
            "private_key_jwt",
        ),
        ({"token_endpoint_auth_methods": ("private_key_jwt",)}, {"client_auth": "client_assertion"}, None),
        ({"token_endpoint_auth_methods": ("client_secret_post",)}, {"client_auth": "client_secret_post"}, None),
        ({}, {"dpop": "on"}, "dpop_signing_alg_values_supported"),
        ({"dpop_signing_algorithms": ("RS256",)}, {"dpop": "on"}, "ES256"),
        ({"dpop_signing_algorithms": ("RS256", "ES256")}, {"dpop": "on"}, None),
        ({}, {"par": "required"}, "pushed_authorization_request_endpoint"),
        ({"pushed_authorization_request_endpoint": "https://p/par"}, {"par": "required"}, None),
        ({"requires_pushed_requests": True}, {}, "pushed_authorization_request_endpoint"),
        ({"requires_pushed_requests": True}, {"par": "off"}, "`par: off`"),
        (
            {"requires_pushed_requests": True, "pushed_authorization_request_endpoint": "https://p/par"},
            {"par": "off"},
            "`par: off`",
        ),
        ({"requires_pushed_requests": True, "pushed_authorization_request_endpoint": "https://p/par"}, {}, None),
    ],
)
def test_what_is_missing_is_named(known: dict[str, Any], config: dict[str, Any], named: str | None) -> None:
    """The name that the metadata would have it under, or nothing."""
    found = missing(known, **config)
    assert (found is None) == (named is None)
    assert named is None or named in str(found)
