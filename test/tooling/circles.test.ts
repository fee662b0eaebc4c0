/**
 * Files of src do not import each other in circles, not for types either: who reads, tests or moves one of a circle has
 * to take all. The circles of today are listed with their reason; the list only gets shorter.
 */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { reachedFrom, readImports } from './import-graph.js';
import { packageRoot } from './temporary-project.js';

interface Allowed {
  readonly reason: string;
  readonly files: readonly string[];
}

const ALLOWED: readonly Allowed[] = [
  {
    reason: 'a queue pair drives its halves, and each half answers through the queue pair',
    files: [
      'roce/nic.ts',
      'roce/qp/completer.ts',
      'roce/qp/congestion-notice.ts',
      'roce/qp/incoming-message.ts',
      'roce/qp/qp.ts',
      'roce/qp/request-packets.ts',
      'roce/qp/request-timers.ts',
      'roce/qp/requester.ts',
      'roce/qp/responder.ts',
      'roce/qp/response-sender.ts',
      'roce/qp/uc-responder.ts',
      'roce/qp/ud-responder.ts',
      'roce/qp/unreliable-requester.ts',
    ],
  },
];

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

test('the only circles of imports in src are those in the list', () => {
  const circles = findCircles(readImports(join(packageRoot(), 'src')));
  const unknown = circles.filter((circle) =>
    ALLOWED.every(({ files }) => circle.some((file) => !files.includes(file))),
  );
  assert.deepEqual(unknown, [], 'break the circle: let the lower file say in an interface what it needs');
});

test('the list names no file that is in no circle any more', () => {
  const inCircles = new Set(findCircles(readImports(join(packageRoot(), 'src'))).flat());
  const free = ALLOWED.flatMap(({ files }) => files).filter((file) => !inCircles.has(file));
  assert.deepEqual(free, [], 'take them off the list');
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
