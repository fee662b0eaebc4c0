/**
 * `npm test -- [PATTERN…] [--coverage] [--FLAG=VALUE…]`: sets the clone up and runs the tests under `node --test`.
 *
 * A PATTERN keeps the test files whose path contains it. Flags other than --coverage go to node, so they take
 * `--flag=value` form (`--test-name-pattern=PSN`). Files are found by their sources: a test that was deleted does not
 * run from its old output.
 */
import { availableParallelism } from 'node:os';
import { exitLike, run } from './child-process.mjs';
import { findSources, root, setUp } from './setup.mjs';

/** For a whole file in Node 20 and 22, for each test in Node 24; test-watchdog.mjs ends a file a little earlier. */
const TIMEOUT_MILLIS = 180_000;
const WATCHDOG = new URL('./test-watchdog.mjs', import.meta.url).href;

const args = process.argv.slice(2);
const patterns = args.filter((arg) => !arg.startsWith('--'));
const coverage = args.includes('--coverage') ? ['--experimental-test-coverage'] : [];
const nodeFlags = args.filter((arg) => arg.startsWith('--') && arg !== '--coverage');

await setUp();

const files = findSources()
  .map((path) => path.replaceAll('\\', '/'))
  .filter((path) => path.startsWith('test/') && path.endsWith('.test.ts'))
  .filter((path) => patterns.length === 0 || patterns.some((pattern) => path.includes(pattern)))
  .map((path) => `build/${path.replace(/\.ts$/, '.js')}`);
if (files.length === 0) {
  process.stderr.write(`no test file's path contains ${patterns.join(' or ') || '"test/"'}\n`);
  process.exit(1);
}

const runnerFlags = [
  '--enable-source-maps',
  `--import=${WATCHDOG}`,
  '--test',
  // Node 20 reports in TAP unless it writes to a terminal.
  '--test-reporter=spec',
  `--test-timeout=${TIMEOUT_MILLIS}`,
  // One core stays free for what a test file starts itself: peers, captures, busy poll loops.
  `--test-concurrency=${Math.max(1, availableParallelism() - 1)}`,
];
exitLike(
  await run(process.execPath, [...runnerFlags, ...coverage, ...nodeFlags, ...files], {
    cwd: root,
    stdio: 'inherit',
  }),
);
