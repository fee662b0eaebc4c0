/** A machine that stands still while it boots is booted again, and one that gets on is waited for. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BootWatch, persistently, StoodStill } from '../../tools/lab/boot-watch.js';

test('a machine that says nothing for 40 s has stood still, and the error has the end of its console', () => {
  const watch = new BootWatch(1000);
  watch.check(41_000, 'a\nb\n');
  assert.throws(() => watch.check(41_001, 'a\nb\n'), {
    message: 'the machine said nothing for 40 s while it booted: a | b',
  });
  assert.throws(() => watch.check(41_001, ''), StoodStill);
});

test('a machine that says something is waited for, two minutes at most', () => {
  const watch = new BootWatch(0);
  for (let now = 0; now <= 120_000; now += 30_000) {
    watch.heard(now);
    watch.check(now, 'on its way');
  }
  assert.throws(
    () => watch.check(120_001, 'on its way'),
    (error) => error instanceof Error && !(error instanceof StoodStill) && /on its way/.test(error.message),
  );
});

test('it is booted again when it stood still, three times in all, and whoever watches hears why', async () => {
  const said: string[] = [];
  const boots = (failures: number) => {
    let left = failures;
    return async () => {
      if (left-- > 0) throw new StoodStill(`stood still, ${left} to go`);
      return 'up';
    };
  };
  assert.equal(await persistently(boots(2), (text) => void said.push(text)), 'up');
  assert.deepEqual(said, [
    'stood still, 1 to go; booting it again',
    'stood still, 0 to go; booting it again',
  ]);
  await assert.rejects(
    persistently(boots(3), () => {}),
    { message: 'stood still, 0 to go' },
  );
});

test('what is no stand-still is not tried again', async () => {
  let boots = 0;
  const boot = async () => {
    boots++;
    throw new Error('no kernel');
  };
  await assert.rejects(
    persistently(boot, () => {}),
    { message: 'no kernel' },
  );
  assert.equal(boots, 1);
});
