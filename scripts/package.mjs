/**
 * `npm run package`: puts together in build/package what users install, and packs it into build/. What this clone runs stays as it is.
 * `--folder DIR` is another place in place of build/.
 *
 * `--addons all` (the default) builds native addons for every kind of machine that the package has them for, with a compiler from npm;
 * `--addons linux-x64-glibc,…` some of them; `--addons own` takes the one of this clone; `--addons none` none. `--json` prints where the tarball is.
 */
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { exitLike, run } from './child-process.mjs';
import { manifest, missingForPublishing } from './package/manifest.mjs';
import { root, setUp } from './setup.mjs';

/** Beside the code: what a README in a registry or an installed package leads to, and what compiles the addon. */
const FILES = [
  'README.md',
  'LICENSE',
  'CHANGELOG.md',
  'SECURITY.md',
  'ARCHITECTURE.md',
  'CONTRIBUTING.md',
  'docs',
  'examples',
  'scripts/build-addon.mjs',
  'scripts/child-process.mjs',
  'scripts/install.mjs',
];
const { values } = parseArgs({
  options: {
    addons: { type: 'string', default: 'all' },
    folder: { type: 'string', default: join(root, 'build') },
    json: { type: 'boolean' },
  },
});
const PACKAGE = join(values.folder, 'package');

await setUp();
const tarball = await makePackage(values.addons);
process.stdout.write(values.json ? `${JSON.stringify({ tarball })}\n` : `${tarball}\n`);

async function makePackage(addons) {
  const own = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const entries = Object.entries(own.exports).map(([name, { default: path }]) => ({
    name,
    source: basename(path, '.js'),
  }));
  rmSync(PACKAGE, { recursive: true, force: true });
  mkdirSync(PACKAGE, { recursive: true });
  // Loaded here because it needs what may just have been installed.
  const { bundle } = await import('./package/bundle.mjs');
  const { copyDeclarations } = await import('./package/declarations.mjs');
  await bundle(
    join(PACKAGE, 'dist'),
    entries.map(({ source }) => `${source}.ts`),
  );
  const declarations = entries.map(({ source }) => `${source}.d.ts`);
  copyDeclarations(join(root, 'build', 'src'), join(PACKAGE, 'dist', 'types'), declarations);
  for (const file of FILES) cpSync(join(root, file), join(PACKAGE, file), { recursive: true });
  const isSource = (path) => path !== join(root, 'native', 'build') && path !== join(root, 'native', 'fuzz');
  cpSync(join(root, 'native'), join(PACKAGE, 'native'), { recursive: true, filter: isSource });
  const web = join(root, 'build', 'web');
  if (existsSync(web)) cpSync(web, join(PACKAGE, 'build', 'web'), { recursive: true });
  writeFileSync(join(PACKAGE, 'package.json'), `${JSON.stringify(manifest(own, entries), null, 2)}\n`);
  if (addons === 'own') {
    const [kind, addon] = [`linux-${process.arch}-glibc`, join(root, 'build', 'native', 'queuepair.node')];
    cpSync(addon, join(PACKAGE, 'prebuilt', `${kind}.node`));
  } else if (addons !== 'none') {
    const { buildPrebuiltAddons } = await import('./package/prebuilt-addons.mjs');
    await buildPrebuiltAddons(join(PACKAGE, 'prebuilt'), addons === 'all' ? undefined : addons.split(','));
  }
  const missing = missingForPublishing(own);
  if (missing.length > 0)
    process.stderr.write(
      `npm will not publish it: package.json lacks ${missing.join(', ')} (docs/releasing.md says how to set them)\n`,
    );
  return await pack(own);
}

async function pack({ name, version }) {
  const npm = process.env.npm_execpath;
  const args = ['pack', PACKAGE, '--silent', '--pack-destination', values.folder];
  const options = { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] };
  const packed =
    npm !== undefined && /npm-cli\.c?js$/.test(npm)
      ? await run(process.execPath, [npm, ...args], options)
      : await run('npm', args, { ...options, shell: process.platform === 'win32' });
  if (packed.code !== 0) exitLike(packed);
  return join(values.folder, `${name}-${version}.tgz`);
}
