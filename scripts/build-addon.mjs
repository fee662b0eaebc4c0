/**
 * Compiles the native addon into `build/native/`, where src/native/addon.ts looks for it, with the node-gyp that npm
 * brings along.
 *
 * Invariants:
 * - The addon is optional. What is missing for it, or goes wrong, is said once and never fails a command.
 * - `build/native/.stamp` names the sources, the surroundings (compiler, Node.js, flags, optional headers) and the tools
 *   of the last attempt, and how it ended. Nothing is compiled, and nothing said, until the sources or the surroundings
 *   change or, where that attempt failed, a tool is there that was not there before.
 * - Objects that were made in other surroundings are never used again. `make` does not see the difference: it knows only
 *   the headers that an object was made from, and not one that was missing then.
 * - The addon is renamed into place: processes that run with the old one keep it.
 */
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { availableParallelism } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from './child-process.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const SOURCES = join(root, 'native');
const OUTPUT = join(root, 'build', 'native');
const ADDON = join(OUTPUT, 'queuepair.node');
const STAMP = join(OUTPUT, '.stamp');
const LOG = join(OUTPUT, 'build.log');
/** The sources ask for these with `__has_include`. */
const OPTIONAL_HEADERS = ['infiniband/verbs.h', 'rdma/rdma_cma.h'];
/** Variables that the compiler, the linker or node-gyp's makefiles read. */
const FLAG_VARIABLES = [
  'CC',
  'CXX',
  'CFLAGS',
  'CXXFLAGS',
  'CPPFLAGS',
  'LDFLAGS',
  'CPATH',
  'CPLUS_INCLUDE_PATH',
  'LIBRARY_PATH',
];
const SOURCE_FILE = /\.(cc|h|gyp)$/;

/** Whether there is something to compile that was not tried with these tools already. */
export function addonNeedsBuild() {
  if (process.platform !== 'linux' || !existsSync(join(SOURCES, 'binding.gyp'))) return false;
  const stamp = readStamp();
  if (stamp.sources !== fingerprint()) return true;
  const isChanged = stamp.surroundings !== surroundings();
  if (stamp.outcome !== 'built') return isChanged || stamp.tools !== describeTools();
  // A shell without a compiler must not lose the addon that another shell built.
  return !existsSync(ADDON) || (isChanged && missingTools().length === 0);
}

/**
 * Compiles, and says on standard error what it does and, if that fails, why. One process at a time.
 * @returns {Promise<NodeJS.Signals | null>} the signal that interrupted it
 */
export async function buildAddon() {
  say('building the native addon…');
  mkdirSync(OUTPUT, { recursive: true });
  rmSync(STAMP, { force: true });
  // An addon of older sources is worse than none.
  rmSync(ADDON, { force: true });
  // Taken before the compiler reads: an edit made while it runs leaves the build stale, not wrongly fresh.
  const before = `${fingerprint()}\n${describeTools()}\n${surroundings()}`;
  const { failure, signal } = await compileAddon({ sources: SOURCES, addon: ADDON, log: LOG });
  if (signal) return signal;
  writeFileSync(STAMP, `${before}\n${failure ?? 'built'}\n`);
  if (failure) say(`the native addon was not built: ${failure}\nsoft devices will run over node:dgram`);
  return null;
}

/**
 * Runs node-gyp in the folder `sources`, which has binding.gyp, and puts what comes out to `addon`.
 * @param {{ sources: string, addon: string, log: string, variables?: string[] }} options
 *   `variables`: settings of variables of binding.gyp, as in `sanitize=address`
 * @returns {Promise<{ failure: string | null, signal?: NodeJS.Signals | null }>}
 */
export async function compileAddon({ sources, addon, log, variables = [] }) {
  const missing = missingTools();
  if (missing.length > 0) return { failure: `${missing.join(' and ')} not found` };
  const nodeGyp = findNodeGyp();
  if (nodeGyp === undefined) return { failure: 'the node-gyp of npm was not found' };
  discardForeignObjects(join(sources, 'build'), `${surroundings()} ${variables.join(' ')}\n`);
  const args = ['configure', 'build', '--jobs', String(availableParallelism())];
  // The headers beside this Node.js; without them node-gyp fetches them from nodejs.org.
  const prefix = dirname(dirname(realpathSync(process.execPath)));
  if (existsSync(join(prefix, 'include', 'node', 'node_api.h'))) args.push(`--nodedir=${prefix}`);
  const result = await run(process.execPath, [nodeGyp, ...args], {
    cwd: sources,
    env: { ...process.env, GYP_DEFINES: variables.join(' ') },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  writeFileSync(log, result.output);
  if (result.code !== 0)
    return { failure: `node-gyp failed, see ${log} (${firstError(result.output)})`, signal: result.signal };
  const fresh = `${addon}.${process.pid}`;
  copyFileSync(join(sources, 'build', 'Release', 'queuepair.node'), fresh);
  renameSync(fresh, addon);
  return { failure: null };
}

/** Removes the folder of objects unless they were made as `how` says; writes down that what is made next is. */
function discardForeignObjects(folder, how) {
  const note = join(folder, '.made-with');
  if (existsSync(note) && readFileSync(note, 'utf8') === how) return;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  writeFileSync(note, how);
}

const COMPILER = { title: 'a C++ compiler (g++)', names: [process.env.CXX || 'g++', 'c++'] };
const TOOLS = [
  COMPILER,
  { title: 'make', names: ['make', 'gmake'] },
  { title: 'Python 3', names: ['python3', 'python'] },
];

function findTool(names) {
  const folders = (process.env.PATH ?? '').split(delimiter);
  return names
    .flatMap((name) => (name.includes('/') ? [name] : folders.map((folder) => join(folder, name))))
    .find((path) => existsSync(path));
}

function findNodeGyp() {
  const besides = process.env.npm_execpath ? dirname(dirname(process.env.npm_execpath)) : undefined;
  const prefix = dirname(dirname(realpathSync(process.execPath)));
  const npms = [besides, join(prefix, 'lib', 'node_modules', 'npm'), join(prefix, 'node_modules', 'npm')];
  return [
    process.env.npm_config_node_gyp,
    ...npms.filter(Boolean).map((npm) => join(npm, 'node_modules', 'node-gyp', 'bin', 'node-gyp.js')),
  ].find((path) => path && existsSync(path));
}

function missingTools() {
  return TOOLS.filter(({ names }) => findTool(names) === undefined).map(({ title }) => title);
}

function describeTools() {
  return [...TOOLS.map(({ names }) => findTool(names)), findNodeGyp()].join(' ');
}

/** What decides, beside the sources, what is compiled: in one line. Files are told by size and time, to start no process. */
function surroundings() {
  const compiler = findTool(COMPILER.names);
  const flags = FLAG_VARIABLES.map((name) => `${name}=${process.env[name] ?? ''}`);
  const files = [compiler, ...optionalHeaders()].filter(Boolean).map(describeFile);
  const hash = createHash('sha256').update(JSON.stringify([process.version, process.arch, flags, files]));
  return hash.digest('hex');
}

function optionalHeaders() {
  const named = [process.env.CPATH, process.env.CPLUS_INCLUDE_PATH].flatMap(
    (paths) => paths?.split(delimiter) ?? [],
  );
  return [...named, '/usr/local/include', '/usr/include']
    .flatMap((folder) => OPTIONAL_HEADERS.map((header) => join(folder, header)))
    .filter((path) => existsSync(path));
}

/** Of the file that links lead to: `g++` is a link, and the version that it leads to changes. */
function describeFile(path) {
  const target = realpathSync(path);
  const { size, mtimeMs } = statSync(target);
  return `${path} ${target} ${size} ${mtimeMs}`;
}

function fingerprint() {
  const hash = createHash('sha256');
  for (const path of sourceFiles(SOURCES)) {
    const { size, mtimeMs } = statSync(path);
    hash.update(`${path} ${size} ${mtimeMs}\n`);
  }
  return hash.digest('hex');
}

function sourceFiles(folder) {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => (entry.isDirectory() ? entry.name !== 'build' : SOURCE_FILE.test(entry.name)))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      return entry.isDirectory() ? sourceFiles(path) : [path];
    });
}

function readStamp() {
  if (!existsSync(STAMP)) return {};
  const [sources, tools, surroundings, outcome] = readFileSync(STAMP, 'utf8').split('\n');
  return { sources, tools, surroundings, outcome };
}

function firstError(output) {
  const lines = output.split('\n');
  const line = lines.find((text) => /\berror\b/i.test(text)) ?? lines.findLast((text) => text.trim() !== '');
  return (line ?? 'it said nothing').trim().slice(0, 200);
}

function say(message) {
  process.stderr.write(`${message}\n`);
}
