"""What a recipe's lines are for, which of its values are examples, and what has to be set up at the provider. Data only."""

from collections.abc import Mapping

MEANINGS: Mapping[str, str] = {
    "issuer": "As the provider's own metadata says it, character for character.",
    "allowed_tenants": "Whose users may sign in: the ids of their tenants, or `any`.",
    "metadata_url": "Where the provider's metadata lies: it is not below the issuer.",
    "client_id": "What the provider calls this gateway.",
    "client_secret": "The file is read again when it changes.",
    "discovery": "The metadata is asked, although an endpoint is written here.",
    "id_token_algorithms": "What its ID tokens are signed with.",
    "client_auth": "How the secret is sent; without this line, as the provider announces it.",
    "scope": "What is asked for. A refresh token keeps users signed in beyond the first access token's end.",
    "authorization_params": "What this provider wants to be told at every sign-in.",
    "authorization_endpoint": "Where users sign in.",
    "token_endpoint": "Where codes and refresh tokens become access tokens.",
    "userinfo_endpoint": "Who the user is.",
    "revocation_endpoint": "Where tokens are revoked at a sign-out.",
    "end_session_endpoint": "Where users sign out at the provider; its metadata does not say it.",
    "end_session_params": "How the provider wants to be told where to come back to after a sign-out.",
    "userinfo": "The claims of the user come from the user endpoint, not from an ID token.",
    "userinfo_path": "Where the user lies in the user endpoint's answer.",
    "subject_claim": "The member of that answer that identifies the user.",
    "default_token_lifetime": "Its token responses say no lifetime.",
    "trusted_audiences": "What else its ID tokens name in `aud`, beside the client id.",
    "response_mode": "The provider sends its answer as a form.",
    "insecure_no_nonce": "Its ID tokens hold no nonce; PKCE binds the code to the sign-in.",
}
_LEFT_OUT = 'Leaves `prompt` out: with offline_access it would be "consent", and ask every user at every sign-in.'
_UNASKED = "What is asked for. A refresh token comes without a scope for it."
REASONS: Mapping[tuple[str, str], str] = {  # (kind, key): why, where a meaning of its own is needed
    **{(kind, "authorization_params"): _LEFT_OUT for kind in ("entra", "entra-tenants", "external-id", "b2c")},
    **{
        (kind, "scope"): _UNASKED
        for kind in ("cognito", "ping", "onelogin", "gitlab", "spring", "adfs", "discord", "spotify", "yahoo", "paypal")
    },
    (
        "keycloak",
        "scope",
    ): "Without offline_access, which means a session that outlives a sign-out; a refresh token comes anyway.",
    (
        "auth0",
        "authorization_params",
    ): "`audience` names the API: without it the access token is meant for Auth0 alone.",
    ("google", "authorization_params"): "Brings a refresh token; Google knows no offline_access.",
    ("google", "scope"): "What is asked for.",
    ("github-app", "scope"): "Has to be there; GitHub goes by the app's permissions.",
    ("apple", "scope"): "What is asked for. The name comes at a user's first sign-in only.",
    ("atlassian", "authorization_params"): "`audience` is demanded.",
    ("twitch", "authorization_params"): "Claims of the user come only when `claims` asks for them.",
    ("salesforce", "scope"): "A refresh token comes for the scope refresh_token.",
    ("x", "scope"): "A refresh token comes for offline.access, with a dot.",
    **{
        (kind, "scope"): "What is asked for."
        for kind in ("linkedin", "slack", "twitch", "github", "facebook", "facebook-oidc", "oauth2")
    },
}
ONE_FOR_ALL = frozenset(  # kinds with one issuer for everyone, or nearly so
    {"google", "apple", "linkedin", "slack", "twitch", "github", "discord", "facebook", "spotify", "x", "atlassian"}
    | {"gitlab", "entra-tenants", "yahoo", "facebook-oidc", "github-app", "paypal"}
)
_EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "entra": ("scope",),
    "entra-tenants": ("allowed_tenants", "scope"),
    "external-id": ("metadata_url", "scope"),
    "b2c": ("metadata_url", "scope"),
    "auth0": ("authorization_params", "end_session_endpoint"),
    "cognito": ("end_session_endpoint",),
    "zitadel": ("trusted_audiences",),
    "oauth2": ("authorization_endpoint", "token_endpoint", "scope"),
}
SETTINGS: Mapping[str, tuple[str, ...]] = {
    "keycloak": ("Client authentication: on", "Backchannel logout session required: on"),
    "okta": (
        "grant type: Refresh Token",
        "an authorization server of your own, such as `default`, for your API's scopes",
    ),
    "auth0": ("the API: Allow Offline Access", "Allowed Logout URLs: the post-logout redirect URI"),
    "cognito": ("Allowed sign-out URLs: the post-logout redirect URI",),
    "ping": ("grant type: Refresh Token", "Signoff URLs: the post-logout redirect URI"),
    "onelogin": ("Token Endpoint: Basic",),
    "authentik": (
        "a Signing Key, so that ID tokens are not signed with the secret",
        "the scope mapping offline_access",
    ),
    "authelia": ("token_endpoint_auth_method: client_secret_basic", "the scopes of the file"),
    "zitadel": ("grant type: Refresh Token",),
    "hydra": ("grant types: authorization_code, refresh_token", "the scopes of the file"),
    "duende": ("AllowOfflineAccess", "the scopes of the file"),
    "fusionauth": ("the tenant's Issuer: the URL in the file", "an RSA key for ID tokens"),
    "gitlab": ("Confidential: on", "the scopes of the file"),
    "spring": ("grant type: refresh_token", "the scopes of the file"),
    "b2c": ("the policy's Application claims: what is to be known of a user",),
    "linkedin": ("PKCE enabled for the application: ask LinkedIn's support",),
}


def examples(kind: str) -> tuple[str, ...]:
    """The keys of a recipe whose values are the operator's own."""
    issuer = () if kind in ONE_FOR_ALL else ("issuer",)
    return (*issuer, "client_id", *_EXAMPLES.get(kind, ()))


def meaning(kind: str, key: str) -> str:
    """What this line is for, in a sentence."""
    return REASONS.get((kind, key)) or MEANINGS[key]
