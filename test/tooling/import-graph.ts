/** Which files of a folder import which, for types and dynamically too. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';

const IMPORT = /(?:\bfrom|\bimport)\s*\(?\s*'(\.[^']+)'/g;

/** The files below `src`, each with the files that it imports. */
export function readImports(src: string): ReadonlyMap<string, readonly string[]> {
  const names = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  );
  const files = new Set(names.map((name) => name.replaceAll('\\', '/')));
  return new Map(
    [...files].map((file) => {
      const text = readFileSync(join(src, file), 'utf8').replace(/\/\*[\s\S]*?\*\//g, '');
      const found = [...text.matchAll(IMPORT)].map(([, path = '']) =>
        posix.join(posix.dirname(file), path.replace(/\.js$/, '.ts')),
      );
      return [file, found.filter((path) => files.has(path))];
    }),
  );
}

/** All files that a file leads to. */
export function reachedFrom(file: string, imports: ReadonlyMap<string, readonly string[]>): Set<string> {
  const reached = new Set<string>();
  const open = [...(imports.get(file) ?? [])];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (reached.has(next)) continue;
    reached.add(next);
    open.push(...(imports.get(next) ?? []));
  }
  return reached;
}
