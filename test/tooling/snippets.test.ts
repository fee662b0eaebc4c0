/**
 * The code that README and docs/ show is tried, taken from the documents themselves: in a folder where `queuepair` is this build.
 *
 * What the fence says: `js` runs as pasted, and prints something; `js server` and `js client` are the two ends of one page and run
 * together; `ts`, and anything with `fragment`, is no whole program, and the compiler checks it strictly. Names that a fragment uses and
 * does not make are those of snippet-names.d.ts. Of `sh`, every command of ours is one that exists, with flags that it has.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { helpOf } from '../../testkit/program-help.js';
import { packageRoot } from './temporary-project.js';

const LIMIT_MILLIS = 60_000;
const BLOCK = /^```([^\n`]+)\n([\s\S]*?)^```/gm;
/** Fences of what is no code of ours to try; other tests look at some of them. */
const NO_CODE = new Set(['mermaid', 'frame', 'text']);
/** Addresses of the documents (RFC 5737), and what stands for them here. */
const STAND_INS: readonly (readonly [RegExp, string])[] = [[/192\.0\.2\.\d+/g, '127.0.0.1']];

interface Snippet {
  readonly page: string;
  readonly line: number;
  readonly language: string;
  readonly role: string | undefined;
  readonly code: string;
}

const root = packageRoot();
const folder = mkdtempSync(join(tmpdir(), 'queuepair-snippets-'));
const modules = join(folder, 'node_modules');
mkdirSync(modules);
for (const name of readdirSync(join(root, 'node_modules'))) {
  if (!name.startsWith('.')) symlinkSync(join(root, 'node_modules', name), join(modules, name));
}
symlinkSync(root, join(modules, 'queuepair'), 'dir');
after(() => rmSync(folder, { recursive: true, force: true }));

const pages = [
  'README.md',
  ...readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];
const snippets = pages.flatMap((page) => snippetsOf(page));

function snippetsOf(page: string): Snippet[] {
  const text = readFileSync(join(root, page), 'utf8');
  return [...text.matchAll(BLOCK)].map(({ index, 1: info = '', 2: code = '' }) => {
    const [language = '', role] = info.trim().split(/\s+/);
    return { page, line: text.slice(0, index).split('\n').length, language, role, code };
  });
}

const fileOf = ({ page, line }: Snippet, end: string): string =>
  join(folder, `${page.replace(/\W/g, '-')}-${line}.${end}`);

function start(file: string): ChildProcess {
  const { NODE_TEST_CONTEXT: _, ...inherited } = process.env;
  const env = { ...inherited, HOME: folder, XDG_CONFIG_HOME: folder, APPDATA: folder };
  return spawn(process.execPath, [file], { cwd: folder, env, timeout: LIMIT_MILLIS });
}

/** Collects until it ends. */
async function outcome(
  child: ChildProcess,
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (piece) => (stdout += String(piece)));
  child.stderr?.on('data', (piece) => (stderr += String(piece)));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}

function written(snippet: Snippet, end: string): string {
  const file = fileOf(snippet, end);
  writeFileSync(
    file,
    STAND_INS.reduce((code, [what, by]) => code.replace(what, by), snippet.code),
  );
  return file;
}

/** So that two fragments may make the same name. */
function asModule(file: string): string {
  writeFileSync(file, `${readFileSync(file, 'utf8')}\nexport {};\n`);
  return file;
}

test('every fence says what its code is', () => {
  const known = new Set(['js', 'ts', 'sh', ...NO_CODE]);
  for (const { page, line, language } of snippets)
    assert.ok(known.has(language), `${page}:${line}: ${language}`);
  const roles = new Set([undefined, 'fragment', 'server', 'client']);
  for (const { page, line, role } of snippets) assert.ok(roles.has(role), `${page}:${line}: ${role}`);
  assert.ok(
    snippets.some(
      ({ page, language, role }) => page === 'README.md' && language === 'js' && role === undefined,
    ),
  );
});

for (const snippet of snippets.filter(({ language, role }) => language === 'js' && role === undefined)) {
  test(`the program at ${snippet.page}:${snippet.line} runs as pasted`, async () => {
    const { code, stderr, stdout } = await outcome(start(written(snippet, 'mjs')));
    assert.equal(code, 0, stderr);
    assert.match(stdout, /\S/);
  });
}

for (const server of snippets.filter(({ role }) => role === 'server')) {
  test(`the two programs at ${server.page}:${server.line} talk to each other`, async (t) => {
    const client = snippets.find(({ page, role }) => page === server.page && role === 'client');
    assert.ok(client);
    const child = start(written(server, 'mjs'));
    t.after(() => child.kill());
    assert.ok(child.stdout);
    await Promise.race([once(child.stdout, 'data'), once(child, 'close')]);
    assert.equal(child.exitCode, null, 'the server is up');
    const certificates = join(folder, 'queuepair', 'certs');
    for (const name of ['ca.pem', 'client.pem', 'client-key.pem'])
      copyFileSync(join(certificates, name), join(folder, name));
    const { code, stderr, stdout } = await outcome(start(written(client, 'mjs')));
    assert.equal(code, 0, stderr);
    assert.match(stdout, /\S/);
  });
}

test('fragments and TypeScript have the types that they should', async () => {
  const names = join(folder, 'snippet-names.d.ts');
  copyFileSync(join(root, 'test', 'tooling', 'snippet-names.d.ts'), names);
  const checked = snippets.filter(({ language, role }) => language === 'ts' || role === 'fragment');
  assert.ok(checked.length > 0);
  const files = checked.map((snippet) =>
    asModule(written(snippet, snippet.language === 'ts' ? 'mts' : 'check.mjs')),
  );
  const [first] = snippets.filter(({ page, language }) => page === 'README.md' && language === 'js');
  assert.ok(first);
  // As README tells users of TypeScript.
  const code = first.code
    .replaceAll('connection.remoteBuffer', '$&!')
    .replaceAll('await connection.receive())', '$&!');
  assert.notEqual(code, first.code);
  files.push(asModule(written({ ...first, code }, 'first.mts')));
  const flags = [
    '--noEmit',
    '--strict',
    '--allowJs',
    '--checkJs',
    '--target',
    'es2022',
    '--module',
    'nodenext',
    '--types',
    'node',
  ];
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const child = spawn(process.execPath, [tsc, '--ignoreConfig', ...flags, names, ...files], { cwd: folder });
  const compiled = await outcome(child);
  assert.equal(compiled.code, 0, compiled.stdout);
});

test('the commands that are shown exist, with the flags that they are given', async () => {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>;
  };
  for (const { page, line, code } of snippets.filter(({ language }) => language === 'sh')) {
    for (const command of code.split('\n').map((text) => text.replace(/\s#.*$/, ''))) {
      const place = `${page}:${line}: ${command}`;
      const script = /^npm run (?:--silent )?([\w:-]+)/.exec(command)?.[1];
      if (script !== undefined) assert.ok(script in scripts, place);
      const ours = /^(?:npx )?queuepair ((?:nvme )?[a-z][\w-]*)(.*)$/.exec(command);
      if (ours === null) continue;
      const help = await helpOf((ours[1] ?? '').split(' '));
      for (const [, flag = ''] of (ours[2] ?? '')
        .replace(/"[^"]*"/g, '')
        .matchAll(/\s(--?[a-zA-Z][\w-]*)/g)) {
        assert.ok(help.includes(flag), `${place}: no flag ${flag}`);
      }
    }
  }
});
