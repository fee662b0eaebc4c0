/** The package as users get it: packed, installed into an empty folder, and with its native port opened there. */
import assert from 'node:assert/strict';
import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { loadAddon } from '../../src/native/addon.js';
import { packageRoot } from './temporary-project.js';

const RUN_LIMIT_MILLIS = 150_000;
const NOT_REACHED = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENOTCACHED|ENETUNREACH/;

/** Opens a device and says what it runs over; exit code 3: not at all. */
const OPEN = `
import { openDevice } from 'queuepair';
const device = await openDevice(process.argv[2]).catch((error) => {
  console.error(error.message);
  process.exit(3);
});
console.log(JSON.stringify({ isExact: (await device.queryPort()).exactIcrc, counters: Object.keys(device.counters()) }));
await device.close();
`;

function reasonToSkip(): string | false {
  if (process.platform !== 'linux') return 'prebuilt addons are made on Linux';
  const addon = loadAddon();
  if (typeof addon === 'string') return addon;
  return spawnSync('npm', ['--version']).status === 0 ? false : 'npm is not installed';
}

function run(cwd: string, command: string, args: readonly string[], environment: NodeJS.ProcessEnv = {}) {
  const { NODE_TEST_CONTEXT: _, QUEUEPAIR_ADDON: __, npm_execpath: ___, ...inherited } = process.env;
  const env = { ...inherited, ...environment };
  return spawnSync(command, args, { cwd, env, encoding: 'utf8', timeout: RUN_LIMIT_MILLIS });
}

const said = ({ status, stdout, stderr }: SpawnSyncReturns<string>) => `code ${status}\n${stdout}\n${stderr}`;

/** Packs this package, with this clone's addon for the prebuilt one, because compiling that takes its time. */
function pack(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'queuepair-packed-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const script = join(packageRoot(), 'scripts', 'package.mjs');
  const packed = run(packageRoot(), process.execPath, [script, '--addons', 'own', '--folder', folder]);
  assert.equal(packed.status, 0, said(packed));
  return packed.stdout.trim();
}

function emptyFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'queuepair-installed-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }\n');
  writeFileSync(join(folder, 'open.js'), OPEN);
  return folder;
}

/** The program brings what it needs for that inside; a library user installs prom-client. */
async function showsItself(home: string, folder: string): Promise<void> {
  const flags = ['serve', '--json', '--port', '0', '--device', 'soft:127.0.0.1?port=0', '--metrics', '0'];
  const main = join(home, 'dist', 'cli', 'main.js');
  const child = spawn(process.execPath, [main, ...flags, '--dev-certs', join(folder, 'certs')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(line);
    if (line.includes('"observing"')) break;
  }
  const { url } = JSON.parse(lines.at(-1) ?? '{}') as { url?: string };
  assert.ok(url, lines.join('\n'));
  for (const [path, text] of [
    ['/', '<title>queuepair'],
    ['/dashboard.js', 'EventSource'],
    ['/dashboard.css', '.uplot'],
    ['/metrics', 'queuepair_slots 10'],
  ]) {
    const answer = await (await fetch(`${url}${path}`)).text();
    assert.ok(answer.includes(text ?? ''), `${path}: ${answer.slice(0, 200)}`);
  }
  child.kill('SIGTERM');
  await once(child, 'exit');
}

test('the packed package, installed where nothing can be compiled, opens a native port and shows a dashboard', {
  skip: reasonToSkip(),
}, async (t) => {
  const tarball = pack(t);
  const folder = emptyFolder(t);
  // Nothing but Node.js and a shell, which npm starts scripts with.
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  symlinkSync(process.execPath, join(bin, 'node'));
  symlinkSync('/bin/sh', join(bin, 'sh'));
  const npm = spawnSync('sh', ['-c', 'readlink -f "$(command -v npm)"'], { encoding: 'utf8' }).stdout.trim();
  const options = ['--prefer-offline', '--no-audit', '--no-fund'];
  const installed = run(folder, process.execPath, [npm, 'install', tarball, ...options], { PATH: bin });
  if (installed.status !== 0 && NOT_REACHED.test(installed.stderr)) {
    t.skip('the registry that the dependencies come from cannot be reached');
    return;
  }
  assert.equal(installed.status, 0, said(installed));
  const home = join(folder, 'node_modules', 'queuepair');
  assert.equal(existsSync(join(home, 'build', 'native')), false, 'nothing was compiled');

  const native = run(folder, process.execPath, ['open.js', 'soft?port=0&io=native']);
  assert.equal(native.status, 0, said(native));
  const { isExact, counters } = JSON.parse(native.stdout) as { isExact: boolean; counters: string[] };
  assert.deepEqual([isExact, counters.includes('portSegmentedSends')], [true, true]);
  const memory = run(folder, process.execPath, ['open.js', 'soft?port=0&io=shm']);
  assert.ok(memory.stdout.includes('portRings'), said(memory));
  const byDefault = run(folder, process.execPath, ['open.js', 'soft?port=0']);
  assert.deepEqual([byDefault.stdout, byDefault.stderr], [memory.stdout, ''], 'it is the default');

  await showsItself(home, folder);

  rmSync(join(home, 'prebuilt'), { recursive: true });
  const script = run(home, process.execPath, ['scripts/install.mjs'], { PATH: bin });
  assert.equal(script.status, 0, said(script));
  assert.match(script.stderr, /the native addon was not built: a C\+\+ compiler [^\n]* not found/);
  const without = run(folder, process.execPath, ['open.js', 'soft?port=0']);
  assert.equal(without.status, 0, said(without));
  assert.equal((JSON.parse(without.stdout) as { isExact: boolean }).isExact, false);
  assert.equal(without.stderr.match(/soft devices run over node:dgram/g)?.length, 1, without.stderr);
  const forced = run(folder, process.execPath, ['open.js', 'soft?port=0&io=native']);
  assert.equal(forced.status, 3, said(forced));
  assert.match(forced.stderr, /io=native is not possible: the native addon is not built/);
});
