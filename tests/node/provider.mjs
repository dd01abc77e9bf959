// A certified OpenID Provider (npm oidc-provider) for the tests, on a free port of 127.0.0.1.
//
//   standard input   {"clients": [...], "resources": {"<resource>": <access token lifetime in seconds>}}, once, to its end
//   standard output  a journal of JSON lines, the issuer first; then every answer of the endpoints that clients call and
//                    every back-channel logout, with all their secrets: tests look for those where they must not be
//
// Sign-in is the package's own login and consent forms. Whoever is not alice or bob has no account. PKCE is demanded,
// refresh tokens rotate, a used one ends its grant, and access tokens for a resource are JWTs (RFC 9068).

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';

import Provider from 'oidc-provider';

const ACCOUNTS = {
  alice: { name: 'Alice Adams', email: 'alice@example.com', email_verified: true },
  bob: { name: 'Bob Brown', email: 'bob@example.com', email_verified: true },
};
const API_SCOPE = 'orders:read rates:read';
const CLIENT_ENDPOINTS = new Set(['token', 'revocation', 'userinfo']);

console.info = console.error; // the package's notices: standard output is the journal's

const { clients, resources } = JSON.parse(await text(process.stdin));
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const note = (entry) => process.stdout.write(`${JSON.stringify(entry)}\n`);

const configuration = {
  clients,
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), kid: 'key-1', use: 'sig', alg: 'RS256' }] },
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
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo(ctx, resource) {
        if (!Object.hasOwn(resources, resource)) throw new Error(`unknown resource ${resource}`);
        return { scope: API_SCOPE, audience: resource, accessTokenFormat: 'jwt', accessTokenTTL: resources[resource] };
      },
    },
  },
};

function lifetime(ctx, token) {
  return token.resourceServer?.accessTokenTTL ?? 600;
}

function clientAuth(ctx) {
  if ((ctx.get('authorization') ?? '').startsWith('Basic ')) return 'client_secret_basic';
  return ctx.oidc.body?.client_secret === undefined ? null : 'client_secret_post';
}

const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, configuration);
  provider.use(async (ctx, next) => {
    await next();
    if (!CLIENT_ENDPOINTS.has(ctx.oidc?.route)) return;
    note({ route: ctx.oidc.route, status: ctx.status, auth: clientAuth(ctx), form: ctx.oidc.body ?? {}, answer: ctx.body ?? null });
  });
  provider.on('backchannel.success', (ctx, client, sub) => note({ route: 'backchannel', status: 200, form: { sub } }));
  provider.on('backchannel.error', (ctx, error) => note({ route: 'backchannel', status: 0, form: { error: String(error) } }));
  provider.on('server_error', (ctx, error) => note({ route: 'server_error', status: 500, form: { error: String(error.stack) } }));
  server.on('request', provider.callback());
  note({ issuer });
});
