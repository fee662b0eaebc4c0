/** What the documents point to is there: links, anchors, files and folders that they name, npm scripts. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { test } from 'node:test';
import { packageRoot as findRoot } from './temporary-project.js';

const packageRoot = findRoot();

const FOLDERS = [
  'src',
  'examples',
  'test',
  'testkit',
  'tools',
  'docs',
  'scripts',
  'native',
  '.ci',
  '.github',
];
/** Made by builds: what is in them is no part of the project. */
const MADE = new Set(['node_modules', 'build', 'prebuilds']);
const LINK = /\[[^\]]*\]\(([^)\s]+)\)/g;
const CODE_SPAN = /`([^`\n]+)`/g;
const FENCE = /^```[\s\S]*?^```/gm;
const FILE_NAME = /^[\w.@-]+(?:\/[\w.@-]+)*\.(?:ts|mjs|md|c|cc|h|sh|yml)$/;
/** Stands for any of its kind. */
const PLACEHOLDER = /\b(FOLDER|NAME|FILE)\b/;
const FOLDER_NAME = new RegExp(
  `^(?:${FOLDERS.map((name) => name.replace('.', '\\.')).join('|')})/[\\w./-]*$`,
);

function filesUnder(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    if (MADE.has(entry.name)) return [];
    const path = join(folder, entry.name);
    return entry.isDirectory() ? filesUnder(path) : [path];
  });
}

const files = [
  ...readdirSync(packageRoot).map((name) => join(packageRoot, name)),
  ...FOLDERS.map((name) => join(packageRoot, name)).flatMap((path) =>
    existsSync(path) ? filesUnder(path) : [],
  ),
];
const documents = files
  .filter((path) => path.endsWith('.md'))
  .map((path) => ({ path, name: relative(packageRoot, path), text: readFileSync(path, 'utf8') }));

/** As GitHub makes them. */
function anchorsOf(text: string): string[] {
  return [...text.replace(FENCE, '').matchAll(/^#+ +(.+)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

test('there are documents to look at', () => {
  const names = documents.map(({ name }) => name);
  for (const name of ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'docs/dependencies.md']) {
    assert(names.includes(name), name);
  }
});

for (const { path, name, text } of documents) {
  test(`the links of ${name} lead somewhere`, () => {
    for (const [, target = ''] of text.replace(FENCE, '').matchAll(LINK)) {
      if (/^(https?|mailto):/.test(target)) continue;
      const [file = '', anchor] = target.split('#');
      const linked = file === '' ? path : join(dirname(path), decodeURIComponent(file));
      assert(existsSync(linked), `${target}: there is no ${relative(packageRoot, linked)}`);
      if (anchor === undefined) continue;
      assert(anchorsOf(readFileSync(linked, 'utf8')).includes(anchor), `${target}: no such heading`);
    }
  });

  // What is packed beside the code: scripts/package.mjs. Sources are not.
  if (/^(docs\/|[A-Z]+\.md$)/.test(name)) {
    test(`the links of ${name} lead somewhere in the installed package, too`, () => {
      for (const [, target = ''] of text.replace(FENCE, '').matchAll(LINK)) {
        assert.doesNotMatch(target, /^[./]*(src|test|testkit|tools|site|web|\.ci)\//);
      }
    });
  }

  test(`the files and folders that ${name} names exist`, () => {
    for (const [, span = ''] of text.replace(FENCE, '').matchAll(CODE_SPAN)) {
      if (PLACEHOLDER.test(span)) continue;
      if (FILE_NAME.test(span)) {
        // A short name stands for the file of that name, wherever it lies.
        const there =
          files.some((file) => file.endsWith(`/${span}`)) || existsSync(join(dirname(path), span));
        assert(there, `there is no ${span}`);
      } else if (FOLDER_NAME.test(span)) {
        assert(existsSync(join(packageRoot, span)), `there is no ${span}`);
      }
    }
  });

  test(`the npm scripts that ${name} names exist`, () => {
    const { scripts } = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>;
    };
    for (const [call, script = ''] of text.matchAll(/\bnpm run (?:--silent )?([a-z][\w:-]*)/g)) {
      assert(script in scripts, `${call}: package.json has no such script`);
    }
  });
}
