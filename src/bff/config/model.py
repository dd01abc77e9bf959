"""The YAML manual as typed models: every key that `bff.yaml` may hold, with its default, its spelling and its meaning.

Values are frozen. Durations are seconds (float), sizes are bytes (int) once loaded. Unknown keys are errors.
The marks on the types (`Spelt`, `Checked`, ...) say how `reader.py` reads a key from YAML; pydantic passes them over.
What needs more than one key to judge (overlapping routes, a provider that does not exist) stands in `checks.py`.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from bff.config.spelling import (
    Checked,
    MayBeEmpty,
    OneOrMore,
    OrOff,
    OrWord,
    Parsed,
    Singular,
    Spelt,
    WrittenAs,
    not_empty,
    positive,
)
from bff.config.values import (
    addresses,
    certificates,
    header_changes,
    header_templates,
    hosts,
    paths,
    secrets,
    stores,
    units,
    urls,
    words,
)
from bff.config.values.addresses import Network
from bff.config.values.header_changes import HeaderChanges
from bff.config.values.header_templates import HeaderTemplate
from bff.config.values.secrets import Secret


class Model(BaseModel):
    """Frozen, and strict about unknown keys. Errors never show the input: it may be a secret (R-172)."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, hide_input_in_errors=True)


class TokenKind(StrEnum):
    """Whose access token a route's upstream receives (the words are those of the field, see docs)."""

    USER = "user"
    CLIENT = "client"
    USER_OR_CLIENT = "user_or_client"
    USER_OR_NONE = "user_or_none"
    NONE = "none"


class Address(Model):
    """HOST:PORT to listen on."""

    host: str
    port: int = Field(ge=0, le=65535)

    @classmethod
    def parse(cls, text: str) -> "Address":
        """From `HOST:PORT`; raises SpellingError."""
        host, port = addresses.host_and_port(text)
        return cls(host=host, port=port)


ListenAddress = Annotated[Address, Spelt(Address.parse)]
Duration = Annotated[float, Spelt(units.parse_duration)]
Timeout = Annotated[float, Spelt(units.parse_duration), Checked(positive)]
Size = Annotated[int, Spelt(units.parse_size)]
Limit = Annotated[int, Spelt(units.parse_size), Checked(positive)]
Issuer = Annotated[str, Spelt(urls.issuer)]
Endpoint = Annotated[str, Spelt(urls.endpoint)]
ANY = (words.ANY,)  # the word `any` in place of a list: fails closed where it is taken for the list
Tenants = Annotated[tuple[Annotated[str, Spelt(words.tenant_id)], ...], OrWord(ANY, words.ANY), Checked(not_empty)]
LoginValues = Annotated[
    tuple[Annotated[str, Spelt(words.login_value)], ...], OrWord(ANY, words.ANY), Checked(not_empty)
]
Scope = Annotated[str, Spelt(words.scope)]
CaFile = Annotated[Path, Checked(certificates.authorities)]
# A dump shows references, never the secrets: pydantic would dump the fields of a dataclass.
ClientSecret = Annotated[Secret, Checked(secrets.client_secret), PlainSerializer(repr, return_type=str)]
ClientKey = Annotated[Secret, Checked(secrets.client_key), PlainSerializer(repr, return_type=str)]
ProxyCredentials = Annotated[Secret, Checked(secrets.proxy_credentials), PlainSerializer(repr, return_type=str)]
ClientAssertion = Annotated[Secret, Checked(secrets.client_assertion), PlainSerializer(repr, return_type=str)]
ClientAuth = Literal[
    "client_secret_basic",
    "client_secret_post",
    "client_secret_jwt",
    "private_key_jwt",
    "client_assertion",
    "tls_client_auth",
    "self_signed_tls_client_auth",
    "none",
]
SessionKey = Annotated[Secret, Checked(secrets.session_key), PlainSerializer(repr, return_type=str)]
Origin = Annotated[urls.Origin, Parsed(urls.parse_origin)]
Upstream = Annotated[urls.UpstreamUrl, Parsed(urls.parse_upstream)]
Upstreams = Annotated[tuple[Upstream, ...], OneOrMore(), Checked(not_empty)]
Prefix = Annotated[paths.PathPrefix, Parsed(paths.parse_prefix)]
Store = Annotated[stores.StoreLocation, Parsed(stores.parse_store), Checked(certificates.store_files)]


class LogConfig(Model):
    """What is written to standard error."""

    level: Literal["debug", "info", "warning"] = "info"
    format: Literal["json", "console"] | None = None  # None: console on a terminal, json elsewhere
    access: bool = False  # one event for each request; costs time on the data path
    user: Annotated[str, Spelt(words.log_user)] = "none"  # who, in the log: `none`, `subject`, or a claim


class SessionConfig(Model):
    """Where sessions are kept, under which keys, and for how long."""

    store: Store = stores.MEMORY
    keys: Annotated[
        tuple[SessionKey, ...], Checked(not_empty)
    ] = ()  # newest first; memory:// may do without: made at start
    idle_timeout: Timeout = 30 * 60.0
    absolute_timeout: Timeout = 12 * 3600.0
    login_timeout: Timeout = 10 * 60.0  # from /login to the callback
    namespace: Annotated[str, Spelt(words.namespace)] = "bff"  # of our names in the store
    persistent: bool = False  # the cookie outlives the browser, as long as the session
    clear_site_data: bool = True  # sign-out clears what the app stored
    cookie_suffix: Annotated[str, Spelt(words.cookie_suffix)] | None = None  # of our cookies' names
    local_copy: Annotated[Duration, OrOff(0.0)] = 5.0  # seconds that a worker may use its own copy; 0.0 is `off`


class CertificateConfig(Model):
    """A certificate with its chain, and its private key (PEM), read again when they change."""

    certificate: Path
    key: Path


class ProviderConfig(Model):
    """One authorization server or OpenID Provider, and us as its client."""

    issuer: Issuer  # may hold `{tenantid}`: then `allowed_tenants` says which
    allowed_tenants: Tenants | None = None  # ANY is `any`
    metadata_url: Endpoint | None = None  # None: below the issuer
    client_id: str
    client_secrets: Annotated[
        tuple[ClientSecret, ...], Singular("client_secret"), Checked(secrets.one_or_two)
    ] = ()  # newest first
    client_keys: Annotated[tuple[ClientKey, ...], Checked(secrets.one_or_two)] = ()  # newest first
    client_certificate: Annotated[CertificateConfig, Checked(certificates.key_pair)] | None = None
    client_assertion: ClientAssertion | None = None
    client_auth: ClientAuth | None = None  # None: with a secret from metadata, else basic; else by what there is
    assertion_audience: str | None = None  # `aud` of the assertions that we sign; None: the issuer
    insecure_public_client: bool = False  # `client_auth: none` is meant
    par: Literal["auto", "required", "off"] = "auto"  # `auto`: where the metadata requires it (RFC 9126)
    dpop: Literal["off", "on"] = "off"  # RFC 9449: tokens are bound to a key of the session
    request_object: Literal["off", "signed"] = "off"  # RFC 9101
    scope: Scope = "openid profile email"
    discovery: Literal["openid", "oauth", "off"] = "openid"  # `off` if token_endpoint is given and metadata_url is not
    authorization_endpoint: Endpoint | None = None
    token_endpoint: Endpoint | None = None
    jwks_uri: Endpoint | None = None
    userinfo_endpoint: Endpoint | None = None
    end_session_endpoint: Endpoint | None = None
    revocation_endpoint: Endpoint | None = None
    pushed_authorization_request_endpoint: Endpoint | None = None
    id_token_algorithms: Annotated[tuple[Annotated[str, Spelt(words.signing_algorithm)], ...], Checked(not_empty)] = (
        "RS256",
    )
    unadvertised_iss: Literal["discard", "check"] = "discard"  # RFC 9207 section 2.4; `check` with discovery: off
    trusted_audiences: tuple[str, ...] = ()  # what `aud` of a token may hold beside our client id
    userinfo: bool = False  # also ask the UserInfo endpoint at sign-in
    subject_claim: str = "sub"  # plain OAuth 2.0: the member of the UserInfo answer that names the user
    userinfo_path: Annotated[str, Spelt(words.member_path)] | None = None  # where the claims lie in that answer
    authorization_params: dict[Annotated[str, Spelt(words.authorization_parameter)], Annotated[str, MayBeEmpty()]] = {}
    # fixed additions to the authorization request, e.g. `prompt: consent`; an empty one is not sent at all
    login_params: dict[Annotated[str, Spelt(words.login_parameter)], LoginValues] = {}  # what a page may add at /login
    response_mode: Literal["form_post"] | None = None  # for providers that insist on it (Apple)
    end_session_params: dict[
        Annotated[str, Spelt(words.end_session_parameter)], Annotated[str, Spelt(words.end_session_value), MayBeEmpty()]
    ] = {}
    frontchannel_logout: bool = False  # its sign-out page may end sessions by a frame, which needs no proof
    max_age: Duration | None = None
    acr_values: tuple[Annotated[str, Spelt(words.acr)], ...] = ()
    leeway: Duration = 30.0
    default_token_lifetime: Timeout | None = None  # for token responses without `expires_in`
    timeout: Timeout = 30.0  # how long a request waits for a call
    # how long a token call may take once it is sent: its answer is kept, also if it is late
    call_limit: Timeout = 180.0
    ca_file: CaFile | None = None
    proxy: Annotated[str, Spelt(urls.proxy)] | None = None  # for every call to this provider
    proxy_credentials: ProxyCredentials | None = None  # `user:password`, for the proxy only
    insecure_http: bool = False  # its URLs may be http outside loopback
    insecure_no_nonce: bool = False  # an ID token without a nonce is taken


class TimeoutConfig(Model):
    """How long an upstream may take, in seconds."""

    connect: Timeout = 5.0
    first_byte: Timeout = 60.0
    idle: Timeout = 60.0  # between bytes, both ways
    total: Timeout | None = None


ClaimValues = Annotated[tuple[str, ...], OneOrMore(), Checked(not_empty)]


class RequireConfig(Model):
    """What the sign-in of a user must show before a route forwards for them."""

    claims: dict[Annotated[str, Spelt(words.claim_name)], ClaimValues] = {}  # each claim must hold one of its values
    acr_values: tuple[Annotated[str, Spelt(words.acr)], ...] = ()  # the sign-in's `acr` must be one of them
    max_age: Timeout | None = None  # seconds since the user authenticated at the provider


class ExchangeConfig(Model):
    """The token that a route's upstream gets in exchange for the user's (RFC 8693 section 2.1)."""

    audience: str | None = None
    resource: Annotated[str, Spelt(urls.resource)] | None = None
    scope: Scope | None = None
    requested_token_type: Annotated[str, Spelt(words.token_type)] | None = None  # None: the provider's choice


class RequestHeadersConfig(Model):
    """Fields that the operator sets on requests to an upstream, takes out of them, or lets through."""

    set: Annotated[
        dict[
            Annotated[str, Spelt(header_changes.request_name)],
            Annotated[HeaderTemplate, Parsed(header_templates.parse_template)],
        ],
        Checked(header_changes.once_each),
    ] = {}
    remove: Annotated[
        tuple[Annotated[str, Spelt(header_changes.request_name)], ...], Checked(header_changes.once_each)
    ] = ()
    passes: Annotated[
        tuple[Annotated[str, Spelt(header_changes.request_name)], ...],
        WrittenAs("pass"),
        Checked(header_changes.once_each),
    ] = ()


class ResponseHeadersConfig(Model):
    """Fields that the operator adds to a route's answers, takes out of them, or lets through."""

    set: Annotated[
        dict[Annotated[str, Spelt(header_changes.response_name)], Annotated[str, Spelt(header_changes.field_value)]],
        Checked(header_changes.once_each),
    ] = {}
    remove: Annotated[
        tuple[Annotated[str, Spelt(header_changes.response_name)], ...], Checked(header_changes.once_each)
    ] = ()
    passes: Annotated[
        tuple[Annotated[str, Spelt(header_changes.response_name)], ...],
        WrittenAs("pass"),
        Checked(header_changes.once_each),
    ] = ()

    @property
    def changes(self) -> HeaderChanges:
        """The same as a value that is applied to answers."""
        named = ((name.lower().encode("ascii"), value.encode("ascii")) for name, value in self.set.items())
        return HeaderChanges(set=tuple(named), remove=frozenset(name.lower().encode("ascii") for name in self.remove))


class HealthConfig(Model):
    """How upstreams are asked in the background whether they are well."""

    path: Annotated[str, Spelt(paths.request_path)]
    interval: Timeout = 5.0
    timeout: Timeout = 2.0


class RouteConfig(Model):
    """A path prefix and what happens below it."""

    path: Prefix
    upstream: Upstreams | None = None  # any of them may answer
    balance: Literal["least_busy", "round_robin"] = "least_busy"
    health: HealthConfig | None = None
    files: Annotated[Path, Checked(paths.app_folder)] | None = None
    methods: Annotated[tuple[Annotated[words.Method, Spelt(words.method)], ...], Checked(not_empty)] | None = None
    token: TokenKind = TokenKind.USER  # `files:` routes: none, filled in at load
    provider: str | None = None  # filled in at load while there is only one
    resource: Annotated[str, Spelt(urls.resource)] | None = None
    audience: str | None = None
    scope: Scope | None = None
    exchange: ExchangeConfig | None = None
    require: RequireConfig | None = None
    bearer: Literal["drop", "pass"] = "drop"  # a request's own bearer token, where no session cookie is with it
    session: Literal["required", "none"] = "required"  # for `token: client`
    csrf: Literal["header", "origin"] = "header"
    cross_site_pages: bool = False  # with `csrf: origin`: links of other sites lead to a page without a click on ours
    websocket: bool = False
    timeouts: TimeoutConfig = TimeoutConfig()
    ca_file: CaFile | None = None
    server_name: Annotated[str, Spelt(hosts.server_name)] | None = None  # None: the host of `upstream`
    client_certificate: Annotated[CertificateConfig, Checked(certificates.key_pair)] | None = None
    max_connection_age: Timeout = 60.0  # seconds after which a pooled connection serves no other request
    max_body: Size | None = None  # bytes; None: limits.max_body
    max_connections: Annotated[int, Checked(positive)] = 256
    max_waiting: int = 1024
    request_headers: RequestHeadersConfig = RequestHeadersConfig()
    pass_host: bool = False  # the upstream sees the public host as `Host`
    map_location: bool = True  # `Location` of the upstream's own becomes the public one
    touch: bool = True  # calls extend the session
    response_headers: ResponseHeadersConfig = ResponseHeadersConfig()

    @property
    def allowed_methods(self) -> tuple[words.Method, ...]:
        """The methods of this route: by default all but WebDAV's, or those that read files. GET brings HEAD (RFC 9110 section 9.1)."""
        default = words.DEFAULT_METHODS if self.files is None else words.FILE_METHODS
        methods = default if self.methods is None else self.methods
        if words.Method.GET in methods and words.Method.HEAD not in methods:
            return (*methods, words.Method.HEAD)
        return methods


class LimitsConfig(Model):
    """How much one request may ask for, in bytes and seconds."""

    max_body: Limit = 10 * 1024 * 1024
    max_head: Limit = 64 * 1024
    max_target: Limit = 16 * 1024
    head_timeout: Timeout = 10.0


class PagesConfig(Model):
    """What people see of the gateway itself (`web/pages.py`), and pages of the app that take its place."""

    title: Annotated[str, Spelt(words.site_title)] | None = None  # None: the host of public_url
    logo: Annotated[str, Spelt(paths.own_page)] | None = None
    support_url: Annotated[str, Spelt(urls.support)] | None = None
    signed_out: Annotated[str, Spelt(paths.own_page)] | None = None  # where a sign-out ends
    sign_in_error: Annotated[str, Spelt(paths.own_page)] | None = None  # where a failed sign-in ends


class ForwardAuthConfig(Model):
    """The listener for proxies that ask whether a request may pass; its answers hold tokens."""

    listen: ListenAddress


class Config(Model):
    """The whole file."""

    public_url: Origin  # an origin: scheme://host[:port], no path
    listen: ListenAddress = Address(host="127.0.0.1", port=8080)
    management: Annotated[ListenAddress | None, OrOff(None)] = Address(host="127.0.0.1", port=9090)
    forward_auth: ForwardAuthConfig | None = None
    tls: Annotated[CertificateConfig, Checked(certificates.key_pair)] | None = None  # of `listen`; None: plain HTTP
    base_path: Annotated[str, Spelt(paths.base_path)] = "/bff"
    allowed_origins: tuple[Origin, ...] = ()  # further origins of this site whose pages may call with credentials
    trusted_proxies: tuple[Annotated[Network, Spelt(addresses.trusted_network)], ...] = ()
    log: LogConfig = LogConfig()
    limits: LimitsConfig = LimitsConfig()
    session: SessionConfig = SessionConfig()
    pages: PagesConfig = PagesConfig()
    providers: Annotated[dict[Annotated[str, Spelt(words.provider_name)], ProviderConfig], Checked(not_empty)]
    routes: Annotated[tuple[RouteConfig, ...], Checked(not_empty)]
