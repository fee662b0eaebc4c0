/**
 * `npm run check`: everything that CI runs, in one command. Each step runs even if one before it failed, and a table
 * at the end says which did; the exit code is 0 only if all passed.
 */
import { join } from 'node:path';
import { exitLike, run } from './child-process.mjs';
import { root, setUp } from './setup.mjs';

const bin = (path) => join(root, 'node_modules', path);
const TSC = bin('typescript/bin/tsc');

// Without incremental notes: those belong to the build, which may run at the same time.
const STEPS = [
  { name: 'lint', args: [bin('@biomejs/biome/bin/biome'), 'check', '--error-on-warnings', '.'] },
  {
    name: 'typecheck',
    args: [TSC, '-p', 'tsconfig.json', '--noEmit', '--incremental', 'false', '--tsBuildInfoFile', 'null'],
  },
  { name: 'typecheck (pure)', args: [TSC, '-p', 'tsconfig.pure.json'] },
  { name: 'typecheck (web)', args: [TSC, '-p', 'tsconfig.web.json'] },
  { name: 'unused code', args: [bin('knip/bin/knip.js'), '--no-progress'] },
  { name: 'tests', args: [join(root, 'scripts', 'test.mjs')] },
  // Behind the tests, which have built what is packed.
  { name: 'package', args: [join(root, 'scripts', 'check-package.mjs')] },
];

await setUp({ build: false });

const results = [];
for (const step of STEPS) {
  process.stdout.write(`\n== ${step.name}\n`);
  const start = performance.now();
  const result = await run(process.execPath, step.args, { cwd: root, stdio: 'inherit' });
  results.push({ ...step, ...result, seconds: (performance.now() - start) / 1_000 });
  if (result.signal) break;
}

process.stdout.write('\n== summary\n');
for (const { name, code, seconds } of results) {
  const verdict = code === 0 ? 'passed' : `FAILED (exit code ${code})`;
  process.stdout.write(`${name.padEnd(18)}${seconds.toFixed(1).padStart(7)} s  ${verdict}\n`);
}
const interrupted = results.find((result) => result.signal);
const failed = results.find((result) => result.code !== 0);
exitLike(interrupted ?? failed ?? { code: 0, signal: null });
