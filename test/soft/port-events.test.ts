/**
 * PORT_ERR and PORT_ACTIVE of the soft device, between two network namespaces: an interface that is switched off, a cable
 * that is pulled, an address that goes away, and back. Queue pairs go on trying all the while.
 */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { loadAddon } from '../../src/native/addon.js';
import { hear, tell, VethLink } from '../../testkit/veth-link.js';
import type { Hello, Report } from '../native/veth-peer.js';

const PEER = fileURLToPath(new URL('../native/veth-peer.js', import.meta.url));
const IPV4 = ['10.72.0.1', '10.72.0.2'] as const;
const IPV6 = ['fd72::1', 'fd72::2'] as const;
const EVENT_MILLIS = 5000;
const skip = VethLink.reasonToSkip();
const addon = loadAddon();
const skipNative = skip === false && typeof addon === 'string' ? addon : skip;

interface Peers {
  readonly link: VethLink;
  readonly a: ChildProcess;
  readonly b: ChildProcess;
}

async function withPeers(
  addresses: readonly [string, string],
  io: string,
  work: (peers: Peers) => Promise<void>,
): Promise<void> {
  const link = new VethLink(addresses);
  const children = ([0, 1] as const).map((side) =>
    link.start(side, process.execPath, PEER, addresses[side], io),
  );
  try {
    const [a, b] = children as [ChildProcess, ChildProcess];
    const [helloA, helloB] = await Promise.all([hear<Hello>(a), hear<Hello>(b)]);
    await Promise.all([tell(a, { do: 'connect', peer: helloB }), tell(b, { do: 'connect', peer: helloA })]);
    // A carrier is noticed up to a second after it is there.
    for (const peer of [a, b]) while ((await tell(peer, { do: 'state' })) !== 'ACTIVE') await setTimeout(20);
    for (const peer of [a, b]) await tell(peer, { do: 'forget' });
    await work({ link, a, b });
  } finally {
    for (const child of children) child.kill('SIGKILL');
    link.remove();
  }
}

/** Waits until the port has told as many events, without asking it for its state. */
async function eventsOf(peer: ChildProcess, count: number): Promise<readonly string[]> {
  const deadline = performance.now() + EVENT_MILLIS;
  for (;;) {
    const { events } = await tell<Report>(peer, { do: 'report' });
    if (events.length >= count || performance.now() > deadline) return events;
    await setTimeout(10);
  }
}

test('an interface that goes down is told at both ends, once each, and queue pairs get over it', {
  skip: skipNative,
  timeout: 60_000,
}, async () => {
  await withPeers(IPV4, 'native', async ({ link, a, b }) => {
    await tell(a, { do: 'write' });
    assert.equal(await tell(a, { do: 'state' }), 'ACTIVE');
    link.set(0, 'down');
    assert.deepEqual(await eventsOf(a, 1), ['PORT_ERR']);
    assert.deepEqual(await eventsOf(b, 1), ['PORT_ERR'], 'its cable leads nowhere now');
    assert.equal(await tell(a, { do: 'state' }), 'DOWN');
    link.set(0, 'up');
    assert.deepEqual(await eventsOf(a, 2), ['PORT_ERR', 'PORT_ACTIVE']);
    assert.deepEqual(await eventsOf(b, 2), ['PORT_ERR', 'PORT_ACTIVE']);
    assert.equal(await tell(a, { do: 'state' }), 'ACTIVE');
    await tell(a, { do: 'write' });
  });
});

test('an address that is taken away is told, and that it is back', {
  skip: skipNative,
  timeout: 60_000,
}, async () => {
  await withPeers(IPV6, 'native', async ({ link, a, b }) => {
    link.address(1, 'del', IPV6[1]);
    assert.deepEqual(await eventsOf(b, 1), ['PORT_ERR']);
    link.address(1, 'add', IPV6[1]);
    assert.deepEqual(await eventsOf(b, 2), ['PORT_ERR', 'PORT_ACTIVE']);
    assert.deepEqual(
      (await tell<Report>(a, { do: 'report' })).events,
      [],
      'the other end has nothing to tell',
    );
    await tell(a, { do: 'write' });
  });
});

test('an idle device notices without a turn of the event loop of its own', {
  skip: skipNative,
  timeout: 60_000,
}, async () => {
  await withPeers(IPV4, 'native', async ({ link, a }) => {
    const before = await tell<Report>(a, { do: 'report' });
    link.set(0, 'down');
    await eventsOf(a, 1);
    const after = await tell<Report>(a, { do: 'report' });
    assert.deepEqual(after.events, ['PORT_ERR']);
    assert.equal(after.counters['wakeUps'], before.counters['wakeUps']);
  });
});

test('without the addon a port that sends notices, and a request that was posted meanwhile is done in the end', {
  skip,
  timeout: 60_000,
}, async () => {
  process.env['QUEUEPAIR_ADDON'] = 'none';
  try {
    await withPeers(IPV4, 'dgram', async ({ link, a }) => {
      await tell(a, { do: 'write' });
      link.set(0, 'down');
      const isDone = tell(a, { do: 'write' });
      await setTimeout(200);
      link.set(0, 'up');
      await isDone;
      assert.equal((await eventsOf(a, 1))[0], 'PORT_ERR', 'the failed sends told it, nobody asked');
      while ((await tell(a, { do: 'state' })) !== 'ACTIVE') await setTimeout(20);
      assert.deepEqual((await tell<Report>(a, { do: 'report' })).events, ['PORT_ERR', 'PORT_ACTIVE']);
    });
  } finally {
    delete process.env['QUEUEPAIR_ADDON'];
  }
});
