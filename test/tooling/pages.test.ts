/**
 * What hand-written pages claim is looked up: sentences of troubleshooting.md are sentences of the sources, and names that
 * ibverbs-mapping.md gives to calls are there to be called.
 */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { packageRoot } from './temporary-project.js';

const root = packageRoot();
const page = (name: string): string => readFileSync(join(root, 'docs', name), 'utf8');

/** All sources in one text: without the marks of template strings and the joints between their parts. */
const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .map((path) => readFileSync(join(root, 'src', path), 'utf8'))
  .join('\n')
  .replace(/['`"]\s*\+\s*['`"]/g, '')
  .replaceAll('`', '')
  .replaceAll('\\', '');

/** Shorter pieces are in every text. */
const SHORTEST_PIECE = 6;

test('the sentences of troubleshooting.md are those that the library says', () => {
  const sentences = [...page('troubleshooting.md').matchAll(/^\| `([^`]+)`/gm)].map(
    ([, sentence = '']) => sentence,
  );
  assert.ok(sentences.length >= 30, `there are ${sentences.length}`);
  const unknown = sentences.flatMap((sentence) =>
    piecesOf(sentence)
      .filter((piece) => !sources.includes(piece))
      .map((piece) => `${piece}   (of: ${sentence})`),
  );
  assert.deepEqual(unknown, []);
});

/** What stands between the ellipses. Where the sources put a sentence together, the page may be cut at the joint by hand. */
function piecesOf(sentence: string): string[] {
  return sentence
    .split('…')
    .flatMap((piece) => piece.split(JOINTS))
    .map((piece) => piece.replace(/^[\s:;,]+|[\s:;,]+$/g, ''))
    .filter((piece) => piece.length >= SHORTEST_PIECE);
}

/** Where the sources put words together: what stands here is not looked up, what stands beside it is. */
const JOINTS = new RegExp(
  [
    '(?<=the certificate of)',
    '^the server',
    'TCP to|works, |but (?=UDP port)|does (?=not come)|: open it in both directions',
    '(?<=refused our certificate:)',
    'failed with [A-Z]+:?',
  ].join('|'),
);

test('what ibverbs-mapping.md calls exists', () => {
  const text = page('ibverbs-mapping.md');
  const called = [...text.matchAll(/^\|[^|]*\|(.*)\|$/gm)].flatMap(([, ours = '']) =>
    [...ours.matchAll(/`(?:\w+\.)?(\w+)\(/g)].map(([, name = '']) => name),
  );
  assert.ok(called.length > 40, `there are ${called.length}`);
  const missing = [...new Set(called)].filter(
    (name) => !new RegExp(`(function |const |  (get |readonly |async )?)${name}\\b\\s*[(<=:]`).test(sources),
  );
  assert.deepEqual(missing, []);
});

test('every page of docs/ is on the site, under one of its groups', async () => {
  const plugin = readFileSync(join(root, 'site', 'plugin.mjs'), 'utf8');
  const grouped = [...plugin.matchAll(/'([a-z][a-z0-9-]+)'/g)].map(([, name]) => name);
  const pages = readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => name.slice(0, -3));
  for (const wanted of [
    'tutorial',
    'containers',
    'hardware',
    'ibverbs-mapping',
    'troubleshooting',
    'faq',
    'threat-model',
    'performance',
    'protocol',
  ])
    assert.ok(pages.includes(wanted) && grouped.includes(wanted), wanted);
});

test('the site is refused for a dead link, a missing place, and anything that it loads from elsewhere', async () => {
  const { problemsOf } = (await import(join(root, 'site', 'check-links.mjs'))) as {
    problemsOf(site: string): { pages: number; links: number; problems: string[] };
  };
  const site = mkdtempSync(join(tmpdir(), 'queuepair-site-'));
  after(() => rmSync(site, { recursive: true, force: true }));
  mkdirSync(join(site, 'sub'));
  const good =
    '<h2 id="there">x</h2><a href="../index.html#there">a</a><a href="../">b</a><a href="https://x.test">c</a>';
  writeFileSync(
    join(site, 'index.html'),
    '<h2 id="there">x</h2><a href="sub/page.html#there">a</a><a href="#there">b</a>',
  );
  writeFileSync(join(site, 'sub', 'page.html'), good);
  assert.deepEqual(problemsOf(site), { pages: 2, links: 5, problems: [] });
  const bad =
    '<a href="gone.html">a</a><a href="../index.html#gone">b</a><script src="https://x.test/y.js"></script>';
  writeFileSync(join(site, 'sub', 'page.html'), good + bad);
  writeFileSync(
    join(site, 'style.css'),
    '@import "//x.test/z.css"; a { background: url(https://x.test/i.png) }',
  );
  assert.deepEqual(problemsOf(site).problems, [
    'style.css loads //x.test/z.css',
    'style.css loads https://x.test/i.png',
    'sub/page.html leads to ../index.html#gone: that page has no such place',
    'sub/page.html leads to gone.html, which is not there',
    'sub/page.html loads https://x.test/y.js',
  ]);
});
