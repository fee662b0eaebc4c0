/** Runs seeds of the simulation of communication managers, `A..B`, until one fails. */
import { runSeed } from '../../sim/cm/run-seed.js';

const [first = 1, last = 1] = (process.argv[2] ?? '').split('..').map(Number);
for (let seed = first; seed <= last; seed++) {
  const { failure } = runSeed(seed);
  if (failure === null) continue;
  process.stdout.write(`noticed: seed ${seed}: ${failure.split('\n')[0]}\n`);
  process.exit(1);
}
process.exit(0);
