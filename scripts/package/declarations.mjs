/** Copies the declarations of the entries, and those that they lead to, and no others. */
import { copyFileSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const REFERENCE = /(?:from |import\()'(\.[^']+)\.js'/g;

/** `from` and `to`: folders with the same layout; `entries`: files in `from`. */
export function copyDeclarations(from, to, entries) {
  const copied = new Set();
  const copy = (name) => {
    if (copied.has(name)) return;
    copied.add(name);
    const text = readFileSync(join(from, name), 'utf8');
    mkdirSync(dirname(join(to, name)), { recursive: true });
    copyFileSync(join(from, name), join(to, name));
    for (const [, path] of text.matchAll(REFERENCE)) copy(`${join(dirname(name), path)}.d.ts`);
  };
  for (const entry of entries) copy(entry);
}
