/** Copies whose connection is cut. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { bytesBelow, cp, listing, makeTree, newDir, sharing, summary } from '../../../testkit/copying.js';
import { TcpCutter } from '../../../testkit/tcp-cutter.js';

/** `QUEUEPAIR_COPY_MIB=2048 npm test -- cli/copy/cuts` copies as much. */
const TREE_MIB = Number(process.env['QUEUEPAIR_COPY_MIB'] ?? 64);
const CUTS = 5;

for (const [way, recovery] of [
  ['there', '0'],
  ['back', '0'],
  ['there', '10000'],
] as const) {
  test(`a tree of ${TREE_MIB} MiB whose connection is cut ${CUTS} times comes ${way} whole, with recovery of ${recovery} ms`, async () => {
    await sharing(['--share-writable', '--recovery', recovery], async (server, root) => {
      const source = way === 'there' ? newDir('source') : root;
      const target = way === 'there' ? root : newDir('target');
      makeTree(source, (TREE_MIB - 16) * 1024 * 1024);
      writeFileSync(join(source, 'second'), randomBytes(16 * 1024 * 1024));
      await using cutter = await TcpCutter.to({ host: '127.0.0.1', port: server.port });
      const watched = join(target, 'copy');
      const cutting = cutWhileGrowing(cutter, watched, TREE_MIB * 1024 * 1024);
      const args = way === 'there' ? [source, '127.0.0.1:copy'] : ['127.0.0.1:', watched];
      const ending = await cp(cutter, '--recovery', recovery, ...args);
      const cuts = await cutting.stop();
      assert.equal(ending.code, 0, ending.stderr);
      assert.equal(cuts, CUTS);
      assert.equal(listing(watched).join('\n'), listing(source).join('\n'));
      const retries = summary(ending)?.['retries'];
      if (recovery === '0')
        assert(Number(retries) >= 1 && Number(retries) <= CUTS, `${String(retries)} new connections`);
      else assert.equal(retries, 0, 'the connection itself recovers');
      for (const directory of [source, watched]) rmSync(directory, { recursive: true });
    });
  });
}

/** Cuts whenever another sixth of the bytes is there, whether whole files or partial ones. */
function cutWhileGrowing(cutter: TcpCutter, directory: string, total: number): { stop(): Promise<number> } {
  let cuts = 0;
  const timer = setInterval(() => {
    if (cuts < CUTS && bytesBelow(directory) > ((cuts + 1) * total) / (CUTS + 1.5) && cutter.cut() > 0)
      cuts++;
  }, 2);
  return {
    stop: async () => {
      clearInterval(timer);
      return cuts;
    },
  };
}
