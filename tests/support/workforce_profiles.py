"""Profiles of hosted identity services: Microsoft, Okta, Auth0, Amazon, Ping, OneLogin."""

from joserfc.jwk import ECKey, RSAKey

from support.fake_provider import Answer, Json, Misbehaviour, having, oauth_error, without
from support.profiled_provider import Profile, all_of, endpoints

TENANT = "11111111-1111-1111-1111-111111111111"
WELL_KNOWN = "/.well-known/openid-configuration"


def microsoft_endpoints(tenant: str) -> dict[str, str]:
    """Version 2.0 endpoints; there is no revocation endpoint (Microsoft's OIDC protocol reference)."""
    v2 = "/oauth2/v2.0"
    return endpoints(
        base=f"/{tenant}",
        authorize=f"{v2}/authorize",
        token=f"{v2}/token",
        jwks="/discovery/v2.0/keys",
        logout=f"{v2}/logout",
    )


def keys_without_alg(jwks: Json) -> Json:
    """RFC 7517 section 4.4 makes `alg` optional; Microsoft and Ping leave it out."""
    return {"keys": [{name: value for name, value in key.items() if name != "alg"} for key in jwks["keys"]]}


def beside_others(jwks: Json) -> Json:
    """Keys of other kinds and uses stand before the one that signs."""
    others: list[ECKey | RSAKey] = [
        ECKey.generate_key("P-521", parameters={"kid": "ec", "use": "sig"}),
        RSAKey.generate_key(2048, parameters={"kid": "enc", "use": "enc"}),
    ]
    return {"keys": [*(key.as_dict(private=False) for key in others), *jwks["keys"]]}


def issued_before(claims: Json) -> Json:
    """Microsoft's `iat` and `nbf` lie five minutes back (its ID token reference)."""
    return {**claims, "iat": claims["iat"] - 300, "nbf": claims["iat"] - 300}


def no_token_without_api_scope(answer: Json) -> Json:
    """B2C gives an access token for a scope of an API or the client id only (MSAL-python #505, MSAL.java #140)."""
    standard = {"openid", "profile", "email", "offline_access"}
    return answer if set(answer["scope"].split()) - standard else without("access_token")(answer)


# A refresh that needs the user: an error of its own, with a suberror (ADAL-node #151, react-native-app-auth #309).
INTERACTION = Answer(
    status=400,
    body=b'{"error":"interaction_required","error_description":"AADSTS50076: ...","error_codes":[50076],'
    b'"suberror":"basic_action","claims":"{}"}',
)
# What Microsoft's products have in common: no `acr`, no `email_verified`, times in the past, keys without `alg`.
MICROSOFT = Misbehaviour(
    jwks=keys_without_alg,
    id_token_claims=all_of(
        issued_before, without("acr", "email_verified", "auth_time"), having(tid=TENANT, oid="o-1", ver="2.0")
    ),
)


WORKFORCE = (
    Profile(
        name="entra",
        recipe="Microsoft Entra ID",
        hosts=("login.microsoftonline.com",),
        issuer="/TENANT_ID/v2.0",
        endpoints=microsoft_endpoints("TENANT_ID"),
        metadata_path=f"/TENANT_ID/v2.0{WELL_KNOWN}",
        habits=MICROSOFT,
        refusal=INTERACTION,
        scopes=("openid", "profile", "email", "offline_access", "api://orders/access"),
        # `resource` is an error in v2.0 (AADSTS901002; AppAuth-iOS #264); prompt=consent fails where only administrators
        # may consent (aad-sso-wordpress #34).
        refuses=frozenset({"resource", "prompt"}),
        essential=("scope", "authorization_params"),
    ),
    Profile(
        name="entra-tenants",
        recipe="Microsoft Entra ID, several organizations",
        hosts=("login.microsoftonline.com",),
        issuer=f"/{TENANT}/v2.0",
        metadata_issuer="/{tenantid}/v2.0",  # braces in the metadata, the user's tenant in the token (panva/wellknown)
        endpoints=microsoft_endpoints("organizations"),
        metadata_path=f"/organizations/v2.0{WELL_KNOWN}",
        habits=MICROSOFT,
        refusal=INTERACTION,
        scopes=("openid", "profile", "email", "offline_access", "api://orders/access"),
        refuses=frozenset({"resource", "prompt"}),
        essential=("allowed_tenants", "authorization_params"),
    ),
    Profile(
        name="external-id",
        recipe="Microsoft Entra External ID",
        hosts=("TENANT_ID.ciamlogin.com", "shop.ciamlogin.com"),
        issuer="/TENANT_ID/v2.0",  # the issuer's host is the tenant's id, the metadata's its name (MSAL.js #8592)
        endpoints=microsoft_endpoints("TENANT_ID"),
        metadata_path=f"/shop.onmicrosoft.com/v2.0{WELL_KNOWN}",
        habits=MICROSOFT,
        refusal=INTERACTION,
        scopes=("openid", "profile", "email", "offline_access", "api://orders/access"),
        refuses=frozenset({"resource", "prompt"}),
        essential=("metadata_url", "authorization_params"),
    ),
    Profile(
        name="b2c",
        recipe="Azure AD B2C",
        hosts=("shop.b2clogin.com",),
        issuer="/TENANT_ID/v2.0/",  # with a slash; the metadata lies below the policy (Microsoft's B2C token overview)
        endpoints=microsoft_endpoints("shop.onmicrosoft.com/b2c_1_sign_in"),
        metadata_path=f"/shop.onmicrosoft.com/B2C_1_sign_in/v2.0{WELL_KNOWN}",
        habits=Misbehaviour(
            jwks=keys_without_alg,
            id_token_claims=all_of(
                without("acr", "sid", "email", "email_verified"), having(emails=["alice@example.com"])
            ),
            token_answer=no_token_without_api_scope,
        ),
        scopes=("openid", "offline_access", "00000000-0000-0000-0000-000000000000"),
        refuses=frozenset({"resource", "prompt"}),  # `login` is the only prompt that it knows
        shows=("emails",),
        denial={"error": "access_denied", "error_description": "AADB2C90091: The user has cancelled entering ..."},
        essential=("metadata_url", "scope", "authorization_params"),
    ),
    Profile(
        name="okta",
        recipe="Okta",
        hosts=("DOMAIN.okta.com",),
        issuer="/oauth2/default",
        endpoints=endpoints(
            base="/oauth2/default/v1",
            authorize="/authorize",
            token="/token",
            userinfo="/userinfo",
            jwks="/keys",
            revoke="/revoke",
            logout="/logout",
        ),
        metadata_path=f"/oauth2/default{WELL_KNOWN}",
        habits=Misbehaviour(rotate=False),  # persistent refresh tokens are a setting of the application (Okta's guide)
        unknown_scopes="refused",  # "One or more scopes are not configured for the authorization server resource"
        end_session_needs=("id_token_hint",),
        essential=("scope",),
    ),
    Profile(
        name="auth0",
        recipe="Auth0",
        hosts=("TENANT.eu.auth0.com",),
        issuer="/",
        endpoints={
            "authorization_endpoint": "/authorize",
            "token_endpoint": "/oauth/token",
            "userinfo_endpoint": "/userinfo",
            "jwks_uri": "/.well-known/jwks.json",
            "revocation_endpoint": "/oauth/revoke",
            "end_session_endpoint": "/oidc/logout",
        },
        hidden_endpoints=("end_session_endpoint",),  # unless the tenant switched it on (OpenIddict's list of habits)
        metadata_path=WELL_KNOWN,
        habits=Misbehaviour(rotate=False, id_token_claims=without("acr", "auth_time")),
        # A policy that asks for a second factor refuses refreshes so (auth0-react #501, nextjs-auth0 #2480).
        refusal=oauth_error("mfa_required", status=403, description="Multifactor authentication required"),
        essential=("scope", "end_session_endpoint"),
    ),
    Profile(
        name="cognito",
        recipe="Amazon Cognito",
        hosts=("cognito-idp.eu-central-1.amazonaws.com", "shop.auth.eu-central-1.amazoncognito.com"),
        issuer="/eu-central-1_POOL",
        endpoints={
            "authorization_endpoint": "/oauth2/authorize",
            "token_endpoint": "/oauth2/token",
            "userinfo_endpoint": "/oauth2/userInfo",
            "jwks_uri": "/eu-central-1_POOL/.well-known/jwks.json",
            "revocation_endpoint": "/oauth2/revoke",
            "end_session_endpoint": "/logout",
        },
        metadata_path=f"/eu-central-1_POOL{WELL_KNOWN}",
        # The refresh token comes without a scope for it and stays the same (AWS documentation of the token endpoint).
        habits=Misbehaviour(rotate=False, id_token_claims=all_of(without("acr", "sid"), having(token_use="id"))),
        refresh_token=lambda asked: True,
        scopes=("openid", "profile", "email"),
        unknown_scopes="refused",
        # /logout wants client_id and logout_uri (AWS documentation; streamlit #14601, FoxIDs #961).
        revokes_access_tokens=False,  # "unsupported_token_type" (AWS documentation of the revocation endpoint)
        return_parameter="logout_uri",
        end_session_needs=("client_id", "logout_uri"),
        end_session_refuses=("post_logout_redirect_uri",),
        essential=("end_session_params",),
    ),
    Profile(
        name="ping",
        recipe="PingOne",
        hosts=("auth.pingone.eu",),
        issuer="/ENVIRONMENT_ID/as",
        endpoints=endpoints(
            base="/ENVIRONMENT_ID/as",
            authorize="/authorize",
            token="/token",
            userinfo="/userinfo",
            jwks="/jwks",
            revoke="/revoke",
            logout="/signoff",
        ),
        metadata_path=f"/ENVIRONMENT_ID/as{WELL_KNOWN}",
        # Its key sets hold keys without `alg`, of curves beside RSA, and for encryption (design notes on Ping).
        habits=Misbehaviour(jwks=all_of(keys_without_alg, beside_others)),
        refresh_token=lambda asked: True,  # by the application's grant type
        scopes=("openid", "profile", "email"),
    ),
    Profile(
        name="onelogin",
        recipe="OneLogin",
        hosts=("shop.onelogin.com",),
        issuer="/oidc/2",
        endpoints=endpoints(
            base="/oidc/2",
            authorize="/auth",
            token="/token",
            userinfo="/me",
            jwks="/certs",
            revoke="/token/revocation",
            logout="/logout",
        ),
        metadata_path=f"/oidc/2{WELL_KNOWN}",
        # Its own grant type `refresh_token`, no scope for it (OneLogin's provider configuration).
        refresh_token=lambda asked: True,
        scopes=("openid", "profile", "email", "groups"),
        end_session_needs=("id_token_hint",),
    ),
)
