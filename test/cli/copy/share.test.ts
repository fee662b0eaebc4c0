/** What a share refuses to clients. */
import assert from 'node:assert/strict';
import { readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { cp, newDir, sharing } from '../../../testkit/copying.js';
import { devCerts, runProgram, serve, stop } from '../../../testkit/program.js';

test('a share lets nobody out of its directory, and nobody in who may only read', async () => {
  await sharing([], async (server, root) => {
    const outside = newDir('outside');
    writeFileSync(join(outside, 'secret'), 'secret');
    writeFileSync(join(root, 'open'), 'open');
    symlinkSync(outside, join(root, 'way-out'));
    symlinkSync(join(outside, 'secret'), join(root, 'link'));
    const target = newDir('target');
    const refused: readonly [string, RegExp, number][] = [
      ['../secret', /it has a part "\.\."/, 2],
      ['/etc/passwd', /it is absolute/, 2],
      ['way-out/secret', /way-out is a symbolic link, which is not followed/, 1],
      ['link', /link is a symbolic link, which is not followed/, 1],
      ['missing', /missing does not exist/, 1],
    ];
    for (const [path, reason, wanted] of refused) {
      const { code, stderr } = await cp(server, `127.0.0.1:${path}`, target);
      assert.equal(code, wanted, path);
      assert.match(stderr, reason);
    }
    const into = await cp(server, join(outside, 'secret'), '127.0.0.1:');
    assert.equal(into.code, 1);
    assert.match(into.stderr, /the share is read-only; the server allows changes with --share-writable/);
    const all = await cp(server, '127.0.0.1:', join(target, 'all'));
    assert.equal(all.code, 1, 'not all of it came');
    assert.deepEqual(
      all.events
        .filter(({ event }) => event === 'skipped')
        .map(({ path }) => path)
        .sort(),
      ['link', 'way-out'],
    );
    assert.deepEqual(readdirSync(join(target, 'all')), ['open']);
  });
});

test('a server that has no share says so, and one share that is no directory is not served', async () => {
  const server = await serve();
  const { code, stderr } = await cp(server, '127.0.0.1:x', newDir('target'));
  assert.equal(code, 1);
  assert.match(stderr, /shares nothing: start it with --share DIR/);
  await stop(server);
  const none = await runProgram(['serve', '--port', '0', '--share', '/no/such', ...devCerts()]);
  assert.match(none.stderr, /\/no\/such does not exist/);
});
