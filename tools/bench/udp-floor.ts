/** Compiles udp-floor.c once into the build folder and says how to start it. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { packageRoot } from '../../src/cli/package-root.js';
import type { Command } from './child-group.js';
import type { Load, Role } from './peer-protocol.js';
import { findProgram } from './tool-pair.js';

const COMPILE_MILLIS = 60_000;

export type UdpFloor = { readonly program: string } | { readonly missing: string };

export function prepareUdpFloor(root: string = packageRoot()): UdpFloor {
  const source = join(root, 'tools', 'bench', 'udp-floor.c');
  const program = join(root, 'build', 'bench', 'udp-floor');
  if (process.platform !== 'linux') return { missing: 'udp-floor.c is written for Linux' };
  if (!existsSync(source)) return { missing: `${source} is not there` };
  if (existsSync(program) && statSync(program).mtimeMs > statSync(source).mtimeMs) return { program };
  if (findProgram('cc') === undefined) return { missing: 'no C compiler (cc) is installed' };
  mkdirSync(dirname(program), { recursive: true });
  // Renamed into place, so that two runs at once never start a half-written program.
  const fresh = `${program}.${process.pid}`;
  const { status, stderr } = spawnSync('cc', ['-O2', '-o', fresh, source], {
    encoding: 'utf8',
    timeout: COMPILE_MILLIS,
  });
  if (status !== 0) {
    rmSync(fresh, { force: true });
    return { missing: `cc cannot compile udp-floor.c: ${(stderr ?? '').trim().slice(0, 300)}` };
  }
  renameSync(fresh, program);
  return { program };
}

export function udpFloorCommand(
  program: string,
  role: Role,
  workload: 'ping' | 'flow',
  host: string,
  load: Load,
  deadlineMillis: number,
): Command {
  const { bytes, count, warmup, batch } = load;
  const numbers = [bytes, count, warmup, batch].map(String);
  return {
    file: program,
    args: [role, workload, host, ...numbers, String(Math.ceil(deadlineMillis / 1000))],
  };
}
