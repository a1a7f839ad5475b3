// A real OpenID provider on loopback: `node provider.mjs CERTIFICATE KEY PORT`. It makes a key of its own at each start,
// so that a second start at the same port is a rotation. It writes its port when it listens, and ends with its input.
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import Provider from 'oidc-provider';

const [certificate, key, wanted] = process.argv.slice(2);
const tls = { cert: readFileSync(certificate), key: readFileSync(key) };
const server = createServer(tls);

function jwk(id, type, options, alg) {
  const { privateKey } = generateKeyPairSync(type, options);
  return { ...privateKey.export({ format: 'jwk' }), kid: `${id}-${process.pid}`, use: 'sig', alg };
}

server.listen(Number(wanted), '127.0.0.1', () => {
  const { port } = server.address();
  const provider = new Provider(`https://localhost:${port}`, {
    clients: ['RS256', 'ES256'].map((alg) => ({
      client_id: `ci-${alg}`,
      client_secret: 'a secret of the test',
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
    })),
    jwks: {
      keys: [jwk('rsa', 'rsa', { modulusLength: 2048 }, 'RS256'), jwk('ec', 'ec', { namedCurve: 'P-256' }, 'ES256')],
    },
    extraTokenClaims: () => ({ groups: ['data-engineers'] }),
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => 'urn:lockgate',
        getResourceServerInfo: (context, indicator, client) => ({
          scope: '',
          audience: 'lockgate',
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: client.clientId.slice('ci-'.length) } },
        }),
      },
    },
    ttl: { ClientCredentials: 600 },
  });
  server.on('request', provider.callback());
  process.stdout.write(`${port}\n`);
});
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
