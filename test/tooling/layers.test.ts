/**
 * The layer rules in biome.json: each is broken once in a temporary folder, line by line, and the linter must say so
 * on that line and on no other. One run of the linter serves all cases.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { packageRoot } from './temporary-project.js';

const IMPORTS = 'lint/style/noRestrictedImports';
const GLOBALS = 'lint/style/noRestrictedGlobals';
const PROPERTIES = 'lint/nursery/noJsRestrictedProperties';
const CONSOLE = 'lint/suspicious/noConsole';
const RULES: readonly string[] = [IMPORTS, GLOBALS, PROPERTIES, CONSOLE];

interface Case {
  readonly file: string;
  readonly rule: string;
  readonly forbidden: readonly string[];
  readonly allowed: readonly string[];
}

function imports(file: string, forbidden: readonly string[], allowed: readonly string[]): Case {
  const statement = (specifier: string) => `export * from '${specifier}';`;
  return { file, rule: IMPORTS, forbidden: forbidden.map(statement), allowed: allowed.map(statement) };
}

const IMPURE = [
  'export const now = Date.now();',
  'export type When = Date;',
  'export const { random } = Math;',
  'export const r = Math.random();',
  'export const p = performance.now();',
  'setTimeout(() => {}, 1);',
  'setInterval(() => {}, 1);',
  'setImmediate(() => {});',
  'queueMicrotask(() => {});',
  'globalThis.setTimeout(() => {}, 1);',
  'export const b = Buffer.alloc(1);',
  'export const c = crypto.randomUUID();',
  'export const e = process.env;',
];
const PURE = ['export const m = Math.imul(2, 3);', 'export const a = new Uint8Array(1);'];
const ENTRIES = [
  '../index.js',
  '../endpoint.js',
  '../verbs.js',
  '../roce.js',
  '../cm.js',
  '../net.js',
  '../nvme.js',
  'queuepair',
  'queuepair/verbs',
];

const CASES: readonly Case[] = [
  imports(
    'src/cli/x.ts',
    ['../soft/a.js', '../ibverbs/a.js', '../roce/a.js', '../../native/a.js', ...ENTRIES],
    [
      '../connection/a.js',
      '../observe/a.js',
      '../endpoint/a.js',
      '../open-device.js',
      '../session/a.js',
      '../verbs/a.js',
      'commander',
    ],
  ),
  imports(
    'src/observe/x.ts',
    ['../cli/a.js', '../soft/a.js', '../ibverbs/a.js', '../roce/a.js', ...ENTRIES],
    ['../connection/a.js', '../open-device.js', '../session/a.js', '../verbs/a.js', 'pino', 'node:http'],
  ),
  imports(
    'src/connection/x.ts',
    [
      '../cm/a.js',
      '../net/a.js',
      '../cli/a.js',
      '../observe/a.js',
      '../soft/a.js',
      '../ibverbs/a.js',
      '../roce/a.js',
      ...ENTRIES,
    ],
    ['./a.js', '../endpoint/a.js', '../open-device.js', '../verbs/a.js', 'node:events'],
  ),
  imports(
    'src/connection/deep/x.ts',
    ['../../soft/a.js', '../../verbs.js', '../../session/a.js'],
    ['../a.js', '../../session/terms.js'],
  ),
  imports(
    'src/connection/lifeline/lifeline.ts',
    [
      '../../session/control-channel.js',
      '../../session/establish-session.js',
      '../../session/frames.js',
      '../../soft/a.js',
      './tls-rendezvous.js',
    ],
    [
      '../../session/peer-identity.js',
      '../../session/session-data.js',
      '../../session/terms.js',
      './rendezvous.js',
    ],
  ),
  ...[
    'client/client',
    'lifeline/tls-rendezvous',
    'options/listen-options',
    'options/option-rules',
    'server/admission',
    'server/server',
  ].map((file) =>
    imports(`src/connection/${file}.ts`, ['../../soft/a.js', ...ENTRIES], ['./a.js', '../../session/a.js']),
  ),
  imports(
    'src/open-device.ts',
    ['./cli/a.js', './observe/a.js', './connection/a.js', './endpoint/a.js', './index.js', 'queuepair'],
    ['./soft/a.js', './ibverbs/a.js', './verbs/a.js'],
  ),
  imports(
    'src/process-hold.ts',
    ['./connection/a.js', './soft/a.js', './open-device.js', './index.js', './verbs.js'],
    ['./verbs/a.js'],
  ),
  imports(
    'src/certificates/x.ts',
    ['../cli/a.js', '../connection/a.js', '../open-device.js', '../soft/a.js', ...ENTRIES],
    ['./a.js', '../session/a.js', '../verbs/a.js', '@peculiar/x509'],
  ),
  imports(
    'testkit/x.ts',
    ['../test/a.js', '../tools/sim/a.js'],
    ['./a.js', '../src/verbs/a.js', 'node:test'],
  ),
  imports('tools/sim/x.ts', ['../../test/roce/a.js'], ['../../testkit/a.js', '../../src/roce/a.js']),
  imports(
    'src/endpoint/x.ts',
    [
      '../cm/a.js',
      '../nvme/a.js',
      '../net/a.js',
      '../cli/a.js',
      '../connection/a.js',
      '../open-device.js',
      '../session/a.js',
      '../soft/a.js',
      '../ibverbs/a.js',
      '../roce/a.js',
      ...ENTRIES,
    ],
    ['./a.js', './endpoint.js', '../verbs/a.js', 'node:crypto'],
  ),
  imports(
    'src/net/x.ts',
    [
      '../cli/a.js',
      '../observe/a.js',
      '../session/a.js',
      '../soft/a.js',
      '../ibverbs/a.js',
      '../roce/a.js',
      '../certificates/a.js',
      ...ENTRIES,
    ],
    [
      './a.js',
      '../cm/a.js',
      '../connection/a.js',
      '../endpoint/a.js',
      '../open-device.js',
      '../verbs/a.js',
      'node:net',
    ],
  ),
  imports('src/net/rsocket/x.ts', ['../../session/a.js', '../../soft/a.js'], ['../a.js', '../../cm/a.js']),
  imports(
    'src/net.ts',
    ['./connection/a.js', './cm/a.js', './soft/a.js', './index.js'],
    ['./net/a.js', './verbs/a.js', 'node:net'],
  ),
  imports(
    'src/nvme/x.ts',
    [
      '../net/a.js',
      '../cli/a.js',
      '../observe/a.js',
      '../connection/a.js',
      '../open-device.js',
      '../session/a.js',
      '../soft/a.js',
      '../ibverbs/a.js',
      '../roce/a.js',
      ...ENTRIES,
    ],
    ['./a.js', '../cm/a.js', '../endpoint/a.js', '../verbs/a.js', 'node:fs/promises'],
  ),
  imports(
    'src/cm/x.ts',
    [
      '../nvme/a.js',
      '../net/a.js',
      '../cli/a.js',
      '../observe/a.js',
      '../connection/a.js',
      '../open-device.js',
      '../session/a.js',
      '../soft/a.js',
      '../ibverbs/a.js',
      '../roce/a.js',
      ...ENTRIES,
    ],
    ['./a.js', '../endpoint/a.js', '../verbs/a.js', 'node:dns/promises'],
  ),
  imports(
    'src/session/x.ts',
    [
      '../cm/a.js',
      '../nvme/a.js',
      '../net/a.js',
      '../endpoint/a.js',
      '../cli/a.js',
      '../certificates/a.js',
      '../observe/a.js',
      '../connection/a.js',
      '../open-device.js',
      '../soft/a.js',
      '../ibverbs/a.js',
      '../roce/a.js',
      ...ENTRIES,
    ],
    ['./a.js', '../verbs/a.js', 'valibot', 'node:tls'],
  ),
  imports(
    'src/soft/x.ts',
    [
      '../cm/a.js',
      '../nvme/a.js',
      '../net/a.js',
      '../cli/a.js',
      '../endpoint/a.js',
      '../observe/a.js',
      '../connection/a.js',
      '../open-device.js',
      '../session/a.js',
      '../ibverbs/a.js',
      ...ENTRIES,
    ],
    ['./a.js', '../roce/a.js', '../roce/cm/a.js', '../verbs/a.js', '../../native/a.js', 'node:dgram'],
  ),
  imports(
    'src/ibverbs/x.ts',
    [
      '../cm/a.js',
      '../nvme/a.js',
      '../net/a.js',
      '../cli/a.js',
      '../endpoint/a.js',
      '../observe/a.js',
      '../connection/a.js',
      '../open-device.js',
      '../session/a.js',
      '../soft/a.js',
      ...ENTRIES,
    ],
    ['./a.js', '../verbs/a.js', '../../native/a.js', 'node:module'],
  ),
  imports(
    'src/native/x.ts',
    ['../verbs/a.js', '../roce/a.js', '../soft/a.js', 'valibot', ...ENTRIES],
    ['./a.js', 'node:module'],
  ),
  imports(
    'src/roce/x.ts',
    [
      '../cli/a.js',
      '../observe/a.js',
      '../connection/a.js',
      '../open-device.js',
      '../session/a.js',
      '../soft/a.js',
      '../ibverbs/a.js',
      '../../native/a.js',
      'node:crypto',
      'fs',
      'valibot',
      '@peculiar/x509',
      ...ENTRIES,
    ],
    ['./a.js', './wire/a.js', '../verbs/a.js'],
  ),
  imports(
    'src/roce/wire/x.ts',
    ['../../soft/a.js', '../../roce.js', 'node:zlib'],
    ['./a.js', '../a.js', '../../verbs/a.js'],
  ),
  imports('src/verbs/x.ts', ['../roce/a.js', '../soft/a.js', 'node:os', 'valibot', ...ENTRIES], ['./a.js']),
  imports(
    'src/index.ts',
    ['./cli/a.js', './observe/a.js', './soft/a.js', './ibverbs/a.js', './roce/a.js', './roce.js'],
    ['./connection/a.js', './session/a.js', './open-device.js', './verbs/a.js'],
  ),
  imports(
    'src/verbs.ts',
    ['./connection/a.js', './session/a.js', './soft/a.js', './ibverbs/a.js', './roce/a.js', './index.js'],
    ['./verbs/a.js', './open-device.js'],
  ),
  imports(
    'src/observe.ts',
    ['./connection/a.js', './session/a.js', './soft/a.js', './cli/a.js', './index.js', './verbs.js'],
    ['./observe/a.js', './connection/program/diagnostics.js', './connection/program/operation-watch.js'],
  ),
  imports('src/certificates.ts', ['./verbs/a.js', './session/a.js', './index.js'], ['./certificates/a.js']),
  imports(
    'src/endpoint.ts',
    ['./connection/a.js', './session/a.js', './soft/a.js', './roce/a.js', './index.js', './verbs.js'],
    ['./endpoint/a.js', './verbs/a.js', './open-device.js'],
  ),
  imports(
    'src/cm.ts',
    ['./connection/a.js', './session/a.js', './soft/a.js', './roce/a.js', './index.js', './verbs.js'],
    ['./cm/a.js', './verbs/a.js', './open-device.js'],
  ),
  imports(
    'src/nvme.ts',
    ['./connection/a.js', './session/a.js', './soft/a.js', './roce/a.js', './index.js', './verbs.js'],
    ['./nvme/a.js', './verbs/a.js', './open-device.js'],
  ),
  imports(
    'src/roce.ts',
    ['./soft/a.js', './session/a.js', './open-device.js'],
    ['./roce/a.js', './verbs/a.js'],
  ),
  // Every way to write an import counts.
  {
    file: 'src/session/forms.ts',
    rule: IMPORTS,
    forbidden: [
      "import '../soft/a.js';",
      "import type { A } from '../soft/b.js';",
      "export const c = await import('../soft/c.js');",
    ],
    allowed: ["import '../verbs/a.js';", 'export type X = A;'],
  },
  { file: 'src/roce/impure.ts', rule: GLOBALS, forbidden: IMPURE, allowed: PURE },
  { file: 'src/verbs/impure.ts', rule: GLOBALS, forbidden: IMPURE, allowed: PURE },
  { file: 'src/soft/impure.ts', rule: GLOBALS, forbidden: [], allowed: [...IMPURE, ...PURE] },
  {
    file: 'src/connection/console.ts',
    rule: CONSOLE,
    forbidden: ["console.log('x');", "console.error('x');"],
    allowed: [],
  },
  { file: 'src/cli/console.ts', rule: CONSOLE, forbidden: [], allowed: ["console.log('x');"] },
];

interface Report {
  readonly diagnostics: readonly {
    readonly category: string;
    readonly message: string;
    readonly severity: string;
    readonly location: { readonly path: string; readonly start: { readonly line: number } };
  }[];
}

const folder = mkdtempSync(join(tmpdir(), 'queuepair-layers-'));
let report: Report = { diagnostics: [] };

before(() => {
  const root = packageRoot();
  copyFileSync(join(root, 'biome.json'), join(folder, 'biome.json'));
  for (const { file, forbidden, allowed } of CASES) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), `${[...forbidden, ...allowed].join('\n')}\n`);
  }
  const biome = join(root, 'node_modules', '@biomejs', 'biome', 'bin', 'biome');
  const args = [biome, 'lint', '--max-diagnostics=none', '--reporter=json', '.'];
  const { stdout } = spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8', timeout: 60_000 });
  report = JSON.parse(stdout) as Report;
});

after(() => rmSync(folder, { recursive: true, force: true }));

for (const { file, rule, forbidden } of CASES) {
  const what = rule.replace(/.*\//, '');
  const which = forbidden.length === 0 ? 'no line' : `exactly the first ${forbidden.length} lines`;
  test(`${file}: ${what} forbids ${which}`, () => {
    const accepted = rule === GLOBALS ? [GLOBALS, PROPERTIES] : [rule];
    const found = report.diagnostics.filter(
      ({ location, category }) => location.path === file && RULES.includes(category),
    );
    const lines = new Set(found.map(({ location }) => location.start.line));
    assert.deepEqual(
      [...lines].sort((a, b) => a - b),
      forbidden.map((_, index) => index + 1),
    );
    for (const { category, severity } of found) {
      assert.ok(accepted.includes(category), `${category} is not expected here`);
      assert.equal(severity, 'error');
    }
  });
}

test('every folder and file of src has a layer', () => {
  const known = new Set(CASES.map(({ file }) => file.split('/')[1]));
  const unknown = readdirSync(join(packageRoot(), 'src')).filter((name) => !known.has(name));
  assert.deepEqual(unknown, [], 'add an override for it to biome.json, and a case here');
});

test('no room above the contract of devices names a kind of device', () => {
  const rooms = ['verbs', 'endpoint', 'cm', 'nvme', 'session', 'connection', 'net', 'observe'];
  const files = rooms.flatMap((room) => {
    const paths = readdirSync(join(packageRoot(), 'src', room), { recursive: true, encoding: 'utf8' });
    return paths.filter((path) => path.endsWith('.ts')).map((path) => join('src', room, path));
  });
  const naming = files.filter((file) =>
    /['"`](?:soft|ibverbs)(?:['"`]|[:?])/.test(
      readFileSync(join(packageRoot(), file), 'utf8').replace(/\/\*[\s\S]*?\*\//g, ''),
    ),
  );
  assert.deepEqual(naming, [], 'what a program decides by is an attribute of the device');
});

test('the life and the face of a connection know its data plane by the interface alone', () => {
  const own = ['connection', 'message-access', 'remote-access'].map((name) => `program/${name}.ts`);
  const room = join(packageRoot(), 'src', 'connection');
  const lives = readdirSync(join(room, 'lifeline')).map((name) => `lifeline/${name}`);
  assert.ok(lives.length > 3);
  const through = ['data-path/data-plane.ts', ...own, ...lives].flatMap((name) =>
    [...readFileSync(join(room, name), 'utf8').matchAll(/'(\.[^']+\.js)'/g)]
      .map(([, path = '']) => path)
      .filter((path) =>
        /\/(data-path|resources|link|link-proof|proof-messages|own-parameters|transitions|work-tracker|message-receiver|insides)\.js$/.test(
          path,
        ),
      )
      .map((path) => `${name} imports ${path}`),
  );
  assert.deepEqual(through, [], 'ask for it in data-plane.ts, with plain data');
});
