"""Profiles of plain OAuth 2.0: no ID token, and a user endpoint in the provider's own words."""

from dataclasses import replace

from support.fake_provider import Misbehaviour, having, oauth_error, without
from support.profiled_provider import Profile, all_of, endpoints

_GITHUB = Profile(
    name="github",
    recipe="GitHub",
    hosts=("github.com", "api.github.com"),
    issuer="/login/oauth",
    endpoints=endpoints(authorize="/login/oauth/authorize", token="/login/oauth/access_token", userinfo="/user"),
    # `iss` since April 2026 (next-auth #13408, openiddict #2548); a form unless JSON is asked for; tokens of OAuth
    # apps do not expire (GitHub's documentation).
    iss="unannounced",
    auth_method="client_secret_post",
    scopes=("read:user",),
    form_unless_json_is_accepted=True,
    refresh_token=lambda asked: False,
    habits=Misbehaviour(token_answer=without("expires_in")),
    user={"login": "octocat", "id": 583231, "name": None},
    shows=("login", "id"),
    after_expiry="lasting",
    essential=("userinfo", "subject_claim", "client_auth", "userinfo_endpoint"),
)

PLAIN = (
    _GITHUB,
    replace(
        _GITHUB,
        name="github-app",
        recipe="GitHub App",
        # Eight hours, a refresh token always, `scope` an empty text (GitHub's "Refreshing user access tokens"); a spent one is status
        # 200 with `bad_refresh_token` (open-swe #1491, sentry/junior #620).
        refresh_token=lambda asked: True,
        habits=Misbehaviour(token_answer=having(scope="", refresh_token_expires_in=15_897_600, token_type="bearer")),
        after_expiry="refreshed",
        refusal=oauth_error("bad_refresh_token", status=200),
        essential=(*_GITHUB.essential, "scope"),
    ),
    Profile(
        name="paypal",
        recipe="PayPal",
        hosts=("www.paypal.com", "api-m.paypal.com"),
        endpoints=endpoints(
            authorize="/signin/authorize",
            token="/v1/oauth2/token",
            userinfo="/v1/identity/oauth2/userinfo?schema=paypalv1.1",
        ),
        # No ID token, even for `openid` (int128/kubelogin #276); the user endpoint and its schema (aspnet-contrib #283).
        auth_method="client_secret_basic",
        scopes=("profile", "email"),
        refresh_token=lambda asked: True,
        habits=Misbehaviour(
            rotate=False, token_answer=all_of(without("id_token"), having(nonce="2026-11-27T00:00:00Zx"))
        ),
        user={
            "user_id": "https://www.paypal.com/webapps/auth/identity/user/mWq6_1sU85v5EG9yHdPxJRrhGHrnMJ",
            "name": "Alice Adams",
            "emails": [{"value": "alice@example.com", "primary": True}],
        },
        shows=("name", "emails"),
        essential=("userinfo", "subject_claim", "userinfo_endpoint"),
    ),
    Profile(
        name="discord",
        recipe="Discord",
        hosts=("discord.com",),
        endpoints=endpoints(
            authorize="/oauth2/authorize",
            token="/api/oauth2/token",
            userinfo="/api/users/@me",
            revoke="/api/oauth2/token/revoke",
        ),
        # The id is a string of digits; a refresh token always (Discord's OAuth2 documentation).
        scopes=("identify", "email"),
        refresh_token=lambda asked: True,
        user={"id": "80351110224678912", "username": "nelly", "email": "nelly@example.com"},
        shows=("username", "email"),
        essential=("userinfo", "subject_claim"),
    ),
    Profile(
        name="facebook",
        recipe="Facebook",
        hosts=("www.facebook.com", "graph.facebook.com"),
        endpoints=endpoints(
            authorize="/v23.0/dialog/oauth", token="/v23.0/oauth/access_token", userinfo="/me?fields=id,name,email"
        ),
        # No refresh token; the user endpoint tells only the fields that are asked for (Meta's manual login flow).
        auth_method="client_secret_post",
        scopes=("public_profile", "email"),
        refresh_token=lambda asked: False,
        habits=Misbehaviour(token_answer=having(token_type="bearer")),
        user={"id": "10158", "name": "Alice Adams", "email": "alice@example.com"},
        denial={"error": "access_denied", "error_reason": "user_denied", "error_code": "200"},
        after_expiry="ended",
        essential=("userinfo", "subject_claim", "client_auth"),
    ),
    Profile(
        name="spotify",
        recipe="Spotify",
        hosts=("accounts.spotify.com", "api.spotify.com"),
        endpoints=endpoints(authorize="/authorize", token="/api/token", userinfo="/v1/me"),
        # A refresh token always, the same one again for confidential clients (Spotify's authorization code flow).
        auth_method="client_secret_basic",
        scopes=("user-read-email",),
        refresh_token=lambda asked: True,
        habits=Misbehaviour(rotate=False),
        user={"id": "smedjan", "display_name": "Alice", "email": "alice@example.com"},
        shows=("display_name", "email"),
        essential=("userinfo", "subject_claim"),
    ),
    Profile(
        name="x",
        recipe="X",
        hosts=("x.com", "api.x.com"),
        endpoints=endpoints(
            authorize="/i/oauth2/authorize",
            token="/2/oauth2/token",
            userinfo="/2/users/me",
            revoke="/2/oauth2/revoke",
        ),
        # The user lies below `data`; refresh tokens for offline.access, with a dot (X's OAuth 2.0 documentation).
        auth_method="client_secret_basic",
        scopes=("tweet.read", "users.read", "offline.access"),
        unknown_scopes="refused",
        refresh_token=lambda asked: "offline.access" in asked["scope"].split(),
        user={"data": {"id": "2244994945", "username": "alice", "name": "Alice"}},
        refusal=oauth_error("invalid_request", description="Value passed for the token was invalid."),
        shows=("username", "name"),
        essential=("scope", "userinfo_path", "subject_claim"),
    ),
    Profile(
        name="atlassian",
        recipe="Atlassian",
        hosts=("auth.atlassian.com", "api.atlassian.com"),
        endpoints=endpoints(authorize="/authorize", token="/oauth/token", userinfo="/me"),
        # The audience is demanded, the user's member is account_id (Atlassian's OAuth 2.0 (3LO) apps).
        auth_method="client_secret_post",
        scopes=("read:me", "offline_access"),
        needs={"audience": "api.atlassian.com", "prompt": "consent"},
        user={"account_id": "5b10a2844c20165700ede21g", "name": "Alice", "email": "alice@example.com"},
        # With status 403. The documentation says `invalid_grant` (Atlassian's OAuth 2.0 (3LO) apps); this is what was seen
        # (raycast/extensions #11836, ParabolInc/parabol #11849).
        refusal=oauth_error("unauthorized_client", status=403, description="refresh_token is invalid"),
        essential=("scope", "authorization_params", "subject_claim", "client_auth"),
    ),
)
