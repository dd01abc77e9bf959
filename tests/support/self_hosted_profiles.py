"""Profiles of providers that an operator runs: Keycloak, authentik, Authelia, Zitadel, Dex, Hydra, Duende and others."""

from support.fake_provider import Misbehaviour, having, without
from support.profiled_provider import Profile, all_of, endpoints
from support.workforce_profiles import WELL_KNOWN

CLAIMS = ("name", "given_name", "family_name", "preferred_username", "email", "email_verified")


_KEYCLOAK = "/realms/shop/protocol/openid-connect"

SELF_HOSTED = (
    Profile(
        name="keycloak",
        recipe="Keycloak",
        hosts=("keycloak.example.com",),
        issuer="/realms/shop",
        endpoints=endpoints(
            authorize=f"{_KEYCLOAK}/auth",
            token=f"{_KEYCLOAK}/token",
            userinfo=f"{_KEYCLOAK}/userinfo",
            jwks=f"{_KEYCLOAK}/certs",
            revoke=f"{_KEYCLOAK}/revoke",
            logout=f"{_KEYCLOAK}/logout",
        ),
        metadata_path=f"/realms/shop{WELL_KNOWN}",
        # Seen at a Keycloak 26.7.3: `iss` announced, a refresh token without any scope for it, with its own end.
        iss="announced",
        refresh_token=lambda asked: True,
        # A sign-in elsewhere moves `auth_time` of refreshed ID tokens (seen there; Spring Security #18839).
        habits=Misbehaviour(
            token_answer=having(refresh_expires_in=36000, **{"not-before-policy": 0}),
            refreshed_id_token_claims=lambda claims: {**claims, "auth_time": claims["auth_time"] + 5},
        ),
    ),
    Profile(
        name="authentik",
        recipe="authentik",
        hosts=("authentik.example.com",),
        issuer="/application/o/shop/",  # with a slash; one issuer for each application (authentik's documentation)
        endpoints=endpoints(
            authorize="/application/o/authorize/",
            token="/application/o/token/",
            userinfo="/application/o/userinfo/",
            jwks="/application/o/shop/jwks/",
            revoke="/application/o/revoke/",
            logout="/application/o/shop/end-session/",
        ),
        metadata_path=f"/application/o/shop{WELL_KNOWN}",
        essential=("scope",),  # refresh tokens for offline_access only, since 2024.2
    ),
    Profile(
        name="authelia",
        recipe="Authelia",
        hosts=("auth.example.com",),
        endpoints=endpoints(
            authorize="/api/oidc/authorization",
            token="/api/oidc/token",
            userinfo="/api/oidc/userinfo",
            jwks="/jwks.json",
            revoke="/api/oidc/revocation",
        ),
        metadata_path=WELL_KNOWN,
        # Claims in UserInfo only since 4.39; client_secret_basic unless the client says otherwise (its documentation).
        iss="announced",
        auth_method="client_secret_basic",
        unknown_scopes="refused",
        habits=Misbehaviour(id_token_claims=without(*CLAIMS)),
        essential=("scope", "userinfo"),
    ),
    Profile(
        name="zitadel",
        recipe="Zitadel",
        hosts=("shop.zitadel.cloud",),
        endpoints=endpoints(
            authorize="/oauth/v2/authorize",
            token="/oauth/v2/token",
            userinfo="/oidc/v1/userinfo",
            jwks="/oauth/v2/keys",
            revoke="/oauth/v2/revoke",
            logout="/oidc/v1/end_session",
        ),
        metadata_path=WELL_KNOWN,
        # `aud` names every client of the project and the project, always (zitadel #9200, vaultwarden #6650); the user's
        # claims are in the ID token only if the application says so.
        habits=Misbehaviour(
            id_token_claims=all_of(
                without(*CLAIMS), having(aud=["222222222222222222", "333333333333333333", "111111111111111111"])
            )
        ),
        essential=("scope", "trusted_audiences", "userinfo"),
    ),
    Profile(
        name="dex",
        recipe="Dex",
        hosts=("dex.example.com",),
        issuer="/dex",
        endpoints=endpoints(authorize="/dex/auth", token="/dex/token", userinfo="/dex/userinfo", jwks="/dex/keys"),
        metadata_path=f"/dex{WELL_KNOWN}",
        # Seen at a Dex 2.45.1: no end-session and no revocation endpoint; an unknown scope is an error.
        unknown_scopes="refused",
        habits=Misbehaviour(id_token_claims=without("acr", "sid", "auth_time")),
        essential=("scope",),
    ),
    Profile(
        name="hydra",
        recipe="Ory Hydra",
        hosts=("hydra.example.com",),
        endpoints=endpoints(
            authorize="/oauth2/auth",
            token="/oauth2/token",
            userinfo="/userinfo",
            jwks="/.well-known/jwks.json",
            revoke="/oauth2/revoke",
            logout="/oauth2/sessions/logout",
        ),
        metadata_path=WELL_KNOWN,
        # Scopes and the authentication method are the client's own; a way back needs the hint (Ory's documentation).
        auth_method="client_secret_basic",
        unknown_scopes="refused",
        end_session_needs=("id_token_hint",),
        essential=("scope",),
    ),
    Profile(
        name="duende",
        recipe="Duende IdentityServer",
        hosts=("id.example.com",),
        endpoints=endpoints(
            authorize="/connect/authorize",
            token="/connect/token",
            userinfo="/connect/userinfo",
            jwks=f"{WELL_KNOWN}/jwks",
            revoke="/connect/revocation",
            logout="/connect/endsession",
        ),
        metadata_path=WELL_KNOWN,
        # `iss` announced; claims in UserInfo unless AlwaysIncludeUserClaimsInIdToken (Duende's documentation).
        iss="announced",
        unknown_scopes="refused",
        end_session_needs=("id_token_hint",),
        habits=Misbehaviour(id_token_claims=without(*CLAIMS)),
        essential=("scope", "userinfo"),
    ),
    Profile(
        name="fusionauth",
        recipe="FusionAuth",
        hosts=("fusionauth.example.com",),
        endpoints=endpoints(
            authorize="/oauth2/authorize",
            token="/oauth2/token",
            userinfo="/oauth2/userinfo",
            jwks="/.well-known/jwks.json",
            logout="/oauth2/logout",
        ),
        metadata_path=WELL_KNOWN,
        # No RFC 7009 endpoint; refresh tokens for offline_access, the same one again by default (its documentation).
        habits=Misbehaviour(rotate=False, id_token_claims=without("acr")),
        essential=("scope",),
    ),
    Profile(
        name="gitlab",
        recipe="GitLab",
        hosts=("gitlab.com",),
        endpoints=endpoints(
            authorize="/oauth/authorize",
            token="/oauth/token",
            userinfo="/oauth/userinfo",
            jwks="/oauth/discovery/keys",
            revoke="/oauth/revoke",
        ),
        metadata_path=WELL_KNOWN,
        # No offline_access and no sign-out; a refresh token always comes; claims in UserInfo (GitLab's documentation).
        refresh_token=lambda asked: True,
        scopes=("openid", "profile", "email", "read_api"),
        unknown_scopes="refused",
        habits=Misbehaviour(id_token_claims=without("acr", "sid", *CLAIMS)),
        essential=("userinfo",),
    ),
    Profile(
        name="spring",
        recipe="Spring Authorization Server",
        hosts=("spring.example.com",),
        endpoints=endpoints(
            authorize="/oauth2/authorize",
            token="/oauth2/token",
            userinfo="/userinfo",
            jwks="/oauth2/jwks",
            revoke="/oauth2/revoke",
            logout="/connect/logout",
        ),
        metadata_path=WELL_KNOWN,
        # Seen at Spring Boot 3.5.7: a scope that is not registered, offline_access too, is an error.
        refresh_token=lambda asked: True,
        scopes=("openid", "profile", "email"),
        unknown_scopes="refused",
        end_session_needs=("id_token_hint",),
        habits=Misbehaviour(id_token_claims=without("acr", *CLAIMS)),
        essential=("userinfo",),
    ),
    Profile(
        name="adfs",
        recipe="AD FS",
        hosts=("adfs.example.com",),
        issuer="/adfs",
        endpoints=endpoints(
            authorize="/adfs/oauth2/authorize/",
            token="/adfs/oauth2/token/",
            jwks="/adfs/discovery/keys",
            logout="/adfs/oauth2/logout",
        ),
        metadata_path=f"/adfs{WELL_KNOWN}",
        # The metadata names an http issuer of access tokens beside its own (Microsoft's AD FS documentation).
        metadata={"access_token_issuer": "http://adfs.example.com/adfs/services/trust"},
        refresh_token=lambda asked: True,
        scopes=("openid", "profile", "email"),
        habits=Misbehaviour(id_token_claims=all_of(without("acr", *CLAIMS), having(upn="alice@example.com"))),
        shows=("upn",),
    ),
    Profile(
        name="openid",
        recipe="Another OpenID Connect provider",
        hosts=("login.example.com",),
        endpoints=endpoints(
            authorize="/authorize",
            token="/token",
            userinfo="/userinfo",
            jwks="/jwks",
            revoke="/revoke",
            logout="/logout",
        ),
        metadata_path=WELL_KNOWN,
        essential=("scope",),  # OpenID Connect Core section 11: offline_access brings the refresh token
    ),
)
