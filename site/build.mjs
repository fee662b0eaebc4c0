/**
 * `npm run docs`: builds the site of the documentation into build/site, and looks at what came out: no page asks anybody else
 * for anything, and no link of the site leads nowhere. What it needs of packages is here, apart from the project's own.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { exitLike, run } from '../scripts/child-process.mjs';
import { root, setUp } from '../scripts/setup.mjs';
import { problemsOf } from './check-links.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const SITE = join(root, 'build', 'site');

await setUp({ build: false });
await installTools();
const built = await run(process.execPath, [join(here, 'node_modules', 'typedoc', 'bin', 'typedoc')], {
  cwd: root,
  stdio: 'inherit',
});
if (built.code !== 0) exitLike(built);
const { pages, links, problems } = problemsOf(SITE);
for (const problem of problems) process.stderr.write(`${problem}\n`);
process.stdout.write(`${JSON.stringify({ pages, links, problems: problems.length, site: SITE })}\n`);
process.exitCode = problems.length === 0 ? 0 : 1;

async function installTools() {
  const wanted = join(here, 'package-lock.json');
  const present = join(here, 'node_modules', '.package-lock.json');
  if (existsSync(present) && versionsIn(present) === versionsIn(wanted)) return;
  const npm = process.env.npm_execpath;
  const args = ['ci', '--no-audit', '--no-fund'];
  const options = { cwd: here, stdio: ['ignore', 2, 2] };
  const installed = await (npm !== undefined && /npm-cli\.c?js$/.test(npm)
    ? run(process.execPath, [npm, ...args], options)
    : run('npm', args, { ...options, shell: process.platform === 'win32' }));
  if (installed.code !== 0) exitLike(installed);
}

/** As one text that differs where the versions do. */
function versionsIn(path) {
  const { packages } = JSON.parse(readFileSync(path, 'utf8'));
  return JSON.stringify(
    Object.entries(packages)
      .filter(([name]) => name !== '')
      .map(([name, { version }]) => `${name} ${version}`)
      .sort(),
  );
}
