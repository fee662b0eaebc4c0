/**
 * Makes one file of each program that the lab starts often: in the emulated machine a program of 150 modules takes 15 s to
 * start, and one of three files takes 5 s.
 */
import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { projectFolder } from './folders.js';

/** Modules of other people ask for `require`. */
const BANNER =
  "import { createRequire as labRequire } from 'node:module'; const require = labRequire(import.meta.url);";

/** Environment variables that a bundle needs, as it does not lie where its sources do. */
export type Environment = Readonly<Record<string, string>>;

export interface Bundles {
  readonly environment: Environment;
  readonly queuepair: string;
  readonly player: string;
  remove(): void;
}

export async function bundlePrograms(): Promise<Bundles> {
  const compiled = join(projectFolder(), 'build');
  // Another name each time: the machine keeps what it has read of a file, and another lab may run.
  const outdir = mkdtempSync(join(compiled, 'lab-programs-'));
  await build({
    entryPoints: {
      queuepair: join(compiled, 'src', 'cli', 'main.js'),
      player: join(compiled, 'tools', 'lab', 'players', 'main.js'),
    },
    outdir,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    banner: { js: BANNER },
    logLevel: 'warning',
  });
  return {
    environment: copyAddon(join(compiled, 'native', 'queuepair.node'), join(outdir, 'queuepair.node')),
    queuepair: join(outdir, 'queuepair.mjs'),
    player: join(outdir, 'player.mjs'),
    remove: () => rmSync(outdir, { recursive: true, force: true }),
  };
}

/** A build that runs meanwhile may replace the addon. Prebuilt ones are found by themselves or not at all. */
function copyAddon(from: string, to: string): Environment {
  if (!existsSync(from)) return {};
  copyFileSync(from, to);
  return { QUEUEPAIR_ADDON: to };
}
