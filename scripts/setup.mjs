/**
 * Makes a clone ready to run: checks Node, installs the locked dependencies, compiles, and builds the native addon
 * where that is possible. Does only what is missing.
 *
 * Invariants:
 * - Nothing is written to standard output, so that `--json` commands stay clean.
 * - When nothing changed it costs one walk over the sources and starts no process.
 * - `build/.stamp` exists only after a compilation without errors, and names the sources that it was made from. So
 *   a program never runs from a half build, and two commands started at once compile once.
 * - the folders of build/ that come of sources hold nothing whose source was deleted.
 */
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { addonNeedsBuild, buildAddon } from './build-addon.mjs';
import { withLock } from './build-lock.mjs';
import { buildWeb, findWebSources, isWebBuilt } from './build-web.mjs';
import { exitLike, run } from './child-process.mjs';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

const BUILD = join(root, 'build');
const STAMP = join(BUILD, '.stamp');
const TSC = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
const SOURCE_FOLDERS = ['src', 'test', 'testkit', 'tools'];
const OUTPUT = /\.(js|js\.map|d\.ts)$/;
const CONFIGURATION_FILES = ['package.json', 'package-lock.json', 'tsconfig.json'];

/**
 * Installs and builds what is missing. On failure it says why on standard error and ends this process.
 * @param {{ build?: boolean }} [options] `build: false` only installs
 */
export async function setUp({ build = true } = {}) {
  let failure = nodeVersionProblem();
  if (failure === null && (!isInstalled() || (build && (!isBuilt() || addonNeedsBuild())))) {
    mkdirSync(BUILD, { recursive: true });
    const waiting = () => say('waiting for another command that is installing or building…');
    failure = await withLock(join(BUILD, '.lock'), waiting, () => installAndBuild(build)).catch((error) =>
      failed(`setup failed: ${error.message}`),
    );
  }
  if (failure === null) return;
  say(failure.message);
  exitLike(failure);
}

// The other process may have done the work while this one waited, so both questions are asked again.
async function installAndBuild(build) {
  if (!isInstalled()) {
    const failure = await install();
    if (failure) return failure;
  }
  if (!build) return null;
  const failure = isBuilt() ? null : await compile();
  return failure ?? compileAddon();
}

/** The addon is optional, so only an interruption fails the setup. */
async function compileAddon() {
  if (!existsSync(join(root, 'native'))) return null;
  const signal = addonNeedsBuild() ? await buildAddon() : null;
  return signal === null ? null : failed('the build was interrupted', signal);
}

function nodeVersionProblem() {
  const { engines } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const [major, minor] = engines.node.match(/\d+/g).map(Number);
  const [ownMajor, ownMinor] = process.versions.node.split('.').map(Number);
  if (ownMajor > major || (ownMajor === major && ownMinor >= minor)) return null;
  const message = `Node.js ${engines.node} is required, this is ${process.versions.node}: install a newer one from https://nodejs.org`;
  return failed(message);
}

/** Compares what npm recorded in node_modules with the lock file: times say little after a checkout. */
function isInstalled() {
  const wanted = lockedPackages(join(root, 'package-lock.json'));
  const present = lockedPackages(join(root, 'node_modules', '.package-lock.json'));
  if (wanted === null || present === null || !existsSync(TSC)) return false;
  return Object.entries(wanted).every(([path, { version, integrity, optional }]) => {
    if (path === '') return true;
    const found = present[path];
    return found === undefined
      ? optional === true
      : found.version === version && found.integrity === integrity;
  });
}

function lockedPackages(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8')).packages;
  } catch {
    return null;
  }
}

async function install() {
  say('installing dependencies…');
  // With --include=dev because NODE_ENV=production would leave out the compiler.
  const result = await runNpm(['ci', '--include=dev', '--no-audit', '--no-fund']);
  if (result.code === 0) return null;
  return failed(`${result.output}\ninstalling the dependencies failed (npm ci, see above)`, result.signal);
}

function runNpm(args) {
  const options = { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] };
  const npm = process.env.npm_execpath;
  if (npm !== undefined && /npm-cli\.c?js$/.test(npm)) return run(process.execPath, [npm, ...args], options);
  return run('npm', args, { ...options, shell: process.platform === 'win32' });
}

function isBuilt() {
  const sources = findSources();
  const stamp = existsSync(STAMP) ? readFileSync(STAMP, 'utf8') : '';
  return stamp === fingerprint(sources) && missingOutputs(sources).length === 0 && isWebBuilt();
}

async function compile() {
  say('building…');
  rmSync(STAMP, { force: true });
  // Taken before the compiler reads: an edit made while it runs leaves the build stale, not wrongly fresh.
  const sources = findSources();
  const stamp = fingerprint(sources);
  let result = await runTsc();
  if (result.code === 0 && missingOutputs(sources).length > 0) {
    // The incremental compiler trusts its notes and does not see that somebody deleted its output.
    cleanBuild();
    result = await runTsc();
  }
  if (result.code !== 0) return failed('the build failed (tsc, see above)', result.signal);
  pruneOutputs(new Set(sources.map(withoutExtension)));
  const webProblem = await buildWeb();
  if (webProblem !== null) return failed(webProblem);
  writeFileSync(STAMP, stamp);
  return null;
}

function runTsc() {
  // The compiler reports on standard output: both go to standard error here.
  return run(process.execPath, [TSC, '-p', 'tsconfig.json'], {
    cwd: root,
    stdio: ['ignore', 2, 2],
  });
}

function cleanBuild() {
  for (const name of [...SOURCE_FOLDERS, '.tsbuildinfo'])
    rmSync(join(BUILD, name), { recursive: true, force: true });
}

/** The paths of all TypeScript sources, relative to the root. */
export function findSources() {
  return SOURCE_FOLDERS.flatMap((folder) => filesBelow(root, folder)).filter((path) => path.endsWith('.ts'));
}

function fingerprint(sources) {
  const hash = createHash('sha256');
  for (const path of [...CONFIGURATION_FILES, ...sources, ...findWebSources()]) {
    const stats = statSync(join(root, path), { throwIfNoEntry: false });
    hash.update(`${path} ${stats?.size} ${stats?.mtimeMs}\n`);
  }
  return hash.digest('hex');
}

function missingOutputs(sources) {
  const outputs = new Set(SOURCE_FOLDERS.flatMap((folder) => filesBelow(BUILD, folder)));
  return sources.filter((path) => !path.endsWith('.d.ts') && !outputs.has(`${withoutExtension(path)}.js`));
}

function pruneOutputs(sourceNames) {
  for (const folder of SOURCE_FOLDERS) {
    for (const path of filesBelow(BUILD, folder)) {
      if (OUTPUT.test(path) && !sourceNames.has(withoutExtension(path))) rmSync(join(BUILD, path));
    }
    removeEmptyFolders(join(BUILD, folder));
  }
}

function removeEmptyFolders(folder) {
  if (!existsSync(folder)) return;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) removeEmptyFolders(join(folder, entry.name));
  }
  if (readdirSync(folder).length === 0) rmdirSync(folder);
}

/** Sorted within each folder, so that the fingerprint does not depend on the file system's order. */
function filesBelow(base, folder) {
  const path = join(base, folder);
  if (!existsSync(path)) return [];
  return readdirSync(path, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) =>
      entry.isDirectory() ? filesBelow(base, join(folder, entry.name)) : join(folder, entry.name),
    );
}

/** `build/src/a.js`, `a.js.map`, `a.d.ts` and `a.ts` all come from the source `a`. */
function withoutExtension(path) {
  return path
    .replace(/(\.d)?\.ts$|\.js(\.map)?$/, '')
    .split(sep)
    .join('/');
}

/** What ends the process: code 1, or the signal that ended npm or the compiler. */
function failed(message, signal = null) {
  return { message, code: 1, signal };
}

function say(message) {
  process.stderr.write(`${message.trim()}\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await setUp();
