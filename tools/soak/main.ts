/**
 * `npm run soak`: one large body through a stream and back, in constant memory. Exits with 1 when a byte was lost, doubled or
 * changed, or when a process needed more memory in the end than in the middle.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { loadOrCreateDevCertificates } from '../../src/certificates/dev-certificates.js';
import { connect } from '../../src/connection/client/client.js';
import { runTool } from '../command-line.js';
import { bodyOf } from './body.js';
import { soakMixed } from './mixed.js';
import { parseOptions, type SoakOptions, USAGE } from './options.js';

const MIB = 1024 * 1024;
/** What a process may need more in the end than after half of the body. */
const ALLOWED_GROWTH_BYTES = 64 * MIB;
const PROGRESS_MILLIS = 1000;

async function main(args: readonly string[]): Promise<number> {
  const options = parseOptions(args);
  process.stderr.write(`seed ${options.seed}\n`);
  const directory = mkdtempSync(join(tmpdir(), 'queuepair-soak-'));
  try {
    const certificates = join(directory, 'certs');
    return await (options.minutes > 0 ? mixed(options, certificates) : soak(options, certificates));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function soak(options: SoakOptions, certificates: string): Promise<number> {
  const { caPem } = await loadOrCreateDevCertificates(certificates);
  const file = fileURLToPath(new URL('./mirror.js', import.meta.url));
  const mirror = fork(file, [certificates, options.isSealed ? 'sealed' : 'clear']);
  const [{ port }] = (await once(mirror, 'message')) as [{ port: number }];
  const connection = await connect({ port, ca: caPem, device: 'soft:127.0.0.1?port=0' });
  const startedAt = performance.now();
  const bytes = options.mib * MIB;
  const half: Promise<Memory>[] = [];
  const tell = progress(bytes);
  const { source, digest } = bodyOf(bytes, options.seed, (made) => {
    if (made >= bytes / 2 && half.length === 0) half.push(memoryOf(mirror));
    tell(made);
  });
  const stream = connection.openStream();
  const received = createHash('sha256');
  let receivedBytes = 0;
  stream.on('data', (chunk: Buffer) => {
    received.update(chunk);
    receivedBytes += chunk.length;
  });
  await Promise.all([pipeline(source, stream, { end: true }), once(stream, 'end')]);
  const seconds = (performance.now() - startedAt) / 1000;
  const [before, after] = [await half[0], await memoryOf(mirror)];
  await connection.close();
  mirror.send('leave');
  await once(mirror, 'exit');
  const growth = {
    client: after.client - (before?.client ?? 0),
    mirror: after.mirror - (before?.mirror ?? 0),
  };
  const isEqual = received.digest('hex') === digest();
  const result = {
    mib: options.mib,
    sealed: options.isSealed,
    receivedBytes,
    isEqual,
    rssGrowthBytes: growth,
    rssBytes: after,
    seconds: Number(seconds.toFixed(1)),
    mbPerSecond: Math.round(bytes / 1e6 / seconds),
  };
  process.stdout.write(`${options.json ? JSON.stringify(result) : JSON.stringify(result, null, 2)}\n`);
  const grew = Math.max(growth.client, growth.mirror) > ALLOWED_GROWTH_BYTES;
  if (grew) process.stderr.write('failed: memory grew\n');
  if (!isEqual) process.stderr.write(`failed: other bytes came back; again with --seed ${options.seed}\n`);
  return isEqual && !grew ? 0 : 1;
}

async function mixed(options: SoakOptions, certificates: string): Promise<number> {
  const result = await soakMixed({ ...options, certificates }, (text) => process.stderr.write(`${text}\n`));
  process.stdout.write(`${options.json ? JSON.stringify(result) : JSON.stringify(result, null, 2)}\n`);
  const { growthMiB, lost, leaked, messages, streams } = result;
  if (growthMiB > ALLOWED_GROWTH_BYTES / MIB) process.stderr.write('failed: memory grew\n');
  if (lost + leaked > 0)
    process.stderr.write(`failed: something is missing, or left; seed ${options.seed}\n`);
  const isWell = growthMiB <= ALLOWED_GROWTH_BYTES / MIB && lost === 0 && leaked === 0;
  return isWell && messages > 0 && streams > 0 ? 0 : 1;
}

interface Memory {
  readonly client: number;
  readonly mirror: number;
}

async function memoryOf(mirror: ChildProcess): Promise<Memory> {
  const answered = once(mirror, 'message') as Promise<[{ rss: number }]>;
  mirror.send('measure');
  const [{ rss }] = await answered;
  return { client: process.memoryUsage.rss(), mirror: rss };
}

function progress(bytes: number): (made: number) => void {
  let shownAt = performance.now();
  return (made) => {
    if (performance.now() - shownAt < PROGRESS_MILLIS) return;
    shownAt = performance.now();
    process.stderr.write(`\r${Math.round(made / MIB)} of ${bytes / MIB} MiB `);
  };
}

await runTool(USAGE, main);
