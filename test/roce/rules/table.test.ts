/** docs/rules.md names tests that exist, and every test of this folder. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

const ROOT = new URL('../../../../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, ROOT), 'utf8');

/** Names of the tests in a source file, as they are written there. */
function testsOf(path: string): Set<string> {
  const names = [...read(path).matchAll(/^\s*test\(\s*(['"`])(.*?)\1,/gm)].map((match) => match[2] as string);
  return new Set(names.map((name) => name.replaceAll("\\'", "'")));
}

const rows = [...read('docs/rules.md').matchAll(/^\| .*\| `([\w/-]+)`: (.*) \|$/gm)].map((match) => ({
  file: `test/${match[1]}.test.ts`,
  name: match[2] as string,
}));

test('every test that the table names exists', () => {
  assert.equal(rows.length > 100, true, `${rows.length} rows`);
  const missing = rows.filter(({ file, name }) => !testsOf(file).has(name));
  assert.deepEqual(missing, []);
});

test('every test of a rule is in the table', () => {
  const named = new Set(rows.map(({ file, name }) => `${file}: ${name}`));
  const files = readdirSync(new URL('test/roce/rules', ROOT)).filter((name) => name.endsWith('.test.ts'));
  const all = files
    .filter((name) => name !== 'table.test.ts')
    .flatMap((name) => {
      const file = `test/roce/rules/${name}`;
      return [...testsOf(file)].map((title) => `${file}: ${title}`);
    });
  assert.equal(all.length > 100, true, `${all.length} tests`);
  assert.deepEqual(
    all.filter((title) => !named.has(title)),
    [],
  );
});
