/**
 * Packs the package and looks at it as users will: publint reads its package.json, attw resolves its types. The package is ES modules
 * alone, which `require` loads too where Node.js can, so attw is asked about nothing else. It has no prebuilt addon here; neither tool
 * looks at those.
 */
import { join } from 'node:path';
import { exitLike, run } from './child-process.mjs';
import { root, setUp } from './setup.mjs';

const bin = (path) => join(root, 'node_modules', path);

await setUp();
const packed = await run(process.execPath, [join(root, 'scripts', 'package.mjs'), '--addons', 'none'], {
  cwd: root,
  stdio: ['ignore', 'pipe', 'inherit'],
});
if (packed.code !== 0) exitLike(packed);
const tarball = packed.output.trim();
for (const args of [
  [bin('publint/src/cli.js'), 'run', tarball, '--strict'],
  [bin('@arethetypeswrong/cli/dist/index.js'), tarball, '--profile', 'esm-only', '--format', 'table-flipped'],
]) {
  const result = await run(process.execPath, args, { cwd: root, stdio: 'inherit' });
  if (result.code !== 0) process.exitCode = 1;
}
