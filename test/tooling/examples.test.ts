/**
 * Each example runs with the command that it names, prints what it shows and ends by itself. No example can be forgotten: one
 * without a row here fails a test.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';
import { packageRoot } from './temporary-project.js';

const LIMIT_MILLIS = 60_000;
/** What fits on two screens, and is read in two minutes. */
const MAX_LINES = 130;

/** What an example prints, in any order; of two programs what each of them prints. */
const EXAMPLES: Readonly<Record<string, readonly RegExp[]>> = {
  'cache.mjs': [
    /^client: 2000 lookups, with prices that changed meanwhile$/m,
    /^client: \d+ slots were torn and read again$/m,
    /^owner: many changes, and its event loop has turned 0 times$/m,
  ],
  'echo.mjs': [
    /^5 bytes came back: hello$/m,
    /^34 bytes came back: messages arrive whole and in order$/m,
    /^1000000 bytes came back: x{40}$/m,
  ],
  'encrypted.mjs': [
    /^CN=queuepair development client sent "a secret message" and wrote "a secret in memory"$/m,
    /^in the clear: "a secret message" is on the wire$/m,
    /^in the clear: "a secret in memory" is on the wire$/m,
    /^aes-256-gcm: "a secret message" is not on the wire$/m,
    /^aes-256-gcm: "a secret in memory" is not on the wire$/m,
  ],
  'http.mjs': [
    /^you asked for \/first$/m,
    /^you asked for \/second$/m,
    /^10000000 bytes came back$/m,
    /^sockets: 1$/m,
  ],
  'http2.mjs': [/^you asked for \/a$/m, /^you asked for \/b$/m, /^you asked for \/c$/m],
  'mysql.mjs': [
    /^server: SELECT name, moons FROM planets WHERE moons < 100$/m,
    /^client: Neptune has 16 moons$/m,
    /^client: and once more, 3 rows$/m,
  ],
  'nvme-disk.mjs': [/^1 TiB: I am block 123456\.$/m, /^block 7 has what I wrote\.; 1 block is kept$/m],
  'one-sided.mjs': [
    /^client: I have read back remotely$/m,
    /^server: my buffer holds written remotely$/m,
    /^client: the prices are 1\.5, 2\.5, 3\.5$/m,
    /^client: now a read of them ends with ERR_RDMA_COMPLETION$/m,
  ],
  'postgres.mjs': [
    /^PostgreSQL \d+/m,
    /^Neptune has 16 moons$/m,
    /^three clients at once: 500500, 2001000, 4501500$/m,
    /^a value of 5 MB came back equal$/m,
  ],
  'redis.mjs': [
    /^SET: OK$/m,
    /^GET: hello over RDMA$/m,
    /^1000 × INCR in one pipeline: 1000$/m,
    /^a value of 5 MB came back equal$/m,
  ],
  'rsocket-echo.mjs': [
    /^server: somebody has come from 127\.0\.0\.1$/m,
    /^client: "hello over rsocket" came back$/m,
  ],
  'streams.mjs': [
    /^"a message in between" came back$/m,
    /^file 1: 16777216 bytes, hashes are equal$/m,
    /^file 2: 33554432 bytes, hashes are equal$/m,
    /^file 3: 50331648 bytes, hashes are equal$/m,
    /^server: a stream ended with ERR_RDMA_STREAM_RESET$/m,
  ],
  'tcp-proxy.mjs': [/^the service answered: what do you say\? hello$/m],
  'tls.mjs': [
    /^TLSv1\.3 with queuepair development server, TLS_AES_256_GCM_SHA384$/m,
    /^"hello through two layers" came back$/m,
  ],
  'typed-rpc.mjs': [
    /^2 \+ 3 = 5$/m,
    /^many at once: 2, 4, 6$/m,
    /^Ada is 36$/m,
    /^find\("Bob"\): nobody is called Bob$/m,
    /^add\(2, "3"\): Invalid type: Expected number but received "3"$/m,
  ],
  'undici.mjs': [
    /^200 \{ path: '\/one', from: '127\.0\.0\.1' \}$/m,
    /^200 \{ path: '\/three', from: '127\.0\.0\.1' \}$/m,
  ],
  'verbs-ping-pong.mjs': [/^1000 round trips of 64 bytes/m],
  'websocket.mjs': [/^"hello" came back$/m, /^3000000 bytes came back$/m],
  'worker.mjs': [
    /^worker 0 has done its share$/m,
    /^worker 1 has done its share$/m,
    /^worker 2 has done its share$/m,
    /^24 of 24 results are right$/m,
  ],
  'workers.mjs': [/^600851475143 has the prime factor 71$/m, /^served in 3 threads$/m],
};
/** Programs of the system that an example needs. */
const NEEDS: Readonly<Record<string, string>> = { 'postgres.mjs': 'postgres', 'redis.mjs': 'redis-server' };
/** Debian has PostgreSQL here, in a folder for each version. */
const POSTGRES = '/usr/lib/postgresql';
/** A server that says where it waits, and a client that is told where. */
const TWO_PROGRAMS = new Set(['verbs-ping-pong.mjs']);

const root = packageRoot();
/** Development certificates go here, not into the configuration of whoever runs the tests. */
const home = mkdtempSync(join(tmpdir(), 'queuepair-examples-'));
after(() => rmSync(home, { recursive: true, force: true }));

test('every example has its row, and its place in README', () => {
  const names = readdirSync(join(root, 'examples')).sort();
  assert.deepEqual(Object.keys(EXAMPLES).sort(), names);
  const readme = readFileSync(join(root, 'README.md'), 'utf8');
  for (const name of names) assert.ok(readme.includes(`(examples/${name})`), `README.md lacks ${name}`);
});

for (const [name, lines] of Object.entries(EXAMPLES)) {
  const program = NEEDS[name];
  const skip = program !== undefined && !isInstalled(program) && `needs ${program}`;
  test(`${name} runs with the command that it names, and prints what it shows`, { skip }, async () => {
    const text = readFileSync(join(root, 'examples', name), 'utf8');
    assert.match(text, new RegExp(`^ \\*   node examples/${name.replace('.', '\\.')}( |$)`, 'm'));
    assert.ok(text.split('\n').length <= MAX_LINES, `${name} has more than ${MAX_LINES} lines`);
    const outcomes = TWO_PROGRAMS.has(name) ? await playTwo(name) : [await outcome(start(name))];
    for (const { code, stdout, stderr } of outcomes) {
      assert.equal(code, 0, stderr);
      for (const line of lines) assert.match(stdout, line);
    }
  });
}

test('the types of typed-rpc.mjs hold', async () => {
  const flags = ['--noEmit', '--checkJs', '--allowJs', '--strict', '--module', 'nodenext', '--types', 'node'];
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const example = join('examples', 'typed-rpc.mjs');
  const { code, stdout } = await outcome(spawnNode([tsc, '--ignoreConfig', ...flags, example]));
  assert.equal(code, 0, stdout);
});

function isInstalled(program: string): boolean {
  const versions = program === 'postgres' && existsSync(POSTGRES) ? readdirSync(POSTGRES) : [];
  if (versions.some((version) => existsSync(join(POSTGRES, version, 'bin', program)))) return true;
  return spawnSync(program, ['--version'], { stdio: 'ignore' }).error === undefined;
}

async function playTwo(name: string): Promise<Outcome[]> {
  const server = start(name);
  const served = outcome(server);
  assert.ok(server.stdout);
  const [line] = (await once(createInterface({ input: server.stdout }), 'line')) as [string];
  // What it tells people to type.
  const [, file, place] = /; in another terminal: node (\S+) (\S+)$/.exec(line) ?? [];
  assert.ok(file !== undefined && place !== undefined, line);
  return [await outcome(spawnNode([file, place])), await served];
}

const start = (name: string, ...args: string[]): ChildProcess => spawnNode([join('examples', name), ...args]);

function spawnNode(args: readonly string[]): ChildProcess {
  const { NODE_TEST_CONTEXT: _, ...inherited } = process.env;
  const env = { ...inherited, HOME: home, XDG_CONFIG_HOME: home, APPDATA: home };
  return spawn(process.execPath, args, { cwd: root, env, timeout: LIMIT_MILLIS });
}

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Collects until it ends. */
async function outcome(child: ChildProcess): Promise<Outcome> {
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (piece) => (stdout += String(piece)));
  child.stderr?.on('data', (piece) => (stderr += String(piece)));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}
