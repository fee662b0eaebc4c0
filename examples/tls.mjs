/**
 * TLS of node:tls inside of a socket over RDMA: for programs that bring certificates of their own, end to end through whatever is
 * between. For secrecy alone `encryption: 'aes-256-gcm'` of queuepair/net does it:
 *
 *   node examples/tls.mjs
 */
import { once } from 'node:events';
import tls from 'node:tls';
import { devCertificates } from 'queuepair/certificates';
import net from 'queuepair/net';

const certificates = await devCertificates();

const secureContext = tls.createSecureContext({
  cert: certificates.server.cert,
  key: certificates.server.key,
});
// allowHalfOpen: node:tls goes on writing after the peer's end.
const server = net.createServer({ ...certificates.server, allowHalfOpen: true }, (socket) => {
  const secure = new tls.TLSSocket(socket, { isServer: true, secureContext });
  secure.pipe(secure);
});
await once(server.listen(0), 'listening');

const socket = net.connect({ port: server.address().port, ...certificates.client, allowHalfOpen: true });
const secure = tls.connect({ socket, ca: certificates.client.ca, servername: 'localhost' });
await once(secure, 'secureConnect');
console.log(
  `${secure.getProtocol()} with ${secure.getPeerCertificate().subject.CN}, ${secure.getCipher().name}`,
);
secure.end('hello through two layers');
for await (const piece of secure) console.log(`"${piece}" came back`);

server.close();
