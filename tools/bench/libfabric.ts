/** libfabric over TCP, by its own `fi_pingpong`, which has one message under way at a time in every test. */
import { spawnSync } from 'node:child_process';
import type { Load, PeerResult } from './peer-protocol.js';
import { findProgram, freePort, runToolPair } from './tool-pair.js';

const PROGRAM = 'fi_pingpong';
const BYTES_PER_MB = 1e6;

export const libfabricMissing = (): string | undefined => {
  if (findProgram('timeout') === undefined) return 'timeout (coreutils) is not installed';
  return findProgram(PROGRAM) === undefined
    ? `${PROGRAM} is not installed (Debian: libfabric-bin)`
    : undefined;
};

export function libfabricVersion(): string | undefined {
  const { stdout } = spawnSync('fi_info', ['--version'], { encoding: 'utf8', timeout: 5000 });
  return /libfabric:\s*([\d.]+)/.exec(stdout ?? '')?.[1];
}

/** `ping`: microseconds there and back; `flow`: MB a second. Means: it reports nothing else. */
export async function runLibfabric(
  test: 'ping' | 'flow',
  load: Load,
  host: string,
  deadlineMillis: number,
): Promise<PeerResult> {
  const port = await freePort(host);
  const common = ['-p', 'tcp', '-e', 'msg', '-I', String(load.count), '-S', String(load.bytes)];
  const server = { file: PROGRAM, args: [...common, '-B', String(port)] };
  const client = { file: PROGRAM, args: [...common, '-P', String(port), host] };
  return readLibfabric(test, load.bytes, await runToolPair(server, client, port, deadlineMillis));
}

/** @throws Error when the output has no row of numbers. */
export function readLibfabric(test: 'ping' | 'flow', bytes: number, output: string): PeerResult {
  const lines = output.split('\n');
  const at = lines.findIndex((line) => line.includes('usec/xfer'));
  const column = lines[at]?.trim().split(/\s+/).indexOf('usec/xfer') ?? -1;
  const micros = Number(lines[at + 1]?.trim().split(/\s+/)[column]);
  if (at < 0 || !(micros > 0)) {
    throw new Error(`cannot read the output of ${PROGRAM}: ${output.trim().slice(-200)}`);
  }
  return { value: test === 'ping' ? 2 * micros : (bytes * 1e6) / micros / BYTES_PER_MB };
}
