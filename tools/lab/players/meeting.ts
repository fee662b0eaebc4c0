/**
 * No stock program's protocol: a client or a server that meets one peer, tells of all that rdma_cm says, and sends nothing.
 * A client waits for the end; a server rejects every client where it was told what to say to them.
 */

import { BUFFER_INFO_BYTES, writeBufferInfo } from '../../../src/cli/rping/rping-wire.js';
import type { CmConnection, CmEnding } from '../../../src/cm/cm-connection.js';
import { type Endpoint, openEndpoint } from '../../../src/endpoint/endpoint.js';
import { AccessFlags } from '../../../src/verbs/access-flags.js';
import { RdmaError } from '../../../src/verbs/errors.js';
import { SendFlags, WrOpcode } from '../../../src/verbs/work-request.js';
import { connectTo, nextRequest, type Player, type PlayerOptions, startServer } from './player.js';

const { REMOTE_READ } = AccessFlags;
const RECEIVES = 4;
const RECEIVE_BYTES = 1024;
const PING_BYTES = 64;

export const meeting: Player = (options) => (options.host === undefined ? serve(options) : play(options));

async function serve(options: PlayerOptions): ReturnType<Player> {
  const server = await startServer(options);
  const { rejectWith, text, onEvent } = options;
  try {
    const request = await nextRequest(server);
    if (rejectWith !== undefined) {
      await request.reject({ privateData: Buffer.from(rejectWith) });
      return { rejected: 1 };
    }
    const endpoint = await openEnd(options);
    const connection = await request.accept({ qp: endpoint, privateData: Buffer.from(text) });
    onEvent('connected', { text: textOf(request.privateData) });
    return await endOf(connection, endpoint);
  } finally {
    await server.close();
  }
}

async function play(options: PlayerOptions): ReturnType<Player> {
  const endpoint = await openEnd(options);
  let connection: CmConnection;
  try {
    connection = await connectTo(options, endpoint);
  } catch (error) {
    if (!(error instanceof RdmaError)) throw error;
    await endpoint.close();
    const { code, message, rejection } = error;
    if (rejection === undefined) return { code, message };
    return { code, message, reason: rejection.reason, text: textOf(rejection.privateData) };
  }
  options.onEvent('connected', { text: textOf(connection.privateData) });
  if (options.ping) {
    await ping(endpoint);
    options.onEvent('answering', {});
  }
  return await endOf(connection, endpoint);
}

/** Names a buffer to rping's server, which reads it from now on, and then sends. */
async function ping({ memory, qp, waiter }: Endpoint): Promise<void> {
  writeBufferInfo(memory.bytes, { addr: memory.addr, rkey: memory.rkey, sizeBytes: PING_BYTES });
  const sges = [{ mr: memory, offset: 0, length: BUFFER_INFO_BYTES }];
  qp.postSend({ wrId: 0, opcode: WrOpcode.SEND, flags: SendFlags.SIGNALED, sges });
  let isSent = false;
  await waiter.until(
    () => isSent,
    () => {
      isSent = true;
    },
  );
}

async function openEnd({ device, receives }: PlayerOptions): Promise<Endpoint> {
  const endpoint = await openEndpoint(device, { memory: RECEIVES * RECEIVE_BYTES, access: REMOTE_READ });
  const { memory, qp } = endpoint;
  for (let i = 0; i < RECEIVES && receives; i++) {
    qp.postRecv({ wrId: i, sges: [{ mr: memory, offset: i * RECEIVE_BYTES, length: RECEIVE_BYTES }] });
  }
  return endpoint;
}

async function endOf(connection: CmConnection, endpoint: Endpoint): ReturnType<Player> {
  const ending = await connection.ended;
  await endpoint.close();
  return { ending: nameOf(ending) };
}

function nameOf(ending: CmEnding): string {
  if (ending.type !== 'disconnected') return ending.type;
  return ending.byPeer ? 'disconnected by the peer' : 'disconnected';
}

/** Without the zeros that the message was filled up with. */
const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1').replace(/\0+$/, '');
