"""Profiles of services whose accounts sign in elsewhere too: Google, Apple, LinkedIn, Slack, Twitch, Salesforce, Yahoo, Facebook."""

import json
from base64 import urlsafe_b64encode

from support.fake_provider import Answer, Misbehaviour, having, with_parameters, without
from support.id_token_edits import EC, published, signed
from support.profiled_provider import Profile, all_of, endpoints
from support.workforce_profiles import WELL_KNOWN

SHORT_MODULUS = urlsafe_b64encode(b"\xff" * 128).rstrip(b"=").decode()

SOCIAL = (
    Profile(
        name="google",
        recipe="Google",
        hosts=("accounts.google.com",),
        endpoints=endpoints(
            authorize="/o/oauth2/v2/auth",
            token="/token",
            userinfo="/v1/userinfo",
            jwks="/oauth2/v3/certs",
            revoke="/revoke",
        ),
        metadata_path=WELL_KNOWN,
        # `iss` announced since March 2026 (rowboat #432); a refresh token for access_type=offline, and at each sign-in
        # only with prompt=consent; offline_access is an unknown scope (Google's OpenID Connect guide).
        iss="announced",
        scopes=("openid", "profile", "email"),
        unknown_scopes="refused",
        refresh_token=lambda asked: asked.get("access_type") == "offline" and asked.get("prompt") == "consent",
        habits=Misbehaviour(
            rotate=False,
            id_token_claims=without("acr", "sid", "auth_time"),
            token_answer=having(scope="openid https://www.googleapis.com/auth/userinfo.email"),
        ),
        essential=("authorization_params",),
    ),
    Profile(
        name="apple",
        recipe="Apple",
        hosts=("appleid.apple.com",),
        endpoints=endpoints(authorize="/auth/authorize", token="/auth/token", jwks="/auth/keys", revoke="/auth/revoke"),
        metadata_path=WELL_KNOWN,
        auth_method="client_secret_post",
        metadata={"token_endpoint_auth_methods_supported": ["client_secret_post"]},
        # form_post where name or email is asked for; the name once, in the form (Apple's REST API; OpenIddict).
        needs={"response_mode": "form_post"},
        scopes=("openid", "name", "email"),
        refresh_token=lambda asked: True,
        habits=Misbehaviour(
            rotate=False,
            id_token_claims=all_of(without("acr", "sid"), having(email_verified="true")),
            authorization_response=with_parameters(
                user=json.dumps({"name": {"firstName": "Alice", "lastName": "Adams"}, "email": "alice@example.com"})
            ),
        ),
        denial={"error": "user_cancelled_authorize"},
        shows=("email", "name", "given_name"),
        essential=("response_mode",),
    ),
    Profile(
        name="linkedin",
        recipe="LinkedIn",
        hosts=("www.linkedin.com",),
        issuer="/oauth",
        endpoints=endpoints(
            authorize="/oauth/v2/authorization",
            token="/oauth/v2/accessToken",
            userinfo="/v2/userinfo",
            jwks="/oauth/openid/jwks",
        ),
        metadata_path=f"/oauth{WELL_KNOWN}",
        # The nonce is lost (next-auth #8831, authlib #763); the secret in the body only, which the metadata does not say
        # (directus #23645); no refresh token for most applications.
        auth_method="client_secret_post",
        scopes=("openid", "profile", "email"),
        unknown_scopes="refused",
        refresh_token=lambda asked: False,
        habits=Misbehaviour(id_token_claims=without("nonce", "acr", "sid", "auth_time")),
        denial={"error": "user_cancelled_login", "error_description": "The user cancelled LinkedIn login"},
        after_expiry="ended",
        essential=("client_auth", "insecure_no_nonce"),
    ),
    Profile(
        name="slack",
        recipe="Slack",
        hosts=("slack.com",),
        endpoints=endpoints(
            authorize="/openid/connect/authorize",
            token="/api/openid.connect.token",
            userinfo="/api/openid.connect.userInfo",
            jwks="/openid/connect/keys",
        ),
        metadata_path=WELL_KNOWN,
        # Its answers carry `ok`; tokens do not expire unless rotation is on (Slack's Sign in with Slack).
        scopes=("openid", "profile", "email"),
        unknown_scopes="refused",
        refresh_token=lambda asked: False,
        habits=Misbehaviour(
            id_token_claims=all_of(without("acr", "sid"), having(**{"https://slack.com/team_id": "T0R7GR"})),
            token_answer=all_of(without("expires_in"), having(ok=True)),
        ),
        shows=("name", "email", "https://slack.com/team_id"),
        after_expiry="lasting",
    ),
    Profile(
        name="twitch",
        recipe="Twitch",
        hosts=("id.twitch.tv",),
        issuer="/oauth2",
        endpoints=endpoints(
            authorize="/oauth2/authorize", token="/oauth2/token", userinfo="/oauth2/userinfo", jwks="/oauth2/keys"
        ),
        metadata_path=f"/oauth2{WELL_KNOWN}",
        # `scope` of the token response is a list; the secret in the body; a refresh token always (Twitch's guide).
        auth_method="client_secret_post",
        metadata={"token_endpoint_auth_methods_supported": ["client_secret_post"]},
        scopes=("openid", "user:read:email"),
        refresh_token=lambda asked: True,
        habits=Misbehaviour(
            id_token_claims=all_of(without("acr", "sid", "auth_time"), having(preferred_username="alice")),
            token_answer=having(scope=["openid", "user:read:email"]),
        ),
        # No error code, only a sentence (pyTwitchAPI #37, twitchdev/issues #1037).
        refusal=Answer(status=400, body=b'{"error":"Bad Request","status":400,"message":"Invalid refresh token"}'),
        shows=("preferred_username",),
    ),
    Profile(
        name="salesforce",
        recipe="Salesforce",
        hosts=("shop.my.salesforce.com",),
        endpoints={
            "authorization_endpoint": "/services/oauth2/authorize",
            "token_endpoint": "/services/oauth2/token",
            "userinfo_endpoint": "/services/oauth2/userinfo",
            "jwks_uri": "/id/keys",
            "revocation_endpoint": "/services/oauth2/revoke",
            "end_session_endpoint": "/services/auth/idp/oidc/logout",
        },
        metadata_path=WELL_KNOWN,
        # No expires_in; the claims are in UserInfo; refresh tokens for the scope refresh_token (Salesforce help).
        habits=Misbehaviour(
            rotate=False,
            token_answer=all_of(without("expires_in"), having(instance_url="https://shop.my.salesforce.com")),
            id_token_claims=without("acr", "sid", "name", "given_name", "family_name", "email", "email_verified"),
        ),
        scopes=("openid", "profile", "email", "api", "refresh_token"),
        unknown_scopes="refused",
        refresh_token=lambda asked: "refresh_token" in asked["scope"].split(),
        essential=("scope", "default_token_lifetime", "userinfo"),
    ),
    Profile(
        name="yahoo",
        recipe="Yahoo",
        hosts=("api.login.yahoo.com",),
        endpoints=endpoints(
            authorize="/oauth2/request_auth",
            token="/oauth2/get_token",
            userinfo="/openid/v1/userinfo",
            jwks="/openid/v1/certs",
        ),
        metadata_path=WELL_KNOWN,
        # ES256, with RSA keys of 1024 bits in the same document; revocation under another name than RFC 8414's (the documents of
        # api.login.yahoo.com, as collected in panva/wellknown). A refresh token always (Yahoo's OpenID Connect guide).
        metadata={
            "id_token_signing_alg_values_supported": ["ES256"],
            "token_revocation_endpoint": "https://api.login.yahoo.com/oauth2/revoke",
        },
        refresh_token=lambda asked: True,
        habits=Misbehaviour(
            rotate=False,
            jwks=published(EC, kty="RSA", kid="rsa-1024", use="sig", e="AQAB", n=SHORT_MODULUS),
            id_token=signed(EC, "ES256"),
            id_token_claims=without("acr", "sid"),
        ),
        essential=("id_token_algorithms",),
    ),
    Profile(
        name="facebook-oidc",
        recipe="Facebook, OpenID Connect",
        hosts=("www.facebook.com", "graph.facebook.com"),
        endpoints=endpoints(authorize="/dialog/oauth", token="/v23.0/oauth/access_token", jwks="/oauth/openid/jwks"),
        hidden_endpoints=("token_endpoint",),  # the document lacks it (panva/wellknown facebook)
        metadata_path=WELL_KNOWN,
        # No refresh token; the ID token holds name and email (Meta's OpenID Connect tokens).
        auth_method="client_secret_post",
        scopes=("openid", "email", "public_profile"),
        unknown_scopes="refused",
        refresh_token=lambda asked: False,
        habits=Misbehaviour(id_token_claims=all_of(without("acr", "sid", "auth_time"), having(name="Alice Adams"))),
        denial={"error": "access_denied", "error_reason": "user_denied", "error_code": "200"},
        after_expiry="ended",
        essential=("token_endpoint", "discovery", "client_auth", "scope"),
    ),
)
