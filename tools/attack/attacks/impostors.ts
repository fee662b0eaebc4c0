/**
 * A man in the middle without a certificate that anybody trusts, clients that the server does not know, older versions
 * of TLS, resumed sessions, and parameters that were recorded in another session. None may get as far as a PSN.
 */

import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect as connectSecure, createServer, type TLSSocket, type TlsOptions } from 'node:tls';
import type { KeyedCertificate } from '../../../src/certificates/certificate-maker.js';
import { connect } from '../../../src/connection/client/client.js';
import type { SessionParameters } from '../../../src/session/session-data.js';
import { bindParameters } from '../../../src/session/session-secrets.js';
import { connectTls } from '../../../src/session/tls-client.js';
import { ALPN_PROTOCOL } from '../../../src/session/tls-protocol.js';
import { toPsn, toQpn } from '../../../src/verbs/brands.js';
import type { Attack, Outcome } from '../attack.js';
import { HOSTS } from '../loopback.js';
import type { Listening } from '../victims/server-victim.js';
import { clientOf, startServerVictim } from '../victims/start.js';

const ANSWER_MILLIS = 3000;
const PSN_FRAME = frame({ v: 1, type: 'psn', psn: 0x123456 });

/** What the attacker wants, and whether it got it. */
type Attempt = readonly [string, (listening: Listening) => Promise<boolean>];

function frame(value: object): Buffer {
  const body = Buffer.from(JSON.stringify(value));
  const bytes = Buffer.alloc(4 + body.length);
  bytes.writeUInt32BE(body.length);
  bytes.set(body, 4);
  return bytes;
}

/** An honest client comes to a false server: did it say anything? */
async function lure(
  listening: Listening,
  identity: KeyedCertificate,
  options: TlsOptions = {},
): Promise<boolean> {
  let heard = 0;
  const server = createServer({
    cert: identity.certPem,
    key: identity.keyPem,
    ALPNProtocols: [ALPN_PROTOCOL],
    ...options,
  });
  server.on('tlsClientError', () => {});
  server.on('secureConnection', (socket) => {
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      heard += chunk.length;
    });
  });
  server.listen(0, HOSTS.server);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const isFooled = await connect({
    ...clientOf(listening),
    port,
    handshakeDeadlineMillis: ANSWER_MILLIS,
  }).then(
    async (connection) => {
      await connection.close();
      return true;
    },
    () => false,
  );
  server.close();
  return isFooled || heard > 0;
}

interface Visit {
  /** Text that came back. */
  readonly answer: string;
  readonly session: Buffer | undefined;
  readonly isResumed: boolean;
}

/** A client comes to the server and says its PSN. */
async function visit(
  { host, port, certificates }: Listening,
  options: object,
  first: (socket: TLSSocket) => Buffer = () => PSN_FRAME,
): Promise<Visit> {
  const socket = connectSecure({
    host,
    port,
    ca: certificates.caPem,
    ALPNProtocols: [ALPN_PROTOCOL],
    ...options,
  });
  const chunks: Buffer[] = [];
  let session: Buffer | undefined;
  socket.on('error', () => {});
  socket.on('session', (ticket: Buffer) => {
    session = ticket;
  });
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    // The server has said its PSN and waits for more: the attacker has what it came for.
    if (!chunks.some((each) => each.includes('error'))) setTimeout(() => socket.destroy(), 100);
  });
  socket.once('secureConnect', () => socket.write(first(socket)));
  const late = setTimeout(() => socket.destroy(), ANSWER_MILLIS);
  await new Promise<void>((resolve) => socket.once('close', () => resolve()));
  clearTimeout(late);
  return { answer: Buffer.concat(chunks).toString('latin1'), session, isResumed: socket.isSessionReused() };
}

const gotPsn = ({ answer }: Visit): boolean => answer.includes('"psn"');
const shown = ({ certPem: cert, keyPem: key }: KeyedCertificate) => ({ cert, key });

const ATTEMPTS: readonly Attempt[] = [
  ['a server with a certificate of nobody', (all) => lure(all, all.certificates.strangerServer)],
  ["a server with another's certificate", (all) => lure(all, all.certificates.otherServer)],
  [
    'a server that offers TLS 1.2 only',
    (all) => lure(all, all.certificates.server, { maxVersion: 'TLSv1.2' }),
  ],
  ['a server of another protocol', (all) => lure(all, all.certificates.server, { ALPNProtocols: ['h2'] })],
  ['a client without a certificate', async (all) => gotPsn(await visit(all, {}))],
  [
    'a client with a certificate of nobody',
    async (all) => gotPsn(await visit(all, shown(all.certificates.strangerClient))),
  ],
  [
    'a client whose certificate has expired',
    async (all) => gotPsn(await visit(all, shown(all.certificates.expiredClient))),
  ],
  [
    "a client with a server's certificate",
    async (all) => gotPsn(await visit(all, shown(all.certificates.server))),
  ],
  [
    'a client that offers TLS 1.2 only',
    async (all) => gotPsn(await visit(all, { ...shown(all.certificates.client), maxVersion: 'TLSv1.2' })),
  ],
  [
    'a client of another protocol',
    async (all) => gotPsn(await visit(all, { ...shown(all.certificates.client), ALPNProtocols: ['h2'] })),
  ],
  ['a session resumed without its certificate', resumeSession],
  ['parameters recorded in another session', replayParameters],
];

async function resumeSession(all: Listening): Promise<boolean> {
  const { session } = await visit(all, shown(all.certificates.client));
  if (session === undefined) return false;
  const second = await visit(all, { session });
  return second.isResumed || gotPsn(second);
}

const PSN = toPsn(0x123456);
const PARAMETERS: SessionParameters = {
  path: {
    qpn: toQpn(0x84),
    gid: `::ffff:${HOSTS.client}`,
    lid: 0,
    udpPort: 4791,
    mtu: 1024,
    rdAtomic: 4,
  },
  terms: {
    receive: { slots: 16, slotBytes: 4096 },
    messages: { maxBytes: 16 * 1024 * 1024, windowBytes: 1024 * 1024 },
    streams: { open: 0, windowBytes: 65_536 },
    buffer: null,
    received: 0,
    device: 'attacker',
  },
};

/** The same frames are right in their own session, and refused in the next one of the same client. */
async function replayParameters(all: Listening): Promise<boolean> {
  const { certificates, host, port } = all;
  const identity = shown(certificates.client);
  const tellParameters = async (recorded?: string): Promise<{ binding: string; answer: string }> => {
    const channel = await connectTls({ host, port, ca: certificates.caPem, ...identity });
    const binding = recorded ?? bindParameters(channel, 'client', PSN, PARAMETERS);
    channel.send({ type: 'psn', psn: PSN });
    channel.send({ type: 'parameters', ...PARAMETERS, binding });
    const seen: string[] = [];
    try {
      while (!seen.includes('ready')) seen.push((await channel.receive()).type);
    } catch (error) {
      seen.push(String(error));
    }
    await channel.close();
    return { binding, answer: seen.join() };
  };
  const own = await tellParameters();
  if (!own.answer.includes('ready')) throw new Error(`honest parameters were refused: ${own.answer}`);
  const replayed = await tellParameters(own.binding);
  return !replayed.answer.includes('not_bound');
}

async function run(): Promise<Outcome> {
  const { victim, listening } = await startServerVictim();
  await using _ = victim;
  const gotIn: string[] = [];
  for (const [name, attempt] of ATTEMPTS) if (await attempt(listening)) gotIn.push(name);
  // The suite would pass against a server that refuses everybody.
  const honest = await connect(clientOf(listening));
  await honest.send('hello');
  const answer = await honest.receive();
  await honest.close();
  await victim.call('stop');
  return {
    tries: ATTEMPTS.length,
    hits: gotIn.length,
    expected: 0,
    pass: gotIn.length === 0 && answer !== undefined,
    note: [
      `refused: ${ATTEMPTS.map(([name]) => name).join(', ')}; an honest client got in`,
      ...gotIn.map((name) => `NOT REFUSED: ${name}`),
    ].join('; '),
  };
}

export const IMPOSTORS: Attack = {
  name: 'A14',
  title: 'impostors: false certificates, old TLS, resumed sessions, replayed parameters',
  run,
};
