"""Configurations of oauth2-proxy as people write them, one of each kind; written for these tests from its documented options."""

SECRET = "s3cr3t-Literal-0123456789abcdefghij"

DOCKER_RUN = f"""\
#!/bin/sh
docker run -d --name proxy -p 4180:4180 -e OAUTH2_PROXY_COOKIE_SECRET={SECRET} \\
  quay.io/oauth2-proxy/oauth2-proxy:v7.6.0 \\
  --provider=keycloak-oidc --oidc-issuer-url=https://sso.acme.io/realms/acme \\
  --client-id grafana --client-secret "{SECRET}" --email-domain='*' \\
  --allowed-group=/admins --allowed-group /ops --code-challenge-method=S256 \\
  --upstream=http://grafana:3000/ --http-address=0.0.0.0:4180 --reverse-proxy --cookie-secure=true \\
  --skip-auth-route='GET=^/api/health' --skip-auth-route='^/public/.*$' --skip-auth-route='^/exact$' \\
  --redirect-url=https://grafana.acme.io/oauth2/callback \\
  --session-store-type=redis --redis-connection-url=redis://:{SECRET}@redis:6379/1
"""

TOML = f"""\
# /etc/oauth2-proxy.cfg
provider = "google"
http_address = "127.0.0.1:4180"
reverse_proxy = true
upstreams = [ "http://127.0.0.1:8080/", "http://127.0.0.1:8081/reports/", "file:///var/www/static/#/static/" ]
email_domains = [ "acme.io" ]
client_id = "123456.apps.googleusercontent.com"
client_secret = "{SECRET}"
redirect_url = "https://internal.acme.io/oauth2/callback"
cookie_name = "_oauth2_proxy"
cookie_secret = "{SECRET}"
cookie_expire = "168h0m0s"
cookie_refresh = "1h"
cookie_secure = true
cookie_csrf_expire = "15m"
pass_basic_auth = true
basic_auth_password = "{SECRET}"
pass_host_header = false
prefer_email_to_user = true
set_xauthrequest = true
skip_provider_button = true
request_logging = false
upstream_timeout = "1m30s"
"""

ALPHA = f"""\
server:
  BindAddress: 0.0.0.0:4180
metricsServer:
  BindAddress: 127.0.0.1:44180
upstreamConfig:
  upstreams:
    - {{id: app, path: /, uri: "http://app:8080", timeout: 45s}}
    - {{id: api, path: /api/, uri: "https://api.acme.io/v1", passHostHeader: false, proxyWebSockets: false}}
    - {{id: rewritten, path: "^/baz/(.*)$", rewriteTarget: "/foo/$1", uri: "http://app:8080"}}
    - {{id: ok, path: /ok, static: true, staticCode: 200}}
providers:
  - id: corp
    provider: oidc
    clientID: shop
    clientSecret: {SECRET}
    scope: openid email profile groups
    allowedGroups: [staff]
    oidcConfig:
      issuerURL: https://login.acme.io
      groupsClaim: roles
      extraAudiences: [shop-api]
      insecureSkipNonce: false
    loginURLParameters:
      - {{name: organization, default: [acme]}}
      - {{name: login_hint, allow: [{{pattern: "^.*$"}}]}}
  - {{id: second, provider: google, clientID: x, clientSecret: y}}
injectRequestHeaders:
  - name: X-Auth-Request-User
    values: [{{claim: user}}]
  - name: X-Email
    values: [{{claim: email}}]
  - name: Authorization
    values: [{{claim: access_token, prefix: "Bearer "}}]
  - name: X-Id-Token
    values: [{{claimSource: {{claim: id_token}}}}]
injectResponseHeaders:
  - name: X-Auth-Request-Email
    values: [{{claim: email}}]
"""

COMPOSE = f"""\
services:
  redis:
    image: redis:7
    command: ["redis-server", "--requirepass", "{SECRET}"]
  oauth2-proxy:
    image: quay.io/oauth2-proxy/oauth2-proxy:v7.8.1
    command: --config /oauth2-proxy.cfg --metrics-address=0.0.0.0:9100
    environment:
      OAUTH2_PROXY_PROVIDER: github
      OAUTH2_PROXY_GITHUB_ORG: acme
      OAUTH2_PROXY_CLIENT_ID: Ov23liacme
      OAUTH2_PROXY_CLIENT_SECRET: ${{CLIENT_SECRET}}
      OAUTH2_PROXY_COOKIE_SECRET: {SECRET}
      OAUTH2_PROXY_EMAIL_DOMAINS: "*"
      OAUTH2_PROXY_UPSTREAMS: http://app:8080/
      OAUTH2_PROXY_REDIRECT_URL: https://app.acme.io/oauth2/callback
"""

KUBERNETES = f"""\
apiVersion: v1
kind: Namespace
metadata: {{name: tools}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: oauth2-proxy}}
spec:
  template:
    spec:
      containers:
        - name: sidecar
          image: example/sidecar:1
          args: ["--client-id=not-mine"]
        - name: proxy
          image: quay.io/oauth2-proxy/oauth2-proxy:v7.8.1
          args:
            - --provider=entra-id
            - --oidc-issuer-url=https://login.microsoftonline.com/organizations/v2.0
            - --insecure-oidc-skip-issuer-verification=true
            - --upstream=http://127.0.0.1:8080
            - --http-address=:4180
            - --email-domain=acme.io
            - --cookie-secret=$(COOKIE_SECRET)
            - --scope=openid email profile offline_access
          env:
            - name: OAUTH2_PROXY_CLIENT_ID
              value: 00000000-1111-2222-3333-444444444444
            - name: OAUTH2_PROXY_CLIENT_SECRET
              valueFrom: {{secretKeyRef: {{name: oauth2-proxy, key: client-secret}}}}
            - name: OAUTH2_PROXY_REDIS_PASSWORD
              value: {SECRET}
"""

HELM = f"""\
config:
  clientID: shop
  clientSecret: {SECRET}
  cookieSecret: {SECRET}
  configFile: |-
    email_domains = [ "*" ]
    upstreams = [ "file:///dev/null" ]
extraArgs:
  provider: oidc
  oidc-issuer-url: https://login.acme.io
  redirect-url: https://tools.acme.io/oauth2/callback
  whitelist-domain: .acme.io
  set-authorization-header: true
  session-store-type: redis
  redis-use-sentinel: true
  redis-sentinel-master-name: main
  redis-sentinel-connection-urls: redis://s1:26379,redis://s2:26379
"""

VARIABLES = f"""\
OAUTH2_PROXY_PROVIDER=oidc
OAUTH2_PROXY_OIDC_ISSUER_URL=https://login.acme.io
OAUTH2_PROXY_SKIP_OIDC_DISCOVERY=true
OAUTH2_PROXY_LOGIN_URL=https://login.acme.io/authorize
OAUTH2_PROXY_REDEEM_URL=https://login.acme.io/token
OAUTH2_PROXY_OIDC_JWKS_URL=https://login.acme.io/jwks
OAUTH2_PROXY_CLIENT_ID=shop
OAUTH2_PROXY_CLIENT_SECRET_FILE=/run/secrets/client-secret
OAUTH2_PROXY_COOKIE_SECRET={SECRET}
OAUTH2_PROXY_EMAIL_DOMAINS=acme.io,acme.com
OAUTH2_PROXY_UPSTREAMS=http://app:8080/app/,http://api:8000/api/
OAUTH2_PROXY_PROMPT=select_account
OAUTH2_PROXY_ACR_VALUES=urn:acme:mfa
OAUTH2_PROXY_HTPASSWD_FILE=/etc/htpasswd
"""

PLAIN = f"""\
provider = "nextcloud"
login_url = "https://cloud.acme.io/apps/oauth2/authorize"
redeem_url = "https://cloud.acme.io/apps/oauth2/api/v1/token"
validate_url = "https://cloud.acme.io/ocs/v2.php/cloud/user"
profile_url = "https://cloud.acme.io/ocs/v2.php/cloud/user?format=json"
client_id = "shop"
client_secret = "{SECRET}"
authenticated_emails_file = "/etc/emails"
upstreams = "http://127.0.0.1:3000"
"""

SAMPLES = {
    "docker run": DOCKER_RUN,
    "TOML": TOML,
    "structured YAML": ALPHA,
    "Compose": COMPOSE,
    "Kubernetes": KUBERNETES,
    "Helm": HELM,
    "variables": VARIABLES,
    "plain OAuth 2.0": PLAIN,
}
