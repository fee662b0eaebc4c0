/**
 * `npm run test:sanitize -- [PATTERN…]`: runs the tests of all kinds of device and the native port with an addon that the
 * address and undefined-behaviour sanitizers watch: a read behind the end or of freed memory, or an overflow, ends the
 * process and fails the test. Skips with the reason where such an addon cannot be built.
 *
 * Leaks are not looked for: V8 and Node.js themselves leave memory behind at exit.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { compileAddon } from './build-addon.mjs';
import { exitLike, run } from './child-process.mjs';
import { root, setUp } from './setup.mjs';

const PATTERNS = ['test/soft/', 'test/native/', 'test/ibverbs/', 'test/conformance/'];
const HOME = join(root, 'build', 'native-sanitize');
const ADDON = join(HOME, 'queuepair.node');

await setUp();
const reason = await prepare();
if (reason !== null) {
  process.stderr.write(`skipped: ${reason}\n`);
  process.exit(0);
}
const given = process.argv.slice(2);
const args = given.some((arg) => !arg.startsWith('--')) ? given : [...PATTERNS, ...given];
exitLike(
  await run(process.execPath, [join(root, 'scripts', 'test.mjs'), ...args], {
    cwd: root,
    stdio: 'inherit',
    env: {
      ...process.env,
      QUEUEPAIR_ADDON: ADDON,
      LD_PRELOAD: findRuntime(),
      ASAN_OPTIONS: 'detect_leaks=0:abort_on_error=1',
      UBSAN_OPTIONS: 'print_stacktrace=1:abort_on_error=1',
    },
  }),
);

/** Builds the addon; returns why it cannot be used. */
async function prepare() {
  if (process.platform !== 'linux') return 'the native addon is written for Linux';
  if (findRuntime() === undefined) return 'g++ with its address sanitizer (libasan) is not installed';
  mkdirSync(HOME, { recursive: true });
  // What did not change keeps its time, so that only the rest is compiled again.
  cpSync(join(root, 'native'), HOME, {
    recursive: true,
    preserveTimestamps: true,
    filter: (path) => path !== join(root, 'native', 'build'),
  });
  process.stderr.write('building the addon with sanitizers…\n');
  const log = join(HOME, 'build.log');
  const variables = ['sanitize=address,undefined'];
  const { failure, signal } = await compileAddon({ sources: HOME, addon: ADDON, log, variables });
  if (signal) exitLike({ code: 1, signal });
  return failure;
}

/** Node.js itself is not built with the sanitizer, so its runtime has to be there before the addon. */
function findRuntime() {
  const { stdout } = spawnSync('g++', ['-print-file-name=libasan.so'], { encoding: 'utf8' });
  const path = stdout?.trim();
  return path && isAbsolute(path) && existsSync(path) ? path : undefined;
}
