"""What a running test publishes about itself [OIDCCGenerateServerConfiguration and its ...WithSessionManagement,
GenerateServerConfigurationMTLS]."""

from typing import Any

from support.suite_judge import Judge
from support.suite_module import Module

OF_LOGOUT = {"end_session_endpoint": "end_session_endpoint", "check_session_iframe": "check_session_iframe"}
FLAGS_OF_LOGOUT = [f"{way}channel_logout_{what}supported" for way in ("front", "back") for what in ("", "session_")]
WITHOUT_ALIASES = "-no-mtls-endpoint-aliases"
SIGNATURES = [
    *(family + bits for family in ("RS", "PS", "ES") for bits in ("256", "384", "512")),
    "ES256K",
    "EdDSA",
    "Ed448",
]
MACS = ["HS256", "HS384", "HS512"]
ENCRYPTED = {"alg": ["RSA-OAEP-256", "ECDH-ES", "A256KW", "dir"], "enc": ["A128CBC-HS256", "A256GCM"]}


def metadata(judge: Judge, *, jwks_path: str, module: Module, alg: str) -> dict[str, Any]:
    """The document; that of the logout plans alone has an end-session endpoint.

    Plain OAuth 2.0 has no keys, but in FAPI's edition `id2`.
    """
    base = judge.base
    openid = {"subject_types_supported": ["public"], "scopes_supported": ["openid"]}
    paths = {
        "authorization_endpoint": "authorize",
        "token_endpoint": "token",
        **({"jwks_uri": jwks_path} if judge.openid or judge.edition == "id2" else {}),
        "userinfo_endpoint": "userinfo",
        "registration_endpoint": "register",
        **(OF_LOGOUT if module.name.startswith("rp-") else {}),
        **({"pushed_authorization_request_endpoint": "par"} if judge.fapi else {}),
    }
    known = {"issuer": base, **{name: base + path for name, path in paths.items()}}
    return {
        **known,
        "token_endpoint_auth_methods_supported": [
            "tls_client_auth" if judge.client_auth == "mtls" else judge.client_auth
        ],
        **(
            _of_fapi(judge, alg=alg)
            if judge.fapi
            else _of_openid(judge, refreshes=module.name.startswith("refresh-token"))
        ),
        **(openid if judge.openid and judge.fapi else {}),
        **(dict.fromkeys(FLAGS_OF_LOGOUT, True) if module.name.startswith("rp-") else {}),
        **({name: judge.mtls + paths[name] for name in _moved(judge)} if module.name.endswith(WITHOUT_ALIASES) else {}),
    }


def _moved(judge: Judge) -> list[str]:
    """The endpoints that stand at the listener for certificates, where there are no aliases to say so."""
    paths = {"token": "token_endpoint", "par": "pushed_authorization_request_endpoint", "userinfo": "userinfo_endpoint"}
    return [name for path, name in paths.items() if path in judge.with_certificate]


def _of_openid(judge: Judge, *, refreshes: bool) -> dict[str, Any]:
    encrypted = {
        f"{what}_encryption_{part}_values_supported": values
        for what in ("id_token", "request_object", "userinfo")
        for part, values in ENCRYPTED.items()
    }
    return {
        **encrypted,
        "scopes_supported": ["openid", "phone", "profile", "email", "address", "offline_access"],
        "response_types_supported": [
            "code",
            "id_token code",
            "token code id_token",
            "id_token",
            "token id_token",
            "token",
        ],
        "response_modes_supported": ["query", "fragment", "form_post"],
        "token_endpoint_auth_signing_alg_values_supported": [*SIGNATURES, *MACS],
        "grant_types_supported": ["authorization_code", "implicit", *(["refresh_token"] if refreshes else [])],
        "claims_parameter_supported": True,
        "acr_values_supported": ["PASSWORD"],
        "subject_types_supported": ["public", "pairwise"],
        "claim_types_supported": ["normal", "aggregated", "distributed"],
        "claims_supported": ["sub", "name", "email", "email_verified"],
        "id_token_signing_alg_values_supported": ["none", *SIGNATURES],
        "request_object_signing_alg_values_supported": ["none", *SIGNATURES],
        "userinfo_signing_alg_values_supported": SIGNATURES,
        "request_parameter_supported": judge.request_type == "request_object",
    }


def _of_fapi(judge: Judge, *, alg: str) -> dict[str, Any]:
    mtls = judge.mtls
    by_proof = {"dpop_signing_alg_values_supported": ["PS256", "ES256", "EdDSA"]}
    by_certificate = {"tls_client_certificate_bound_access_tokens": True}
    return {
        **(by_proof if judge.dpop else by_certificate),
        "id_token_signing_alg_values_supported": [alg],
        "response_types_supported": ["code"],
        "require_pushed_authorization_requests": True,
        "authorization_response_iss_parameter_supported": True,
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_signing_alg_values_supported": ["PS256", "ES256", "EdDSA"],
        "mtls_endpoint_aliases": {
            "token_endpoint": mtls + "token",
            "pushed_authorization_request_endpoint": mtls + "par",
            "userinfo_endpoint": mtls + "userinfo",
            "registration_endpoint": mtls + "register",
        },
    }
