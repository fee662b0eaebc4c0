/** UCX over TCP and over shared memory, by its own `ucx_perftest`. */
import { spawnSync } from 'node:child_process';
import type { Command } from './child-group.js';
import type { Load, PeerResult } from './peer-protocol.js';
import { findProgram, freePort, runToolPair } from './tool-pair.js';

const PROGRAM = 'ucx_perftest';
const ENVIRONMENTS = {
  tcp: { UCX_TLS: 'tcp', UCX_NET_DEVICES: 'lo', UCX_LOG_LEVEL: 'error' },
  shm: { UCX_TLS: 'posix,sysv', UCX_LOG_LEVEL: 'error' },
} as const;
export type UcxTransport = keyof typeof ENVIRONMENTS;
const BYTES_PER_MB = 1e6;

/** Its name for the test, and what of its output is the result. */
const TESTS = {
  ping: 'tag_lat',
  write: 'ucp_put_bw',
  read: 'ucp_get',
  send: 'tag_bw',
  rate: 'tag_bw',
} as const;
export type UcxTest = keyof typeof TESTS;

/** Columns of its CSV output (-f -v), microseconds a message: percentile, mean of the last report, mean of all. */
const PERCENTILE = 1;
const OVERALL = 3;

export const ucxMissing = (): string | undefined => {
  if (findProgram('timeout') === undefined) return 'timeout (coreutils) is not installed';
  return findProgram(PROGRAM) === undefined ? `${PROGRAM} is not installed (Debian: ucx-utils)` : undefined;
};

export function ucxVersion(): string | undefined {
  const { stdout } = spawnSync('ucx_info', ['-v'], { encoding: 'utf8', timeout: 5000 });
  return /Version\s+([\d.]+)/.exec(stdout ?? '')?.[1];
}

export async function runUcx(
  test: UcxTest,
  load: Load,
  host: string,
  deadlineMillis: number,
  transport: UcxTransport = 'tcp',
): Promise<PeerResult> {
  const port = await freePort(host);
  const common = ['-p', String(port)];
  const counts = ['-s', String(load.bytes), '-n', String(load.count), '-w', String(load.warmup)];
  const env = ENVIRONMENTS[transport];
  const server: Command = { file: PROGRAM, args: common, env };
  const client: Command = {
    file: PROGRAM,
    args: [host, ...common, '-t', TESTS[test], ...counts, '-f', '-v'],
    env,
  };
  const output = await runToolPair(server, client, port, deadlineMillis);
  return readUcx(test, load.bytes, output);
}

/** @throws Error when the output is not what version 1.13 and later print. */
export function readUcx(test: UcxTest, bytes: number, output: string): PeerResult {
  const row = output
    .split('\n')
    .map((line) => line.split(',').map(Number))
    .find((numbers) => numbers.length >= 8 && numbers.every(Number.isFinite));
  const micros = row?.[test === 'ping' ? PERCENTILE : OVERALL];
  if (micros === undefined || micros <= 0) {
    throw new Error(`cannot read the output of ${PROGRAM}: ${output.trim().slice(-200)}`);
  }
  // It reports one way, half a round trip.
  if (test === 'ping') return { value: 2 * micros };
  if (test === 'rate') return { value: 1e6 / micros };
  return { value: (bytes * 1e6) / micros / BYTES_PER_MB };
}
