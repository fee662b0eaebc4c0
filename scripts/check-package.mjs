/**
 * Packs what is built and looks at it as users will: publint reads its package.json, attw resolves its types. The package
 * is for `import` alone, so attw is asked about nothing else. What is packed here has source maps and no prebuilt addon;
 * neither tool looks at those.
 */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exitLike, run } from './child-process.mjs';
import { root, setUp } from './setup.mjs';

const bin = (path) => join(root, 'node_modules', path);

await setUp();
const folder = mkdtempSync(join(tmpdir(), 'queuepair-package-'));
try {
  const packed = await runNpm(['pack', '--ignore-scripts', '--silent', '--pack-destination', folder]);
  if (packed.code !== 0) exitLike(packed);
  const tarball = join(folder, readdirSync(folder)[0]);
  for (const args of [
    [bin('publint/src/cli.js'), 'run', tarball, '--strict'],
    [
      bin('@arethetypeswrong/cli/dist/index.js'),
      tarball,
      '--profile',
      'esm-only',
      '--format',
      'table-flipped',
    ],
  ]) {
    const result = await run(process.execPath, args, { cwd: root, stdio: 'inherit' });
    if (result.code !== 0) process.exitCode = 1;
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function runNpm(args) {
  const npm = process.env.npm_execpath;
  const options = { cwd: root, stdio: 'inherit' };
  return npm !== undefined && /npm-cli\.c?js$/.test(npm)
    ? run(process.execPath, [npm, ...args], options)
    : run('npm', args, { ...options, shell: process.platform === 'win32' });
}
