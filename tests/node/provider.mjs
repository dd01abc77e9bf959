// A certified OpenID Provider (npm oidc-provider) for the tests, on a free port of 127.0.0.1.
//
//   standard input   one JSON object, once, to its end; all but the first two members may be left out
//                      clients     registered metadata
//                      resources   {"<resource>": <access token lifetime in seconds>}
//                      opaque      true: access tokens for resources are opaque, not JWTs
//                      signing     algorithms of the ID tokens that it can sign besides RS256: one key for each
//                      par         true: authorization requests must be pushed
//                      signed      true: they must be signed request objects
//                      dpop        true: DPoP, with a nonce demanded in every proof
//                      proofs      algorithms of the proofs that it takes; the package's own list without it
//                      workloads   true: a client assertion may come again, as a workload's does until its platform renews it
//                      tls         {"certificate", "key", "authorities"} as PEM: https that asks for a client certificate
//   standard output  a journal of JSON lines, the issuer first; then every answer of the endpoints that clients call and
//                    every back-channel logout, with all their secrets: tests look for those where they must not be
//
// Sign-in is the package's own login and consent forms. Whoever is not alice or bob has no account. PKCE is demanded,
// refresh tokens rotate, a used one ends its grant, and access tokens for a resource are JWTs (RFC 9068).

import { generateKeyPairSync, randomBytes, X509Certificate } from 'node:crypto';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { text } from 'node:stream/consumers';

import Provider from 'oidc-provider';

const ACCOUNTS = {
  alice: { name: 'Alice Adams', email: 'alice@example.com', email_verified: true },
  bob: { name: 'Bob Brown', email: 'bob@example.com', email_verified: true },
};
const API_SCOPE = 'orders:read rates:read';
const CLIENT_ENDPOINTS = new Set(['token', 'revocation', 'userinfo', 'pushed_authorization_request']);
const KEY_KINDS = {
  RS256: ['rsa', { modulusLength: 2048 }], PS256: ['rsa', { modulusLength: 2048 }],
  ES256: ['ec', { namedCurve: 'P-256' }], EdDSA: ['ed25519', {}],
};

console.info = console.error; // the package's notices: standard output is the journal's

const settings = JSON.parse(await text(process.stdin));
const { clients, resources, tls } = settings;
const signing = [...new Set([...(settings.signing ?? []), 'RS256'])]; // RS256 signs access tokens
const note = (entry) => process.stdout.write(`${JSON.stringify(entry)}\n`);

const configuration = {
  clients,
  jwks: { keys: signing.map(signingKey) },
  enabledJWA: { idTokenSigningAlgValues: signing,
    ...(settings.proofs ? { dPoPSigningAlgValues: settings.proofs } : {}) },
  clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'client_secret_jwt', 'private_key_jwt', 'none',
    ...(tls ? ['tls_client_auth', 'self_signed_tls_client_auth'] : [])],
  cookies: { keys: [randomBytes(32).toString('hex')] },
  claims: { openid: ['sub'], profile: ['name'], email: ['email', 'email_verified'] },
  findAccount: (ctx, id) =>
    Object.hasOwn(ACCOUNTS, id) ? { accountId: id, claims: () => ({ sub: id, ...ACCOUNTS[id] }) } : undefined,
  pkce: { required: () => true },
  rotateRefreshToken: true,
  // The package refuses to call loopback addresses, as it should; here the gateway is on one.
  fetch: (url, { dispatcher, ...options }) => fetch(url, options),
  ttl: { AccessToken: lifetime, ClientCredentials: lifetime, IdToken: 600, RefreshToken: 3600, Session: 3600, Grant: 3600,
    Interaction: 600 },
  features: {
    devInteractions: { enabled: true },
    rpInitiatedLogout: { enabled: true },
    backchannelLogout: { enabled: true },
    revocation: { enabled: true },
    clientCredentials: { enabled: true },
    pushedAuthorizationRequests: { enabled: true, requirePushedAuthorizationRequests: settings.par ?? false },
    requestObjects: { enabled: true, requireSignedRequestObject: settings.signed ?? false },
    dPoP: settings.dpop ? { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => true } : { enabled: false },
    mTLS: tls ? {
      enabled: true, certificateBoundAccessTokens: true, tlsClientAuth: true, selfSignedTlsClientAuth: true,
      getCertificate, certificateAuthorized: (ctx) => ctx.socket.authorized,
      certificateSubjectMatches: (ctx, property, expected) =>
        property === 'tls_client_auth_san_dns' && getCertificate(ctx)?.subjectAltName === `DNS:${expected}`,
    } : { enabled: false },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo(ctx, resource) {
        if (!Object.hasOwn(resources, resource)) throw new Error(`unknown resource ${resource}`);
        return { scope: API_SCOPE, audience: resource, accessTokenFormat: settings.opaque ? 'opaque' : 'jwt',
          accessTokenTTL: resources[resource] };
      },
    },
  },
};

function signingKey(alg, index) {
  const { privateKey } = generateKeyPairSync(...KEY_KINDS[alg]);
  return { ...privateKey.export({ format: 'jwk' }), kid: `key-${index + 1}`, use: 'sig', alg };
}

function getCertificate(ctx) {
  const raw = ctx.socket.getPeerCertificate?.()?.raw;
  return raw === undefined ? undefined : new X509Certificate(raw);
}

function lifetime(ctx, token) {
  return token.resourceServer?.accessTokenTTL ?? 600;
}

function clientAuth(ctx) {
  const form = ctx.oidc.body ?? {};
  if ((ctx.get('authorization') ?? '').startsWith('Basic ')) return 'client_secret_basic';
  if (form.client_assertion !== undefined) return 'client_assertion';
  return form.client_secret === undefined ? null : 'client_secret_post';
}

const server = tls
  ? createTlsServer({ cert: tls.certificate, key: tls.key, ca: tls.authorities, requestCert: true, rejectUnauthorized: false })
  : createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `${tls ? 'https' : 'http'}://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, configuration);
  if (settings.workloads) provider.ReplayDetection.unique = async () => true;
  provider.use(async (ctx, next) => {
    await next();
    if (!CLIENT_ENDPOINTS.has(ctx.oidc?.route)) return;
    note({ route: ctx.oidc.route, status: ctx.status, auth: clientAuth(ctx), dpop: ctx.get('dpop') || null,
      form: ctx.oidc.body ?? {}, answer: ctx.body ?? null });
  });
  provider.on('backchannel.success', (ctx, client, sub) => note({ route: 'backchannel', status: 200, form: { sub } }));
  provider.on('backchannel.error', (ctx, error) => note({ route: 'backchannel', status: 0, form: { error: String(error) } }));
  provider.on('server_error', (ctx, error) => note({ route: 'server_error', status: 500, form: { error: String(error.stack) } }));
  server.on('request', provider.callback());
  note({ issuer });
});
