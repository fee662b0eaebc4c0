/**
 * `npm run fuzz:planted`: plants each of the known faults in a copy of the built code, fuzzes that with as many hostile
 * things as the fault's target gets in a run of 100,000, and says after how many it was found. Exits with 1 when one was
 * not. `--only TEXT` picks faults by their names, `--seed S` (default 1) decides what is tried.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { TARGETS } from '../targets.js';
import { PLANTED, type PlantedFault } from './faults.js';
import type { PlantedJob, PlantedResult } from './worker.js';

const BUILD = fileURLToPath(new URL('../../../', import.meta.url));
const PARTS = ['src', 'tools/fuzz', 'testkit', 'native'];
const WHOLE_COUNT = 100_000;

const SHARES = Object.values(TARGETS).reduce((sum, { share }) => sum + share, 0);

/** What the target gets of a run of the whole count. */
const countFor = (target: string): number =>
  Math.ceil((WHOLE_COUNT * (TARGETS[target]?.share ?? 0)) / SHARES);

async function tryFault(fault: PlantedFault, seed: number): Promise<PlantedResult> {
  const copy = mkdtempSync(join(BUILD, 'planted-'));
  try {
    for (const part of PARTS) cpSync(join(BUILD, part), join(copy, part), { recursive: true });
    plant(fault, join(copy, 'src', `${fault.file}.js`));
    const job: PlantedJob = { target: fault.target, count: countFor(fault.target), seed };
    return await fuzz(join(copy, 'tools/fuzz/planted/worker.js'), job);
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

function plant({ name, find, replace }: PlantedFault, path: string): void {
  const parts = readFileSync(path, 'utf8').split(find);
  if (parts.length !== 2) {
    throw new Error(`'${name}': ${path} has the text of the fault ${parts.length - 1} times: ${find}`);
  }
  writeFileSync(path, parts.join(replace));
}

function fuzz(path: string, job: PlantedJob): Promise<PlantedResult> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(path, { workerData: job });
    worker.once('message', (result: PlantedResult) => {
      resolve(result);
      void worker.terminate();
    });
    // A fault may end the whole thread, which is as good as any other sign.
    worker.once('error', (error) => resolve({ count: 0, inputs: 0, message: `the thread died: ${error}` }));
    worker.once('exit', () => reject(new Error('the thread ended without a word')));
  });
}

const { values } = parseArgs({
  options: { only: { type: 'string', default: '' }, seed: { type: 'string', default: '1' } },
});
let missed = 0;
process.stdout.write('| target | planted | found after | of | by |\n|---|---|---|---|---|\n');
for (const fault of PLANTED.filter(({ name }) => name.includes(values.only))) {
  const { count, message } = await tryFault(fault, Number(values.seed));
  if (message === null) missed++;
  const found = message === null ? '**not found**' : String(count + 1);
  const row = [
    fault.target,
    fault.name,
    found,
    countFor(fault.target),
    (message ?? '').replaceAll('|', '/').slice(0, 100),
  ];
  process.stdout.write(`| ${row.join(' | ')} |\n`);
}
process.exitCode = missed === 0 ? 0 : 1;
