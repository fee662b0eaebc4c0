/** Has a judge that never ends asked about the toy in the folder of the argument, and writes something now and then. */
import { tryFaults } from '../../tools/mutation/harness.js';
import { FAULT } from './toy.js';

setInterval(() => process.stdout.write('.'), 20).unref();
const root = process.argv[2] ?? '';
await tryFaults([{ ...FAULT, judges: ['test/endless'] }], { root, jobs: 1, limitMillis: 600_000 }, () => {});
