/** Node.js, Bun and Deno as npm has them, each in a folder of its own. */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

export type RuntimeKind = 'node' | 'bun' | 'deno';

export interface Runtime {
  readonly name: string;
  readonly kind: RuntimeKind;
  /** What runs programs. */
  readonly program: string;
}

interface Source {
  readonly name: string;
  readonly kind: RuntimeKind;
  readonly module: string;
  readonly version: string;
  readonly program: string;
}

const node = (version: string): Source => ({
  name: `node ${version}`,
  kind: 'node',
  module: `node-linux-${process.arch}`,
  version,
  program: 'bin/node',
});

export const SUPPORTED: readonly Source[] = [
  ...['20', '22', '24', '26'].map(node),
  { name: 'bun', kind: 'bun', module: `@oven/bun-linux-${process.arch}`, version: '1', program: 'bin/bun' },
];
/** Those that say in a sentence what does not work. */
export const UNSUPPORTED: readonly Source[] = [
  node('18'),
  { name: 'deno', kind: 'deno', module: `@deno/linux-${process.arch}-glibc`, version: '2', program: 'deno' },
];

/** @throws where the registry has it not. */
export function installRuntime({ name, kind, module, version, program }: Source, folder: string): Runtime {
  const place = join(folder, name.replace(' ', '-'));
  mkdirSync(place, { recursive: true });
  const flags = ['--prefix', place, '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel', 'error'];
  const { status, stderr } = spawnSync('npm', ['install', ...flags, `${module}@${version}`], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`${name} cannot be had from npm: ${stderr.trim().slice(0, 300)}`);
  return { name, kind, program: join(place, 'node_modules', module, program) };
}
