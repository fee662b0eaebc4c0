/**
 * Faults that are put into a copy of the built engine, one at a time, to see that the simulator notices. Each replaces a
 * piece of text that must occur exactly once in one file, so that a change of the engine that a fault no longer fits is
 * found as well.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';

export interface Fault {
  /** What the engine does wrong. */
  readonly name: string;
  /** Under src/roce, without extension. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

export interface Verdict {
  /** The first seed that failed; -1 = none. */
  readonly seed: number;
  readonly failure: string;
}

const BUILD = new URL('../../', import.meta.url);

/** Runs seeds from 1 on against the engine with the fault in it, until one fails. */
export async function firstFailure(
  fault: Fault | null,
  seeds: number,
  worker = 'tools/sim/worker.js',
): Promise<Verdict> {
  const copy = mkdtempSync(join(fileURLToPath(BUILD), 'mutant-'));
  try {
    for (const part of ['src/roce', 'src/verbs', 'testkit', 'tools/sim']) {
      cpSync(fileURLToPath(new URL(part, BUILD)), join(copy, part), { recursive: true });
    }
    if (fault !== null) plant(fault, join(copy, 'src/roce', `${fault.file}.js`));
    return await runSeeds(join(copy, worker), seeds);
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

function plant({ name, find, replace }: Fault, path: string): void {
  const before = readFileSync(path, 'utf8');
  const parts = before.split(find);
  if (parts.length !== 2) {
    throw new Error(`'${name}': ${path} has the text of the fault ${parts.length - 1} times:\n${find}`);
  }
  writeFileSync(path, parts.join(replace));
}

function runSeeds(path: string, seeds: number): Promise<Verdict> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(path);
    let seed = 1;
    const finish = (verdict: Verdict): void => {
      void worker.terminate().then(() => resolve(verdict));
    };
    worker.on('error', reject);
    worker.on('message', ({ failure }: { failure: string | null }) => {
      if (failure !== null) finish({ seed, failure });
      else if (seed === seeds) finish({ seed: -1, failure: '' });
      else worker.postMessage(++seed);
    });
    worker.postMessage(seed);
  });
}
