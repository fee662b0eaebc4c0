/** A mixed sequence of sends, writes and reads with random content, each verified. */
import { randomBytes, randomInt } from 'node:crypto';
import { RdmaError } from '../../verbs/errors.js';
import { DurationSample } from '../bench/distribution.js';
import { type ServiceClient, sha256 } from '../service/message-service.js';

const MAX_SEND_BYTES = 32 * 1024;
const MAX_WRITE_BYTES = 256 * 1024;
const KINDS = ['send', 'write', 'read'] as const;

export interface AutoSummary {
  readonly operations: number;
  readonly sends: number;
  readonly writes: number;
  readonly reads: number;
  readonly bytes: number;
  readonly millis: number;
  /** Median of one operation, there and back. */
  readonly medianMillis: number;
}

/** @throws RdmaError ERR_RDMA_PROTOCOL when something comes back changed; whatever ended the connection. */
export async function autoRun(
  client: ServiceClient,
  count: number,
  onProgress: (operations: number) => void = () => {},
): Promise<AutoSummary> {
  const bufferBytes = client.connection.remoteBuffer?.length ?? 0;
  if (bufferBytes === 0) throw new RdmaError('ERR_RDMA_NOT_SUPPORTED', 'auto needs a server with a buffer');
  const counts = { send: 0, write: 0, read: 0 };
  const durations = new DurationSample();
  let written: { offset: number; hash: string; length: number } | undefined;
  let bytes = 0;
  const startedAt = performance.now();
  for (let i = 0; i < count; i++) {
    const kind = KINDS[i % KINDS.length] ?? 'send';
    const operationAt = performance.now();
    if (kind === 'send') {
      const data = randomBytes(randomInt(1, MAX_SEND_BYTES + 1));
      verify(sha256(data), sha256(await client.echo(data)), `message of ${data.length} bytes`);
      bytes += 2 * data.length;
    } else if (kind === 'write') {
      const length = randomInt(1, Math.min(MAX_WRITE_BYTES, bufferBytes) + 1);
      const offset = randomInt(0, bufferBytes - length + 1);
      const data = randomBytes(length);
      written = { offset, length, hash: sha256(data) };
      verify(written.hash, (await client.write(data, offset)).sha256, `write of ${length} bytes`);
      bytes += length;
    } else if (written !== undefined) {
      const { offset, length, hash } = written;
      verify(hash, sha256(await client.read(offset, length)), `read of ${length} bytes`);
      bytes += length;
    }
    counts[kind]++;
    durations.add(performance.now() - operationAt);
    onProgress(i + 1);
  }
  return {
    operations: count,
    sends: counts.send,
    writes: counts.write,
    reads: counts.read,
    bytes,
    millis: performance.now() - startedAt,
    medianMillis: durations.medianMillis,
  };
}

function verify(expected: string, found: string, what: string): void {
  if (expected === found) return;
  throw new RdmaError('ERR_RDMA_PROTOCOL', `a ${what} came back changed: SHA-256 ${found}, not ${expected}`);
}
