/** What the workers of the chaos run do for a client: note each message in the ledger, answer with its number, and die when told. */
import { BroadcastChannel, threadId } from 'node:worker_threads';
import type { Connection } from '../../../src/connection/program/connection.js';
import {
  CHANNEL,
  type Death,
  type DeathOrder,
  HEADER_BYTES,
  isWhole,
  SharedLedger,
} from './shared-ledger.js';

const ledger = SharedLedger.inherited();
/** The next message that is taken is the last thing that this worker does. */
let diesAmid = false;

new BroadcastChannel(CHANNEL).onmessage = (event: unknown) => {
  const { data } = event as { readonly data: DeathOrder };
  if (data.threadId === threadId) DEATHS[data.death]();
};

const DEATHS: Readonly<Record<Death, () => void>> = {
  throw: () => {
    throw new Error('thrown by the chaos');
  },
  reject: () => void Promise.reject(new Error('rejected by the chaos')),
  exit: () => process.exit(3),
  amid: () => {
    diesAmid = true;
  },
};

export default async function serve(connection: Connection): Promise<void> {
  connection.on('stream', (stream) => {
    stream.on('error', () => {});
    stream.pipe(stream);
  });
  let last = -1;
  for await (const { data } of connection) {
    const message = Buffer.from(data.buffer, data.byteOffset, data.length);
    const attempt = message.readUInt32LE();
    ledger.take(attempt);
    if (attempt <= last) ledger.noteFault('reordered');
    last = attempt;
    if (!isWhole(message, attempt)) ledger.noteFault('corrupted');
    if (diesAmid) process.exit(4);
    void connection.send(message.subarray(0, HEADER_BYTES)).catch(() => {});
  }
}
