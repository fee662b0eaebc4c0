/** The commands that look at this machine. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { runProgram, testDir } from '../../testkit/program.js';

test('development certificates are made once, for their owner alone, and renewed as a whole', async () => {
  const dir = join(testDir(), 'own-certs');
  const flags = ['certs', '--json', '--dev-certs', dir];
  const made = await runProgram([...flags, '--name', 'storage-7.test']);
  assert.equal(made.code, 0, made.stderr);
  assert.deepEqual(
    made.events.map(({ role, created }) => [role, created]),
    [
      ['ca', true],
      ['server', true],
      ['client', true],
    ],
  );
  assert(made.events.some(({ role, sans }) => role === 'server' && String(sans).includes('storage-7.test')));
  for (const name of readdirSync(dir)) {
    assert.equal(statSync(join(dir, name)).mode & 0o077, 0, `${name} is readable by others`);
  }
  const key = readFileSync(String(made.events[0]?.['keyPath']), 'utf8');
  assert.match(key, /PRIVATE KEY/);
  assert.doesNotMatch(made.stdout, /PRIVATE KEY/);

  const found = await runProgram(flags);
  const prints = (events: typeof made.events) => events.map(({ fingerprint256 }) => fingerprint256);
  assert.deepEqual(prints(found.events), prints(made.events));
  assert.equal(found.events[0]?.['created'], false);

  const renewed = await runProgram([...flags, '--renew']);
  assert.equal(renewed.code, 0, renewed.stderr);
  for (const print of prints(renewed.events)) assert(!prints(made.events).includes(print));
  assert(
    renewed.events.some(({ sans }) => String(sans).includes('storage-7.test')),
    'names stay',
  );
  const aside = readdirSync(testDir()).find((name) => name.startsWith('own-certs.replaced-'));
  assert(aside !== undefined && existsSync(join(testDir(), aside)), 'the old ones are kept aside');
});

test('devices are listed with addresses and limits, and one that cannot be opened hides no other', async () => {
  const { code, events, stderr } = await runProgram([
    'devices',
    '--json',
    'soft:127.0.0.1?port=0',
    'nosuch0',
    'soft:::1?port=0',
  ]);
  assert.equal(code, 1);
  assert.match(stderr, /^queuepair: nosuch0: .*\n$/);
  assert.deepEqual(
    events.map(({ event, name, gids }) => [event, name, (gids as { gid: string }[] | undefined)?.[0]?.gid]),
    [
      ['device', 'soft:127.0.0.1', '::ffff:127.0.0.1'],
      ['error', 'nosuch0', undefined],
      ['device', 'soft:::1', '::1'],
    ],
  );
  const people = await runProgram(['devices', 'soft:127.0.0.1?port=0']);
  assert.equal(people.code, 0);
  assert.match(people.stdout, /GID 0 +::ffff:127\.0\.0\.1 \(RoCE v2\)/);
});
