/**
 * Files of src do not import each other in circles, not for types either: who reads, tests or moves one of a circle has
 * to take all.
 */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { reachedFrom, readImports } from './import-graph.js';
import { packageRoot } from './temporary-project.js';

/** Groups of files each of which leads to all others of its group. */
function findCircles(imports: ReadonlyMap<string, readonly string[]>): string[][] {
  const reached = new Map([...imports.keys()].map((file) => [file, reachedFrom(file, imports)]));
  const circles: string[][] = [];
  const placed = new Set<string>();
  for (const [file, others] of reached) {
    if (placed.has(file) || !others.has(file)) continue;
    const circle = [...others].filter((other) => reached.get(other)?.has(file) === true).sort();
    for (const member of circle) placed.add(member);
    circles.push(circle);
  }
  return circles;
}

test('no files of src import each other in a circle', () => {
  const circles = findCircles(readImports(join(packageRoot(), 'src')));
  assert.deepEqual(circles, [], 'break the circle: let the lower file say in an interface what it needs');
});

test('imports of types, exports and dynamic imports count; comments and lines without circles do not', () => {
  const folder = mkdtempSync(join(tmpdir(), 'queuepair-circles-'));
  try {
    const write = (file: string, text: string): void => {
      mkdirSync(dirname(join(folder, file)), { recursive: true });
      writeFileSync(join(folder, file), text);
    };
    write('a.ts', "import type { B } from './deep/b.js';\n");
    write('deep/b.ts', "export { c } from './c.js';\n");
    write('deep/c.ts', "export const a = await import('../a.js');\n");
    write('d.ts', "import './e.js';\nimport './a.js';\n");
    write('e.ts', "/** import './d.js'; */\nexport const e = 1;\n");
    assert.deepEqual(
      findCircles(readImports(folder)).map((circle) => circle.join(' ')),
      ['a.ts deep/b.ts deep/c.ts'],
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
