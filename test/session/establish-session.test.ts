import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import type { ControlChannel } from '../../src/session/control-channel.js';
import { establishSession, type SessionSteps } from '../../src/session/establish-session.js';
import { encodeFrame, type Frame } from '../../src/session/frames.js';
import type { SessionParameters } from '../../src/session/session-data.js';
import { bindParameters } from '../../src/session/session-secrets.js';
import { connectTls } from '../../src/session/tls-client.js';
import { toQpn } from '../../src/verbs/brands.js';
import { RdmaError } from '../../src/verbs/errors.js';
import { within } from '../../testkit/within.js';
import {
  arrival,
  clientOptions,
  connectRaw,
  PARAMETERS,
  PSN_A,
  PSN_B,
  rdmaError,
  sharedServer,
  startServer,
} from './support.js';

const shared = sharedServer({ handshakeDeadlineMillis: 1000 });

async function pair(): Promise<{ client: ControlChannel; served: ControlChannel }> {
  const client = await connectTls(clientOptions(shared.certificates, shared.port));
  return { client, served: await shared.channel };
}

const SERVER: SessionParameters = { ...PARAMETERS, path: { ...PARAMETERS.path, qpn: toQpn(83) } };
const CLIENT: SessionParameters = { path: PARAMETERS.path, terms: { ...PARAMETERS.terms, buffer: null } };

/** Steps that write down when they ran. */
const loggedSteps = (who: string, parameters: SessionParameters, log: string[]): SessionSteps => ({
  createObjects: async () => {
    log.push(`${who} objects`);
    return parameters;
  },
  transition: async () => {
    log.push(`${who} transition`);
  },
});

test('both sides end with the parameters of the other and with each PSN where it belongs', async () => {
  const { client, served } = await pair();
  const log: string[] = [];
  const [ofServer, ofClient] = await Promise.all([
    establishSession(served, loggedSteps('server', SERVER, log), PSN_A),
    establishSession(client, loggedSteps('client', CLIENT, log), PSN_B),
  ]);
  const serverPath = { ...SERVER.path, psn: PSN_A };
  const clientPath = { ...CLIENT.path, psn: PSN_B };
  assert.deepEqual(ofServer, { own: serverPath, peer: clientPath, terms: CLIENT.terms });
  assert.deepEqual(ofClient, { own: clientPath, peer: serverPath, terms: SERVER.terms });
  assert.equal(log.indexOf('server objects') < log.indexOf('server transition'), true);
  assert.equal(log.length, 4);
  // The channel is free for what comes after the handshake.
  served.send({ type: 'bye' });
  assert.deepEqual(await client.receive(), { type: 'bye' });
  await client.close();
  await served.closed;
});

test('without a PSN of the caller each side draws its own', async () => {
  const { client, served } = await pair();
  const [ofServer, ofClient] = await Promise.all([
    establishSession(served, loggedSteps('server', SERVER, [])),
    establishSession(client, loggedSteps('client', CLIENT, [])),
  ]);
  assert.equal(ofServer.own.psn, ofClient.peer.psn);
  assert.equal(ofServer.peer.psn, ofClient.own.psn);
  assert.notEqual(ofServer.own.psn, ofServer.peer.psn);
  await client.close();
  await served.closed;
});

test('an established session outlives the deadline of its handshake', async () => {
  const handshakeDeadlineMillis = 1500;
  const own = arrival();
  await using brief = await startServer(shared.certificates, {
    onChannel: own.arrive,
    handshakeDeadlineMillis,
  });
  const client = await connectTls({
    ...clientOptions(shared.certificates, brief.port),
    handshakeDeadlineMillis,
  });
  const served = await own.channel;
  await Promise.all([
    establishSession(served, loggedSteps('server', SERVER, [])),
    establishSession(client, loggedSteps('client', CLIENT, [])),
  ]);
  await new Promise((resolve) => setTimeout(resolve, handshakeDeadlineMillis + 50));
  assert.equal(served.end, undefined);
  assert.equal(client.end, undefined);
  await client.close();
});

test('a link that nobody proves ends with the deadline of the handshake', async () => {
  const { client, served } = await pair();
  const prove = (): Promise<void> => new Promise(() => {});
  try {
    const [error] = await within(
      Promise.all([
        rdmaError(establishSession(served, { ...loggedSteps('server', SERVER, []), prove })),
        rdmaError(establishSession(client, { ...loggedSteps('client', CLIENT, []), prove })),
      ]),
    );
    assert.equal(error.code, 'ERR_RDMA_TIMEOUT');
  } finally {
    for (const channel of [client, served])
      channel.drop(new RdmaError('ERR_RDMA_CLOSED', 'the test is over'));
  }
});

test('no object is made for a peer that does not send its PSN', async () => {
  const { frames } = await connectRaw(shared.port, shared.certificates);
  const served = await shared.channel;
  const log: string[] = [];
  const error = await rdmaError(establishSession(served, loggedSteps('server', SERVER, log)));
  assert.equal(error.code, 'ERR_RDMA_TIMEOUT');
  assert.deepEqual(log, []);
  assert.deepEqual(
    (await frames).map(({ type }) => type),
    ['psn', 'error'],
  );
});

const PSN_FRAME: Frame = { type: 'psn', psn: PSN_B };
const PARAMETERS_FRAME: Frame = { type: 'parameters', ...CLIENT };

/** The frames of a raw client, its parameters tied to its TLS connection. */
const bound = (socket: TLSSocket, frames: readonly Frame[]): Buffer =>
  Buffer.concat(
    frames.map((frame) => encodeFrame(frame === PARAMETERS_FRAME ? boundParameters(socket) : frame)),
  );

function boundParameters(socket: TLSSocket): Frame {
  const exportKeyingMaterial = (bytes: number, label: string, context?: Uint8Array) =>
    socket.exportKeyingMaterial(bytes, label, Buffer.from(context ?? []));
  const exporter = { role: 'client', sessionsBefore: 0, exportKeyingMaterial } as const;
  return { ...PARAMETERS_FRAME, binding: bindParameters(exporter, 'client', PSN_B, CLIENT) } as Frame;
}
const READY_FRAME: Frame = { type: 'ready' };

/** What a peer sends in the wrong order, and which of the server's steps may have run by then. */
const DISORDER: Readonly<Record<string, { frames: Frame[]; ran: string[] }>> = {
  'parameters before its PSN': { frames: [PARAMETERS_FRAME], ran: [] },
  'ready before its PSN': { frames: [READY_FRAME], ran: [] },
  'its PSN twice': { frames: [PSN_FRAME, PSN_FRAME], ran: ['server objects'] },
  'ready before its parameters': { frames: [PSN_FRAME, READY_FRAME], ran: ['server objects'] },
  'its parameters twice': {
    frames: [PSN_FRAME, PARAMETERS_FRAME, PARAMETERS_FRAME],
    ran: ['server objects', 'server transition'],
  },
};

for (const [name, { frames, ran }] of Object.entries(DISORDER)) {
  test(`a peer that sends ${name} gets one error frame, and the session ends`, async () => {
    const raw = await connectRaw(shared.port, shared.certificates);
    const served = await shared.channel;
    const log: string[] = [];
    raw.socket.write(bound(raw.socket, frames));
    const error = await rdmaError(establishSession(served, loggedSteps('server', SERVER, log)));
    assert.equal(error.code, 'ERR_RDMA_PROTOCOL');
    assert.match(
      error.message,
      /\(unexpected_frame\): the client sent "(psn|parameters|ready)", but in state/,
    );
    assert.deepEqual(log, ran);
    const answers = (await raw.frames).filter(({ type }) => type === 'error');
    assert.deepEqual(
      answers.map((answer) => answer.type === 'error' && answer.code),
      ['protocol'],
    );
    await served.closed;
  });
}

test('parameters that were told in another session, or by the other side, are refused before they are used', async () => {
  const elsewhere = await connectRaw(shared.port, shared.certificates);
  const first = await shared.channel;
  const replayed = boundParameters(elsewhere.socket);
  for (const frame of [replayed, PARAMETERS_FRAME]) {
    shared.renew();
    const raw = await connectRaw(shared.port, shared.certificates);
    const served = await shared.channel;
    const log: string[] = [];
    raw.socket.write(Buffer.concat([PSN_FRAME, frame].map(encodeFrame)));
    const error = await rdmaError(establishSession(served, loggedSteps('server', SERVER, log)));
    assert.match(error.message, /\(not_bound\): its parameters do not belong to this TLS session/);
    assert.deepEqual(log, ['server objects']);
    await served.closed;
  }
  await first.close();
});

test('a channel counts its sessions at both ends, and what was told in one is worth nothing in the next', async () => {
  const { client, served } = await pair();
  const bindings: string[] = [];
  for (const sessions of [1, 2, 3]) {
    bindings.push(bindParameters(served, 'client', PSN_A, CLIENT));
    assert.equal(bindParameters(client, 'client', PSN_A, CLIENT), bindings.at(-1), 'both ends agree');
    await Promise.all([
      establishSession(served, loggedSteps('server', SERVER, [])),
      establishSession(client, loggedSteps('client', CLIENT, [])),
    ]);
    assert.deepEqual([served.sessionsBefore, client.sessionsBefore], [sessions, sessions]);
  }
  assert.equal(new Set(bindings).size, 3);
  await client.close();
  await served.closed;
});

test('a step that fails ends the session; the peer learns the kind but not the message', async () => {
  const { client, served } = await pair();
  const limit = new RdmaError('ERR_RDMA_LIMIT', 'no queue pair left on /dev/secret0');
  const [ofServer, ofClient] = await Promise.all([
    rdmaError(
      establishSession(served, {
        ...loggedSteps('server', SERVER, []),
        createObjects: () => Promise.reject(limit),
      }),
    ),
    rdmaError(establishSession(client, loggedSteps('client', CLIENT, []))),
  ]);
  assert.equal(ofServer, limit);
  assert.equal(ofClient.code, 'ERR_RDMA_REFUSED');
  assert.match(ofClient.message, /the server could not set up its queue pair$/);
  assert.equal(ofClient.refusal, 'resources');
  assert.doesNotMatch(ofClient.message, /secret0/);
  await Promise.all([served.closed, client.closed]);
});

test('a step hears that the session ended, and the caller gets the reason after the step has settled', async () => {
  const raw = await connectRaw(shared.port, shared.certificates);
  const served = await shared.channel;
  raw.socket.write(encodeFrame(PSN_FRAME));
  let settled = false;
  const error = await rdmaError(
    establishSession(served, {
      ...loggedSteps('server', SERVER, []),
      createObjects: (signal) => {
        raw.socket.destroy();
        return new Promise((_, reject) => {
          signal.addEventListener('abort', () => {
            settled = true;
            reject(new Error('stopped half-way'));
          });
        });
      },
    }),
  );
  assert.equal(settled, true);
  assert.equal(error.code, 'ERR_RDMA_CONNECTION_LOST');
});

test('a channel that closed before the handshake began stops the step that its last frames ask for', async () => {
  const { client, served } = await pair();
  client.send({ type: 'psn', psn: PSN_B });
  client.send({ type: 'bye' });
  await client.close();
  await served.closed;
  let wasStopped: boolean | undefined;
  const createObjects = async (signal: AbortSignal): Promise<SessionParameters> => {
    wasStopped = signal.aborted;
    return SERVER;
  };
  const steps = { ...loggedSteps('server', SERVER, []), createObjects };
  await assert.rejects(establishSession(served, steps, PSN_A), { code: 'ERR_RDMA_CLOSED' });
  assert.notEqual(wasStopped, false);
});

test('a peer that says bye during the handshake ends it with its reason', async () => {
  const { client, served } = await pair();
  const waiting = rdmaError(establishSession(served, loggedSteps('server', SERVER, [])));
  await client.close('changed my mind');
  const error = await waiting;
  assert.equal(error.code, 'ERR_RDMA_CONNECTION_LOST');
  assert.match(error.message, /said bye before the session was established \(reason: changed my mind\)/);
  await served.closed;
});

test('no PSN shows in what a failed handshake throws', async () => {
  const raw = await connectRaw(shared.port, shared.certificates);
  const served = await shared.channel;
  raw.socket.write(bound(raw.socket, [PSN_FRAME, PARAMETERS_FRAME, PSN_FRAME]));
  const error = await rdmaError(establishSession(served, loggedSteps('server', SERVER, []), PSN_A));
  const text = `${error.stack} ${JSON.stringify(error)} ${String(error.cause)}`.toLowerCase();
  for (const psn of [PSN_A, PSN_B]) {
    assert.ok(!text.includes(String(psn)) && !text.includes(psn.toString(16)), text);
  }
  await served.closed;
});
