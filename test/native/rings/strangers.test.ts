/** Ports and other processes, which are not what they should be. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { TransmitBatch } from '../../../src/roce/transmit-batch.js';
import type { NativePort } from '../../../src/soft/native-port.js';
import { copyAddress, formatIp, UdpAddress } from '../../../src/verbs/address.js';
import { compileC } from '../../../testkit/compile-c.js';
import { flowBetween, PortEar } from '../../../testkit/native-ports.js';
import { within } from '../../../testkit/within.js';
import {
  count,
  HEADER_BYTES,
  Line,
  leftovers,
  MAX_PACKET_BYTES,
  openPort,
  skip,
  until,
  WAIT_MILLIS,
} from './line.js';

const folder = mkdtempSync(join(tmpdir(), 'queuepair-rings-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const PROGRAM = join(folder, 'ring-stranger');
const skipStrangers = skip || (compileC('testkit/ring-stranger.c', PROGRAM, []) ?? false);

/** Those of a test that has failed would keep this process from its end. */
const strangers = new Set<Stranger>();
after(() => {
  for (const stranger of strangers) stranger.kill();
});

class Stranger {
  readonly #child: ChildProcess;
  readonly #words: AsyncIterator<string>;

  constructor(mode: string, port: NativePort, seed = 1) {
    this.#child = spawn(PROGRAM, [mode, String(port.address.port), String(seed)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    strangers.add(this);
    // A port meets nobody while its owner does not look.
    if (port.listener === null) new PortEar(port, () => {});
    const { stdout } = this.#child;
    assert.ok(stdout !== null);
    this.#words = createInterface(stdout)[Symbol.asyncIterator]();
  }

  async word(): Promise<string> {
    const { value } = await within(this.#words.next(), WAIT_MILLIS);
    return value ?? 'gone';
  }

  /** The UDP port that it has bound. */
  async port(): Promise<number> {
    return Number((await this.word()).replace('at ', ''));
  }

  end(): void {
    this.#child.stdin?.end();
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }
}

const REFUSED: Readonly<Record<string, string>> = {
  liar: 'says another address than its socket has',
  elsewhere: 'has bound an address of another host',
  unsealed: 'could shrink the memory',
  short: 'brings less memory',
  file: 'brings a file',
  empty: 'brings nothing',
  generous: 'brings more than a ring',
  half: 'says half of its hello',
  lost: 'means another port',
  'stranger-words': 'speaks another language',
};

for (const [mode, what] of Object.entries(REFUSED)) {
  test(`a process of our user that ${what} gets no ring`, { skip: skipStrangers }, async () => {
    const port = openPort();
    const stranger = new Stranger(mode, port);
    await stranger.port();
    assert.equal(await stranger.word(), 'refused');
    assert.deepEqual([count(port, 'portRingRefusals'), count(port, 'portRings')], [1, 0]);
    await port.close();
  });
}

for (const [mode, refusals] of [
  ['mute', 0],
  ['guesser', 1],
] as const) {
  test(`a process of our user that sends ${mode === 'mute' ? 'nothing' : 'another word'} from its address gets no ring`, {
    skip: skipStrangers,
  }, async () => {
    const port = openPort();
    const strangers = [new Stranger(mode, port), new Stranger('quiet', port)] as const;
    await strangers[0].port();
    assert.equal(await strangers[0].word(), 'waits');
    await strangers[1].port();
    assert.equal(await strangers[1].word(), 'welcome');
    assert.deepEqual([count(port, 'portRingRefusals'), count(port, 'portRings')], [refusals, 1]);
    for (const stranger of strangers) stranger.end();
    await port.close();
  });
}

/** Sends one packet to the UDP port that the stranger has. */
async function sendTo(stranger: Stranger, from: NativePort): Promise<void> {
  const flow = flowBetween(from, from);
  flow.destination.port = await stranger.port();
  const batch = new TransmitBatch(1);
  batch.begin();
  batch.commit(flow, HEADER_BYTES, 0);
  from.send(batch);
}

test('a process that waits where a port should be, and does not have what was sent there, gets no packets', {
  skip: skipStrangers,
}, async () => {
  const port = openPort();
  const stranger = new Stranger('pretender', port);
  await sendTo(stranger, port);
  assert.equal(await stranger.word(), 'heard');
  assert.equal(await stranger.word(), 'refused');
  assert.equal(count(port, 'portRings'), 0);
  stranger.end();
  await port.close();
});

test('the address of a port that has ended is free, whoever was asked and has not looked', {
  skip: skipStrangers,
}, async () => {
  const port = openPort();
  const stranger = new Stranger('sleeper', port);
  await sendTo(stranger, port);
  assert.equal(await stranger.word(), 'kept');
  await port.close();
  const next = openPort('127.0.0.1', port.address.port);
  stranger.end();
  await next.close();
});

const isRoot = process.getuid?.() === 0;
const skipUsers = skipStrangers || (isRoot ? false : 'only root can be another user');

test('a process of another user gets no ring', { skip: skipUsers }, async () => {
  const port = openPort();
  const stranger = new Stranger('other-user', port);
  await stranger.port();
  assert.equal(await stranger.word(), 'refused');
  assert.deepEqual([count(port, 'portRingRefusals'), count(port, 'portRings')], [1, 0]);
  await port.close();
});

test('a process of another user that waits where a port should be hears nothing', {
  skip: skipUsers,
}, async () => {
  const port = openPort();
  const stranger = new Stranger('squatter', port);
  await sendTo(stranger, port);
  assert.equal(await stranger.word(), 'silent');
  assert.equal(count(port, 'portRings'), 0);
  stranger.end();
  await port.close();
});

test('a port that sleeps is woken, and what a peer leaves behind is taken when it is gone', {
  skip: skipStrangers,
}, async () => {
  const before = leftovers();
  const port = openPort();
  const marks: (number | undefined)[] = [];
  const source = new UdpAddress();
  new PortEar(port, (datagram) => {
    marks.push(datagram.bytes[datagram.at]);
    copyAddress(datagram.source, source);
  });
  const stranger = new Stranger('writer', port);
  const udpPort = await stranger.port();
  assert.equal(await stranger.word(), 'welcome');
  assert.equal(await stranger.word(), 'woke');
  await until(() => marks.length === 1, 'the packet');
  assert.deepEqual([formatIp(source), source.port], ['127.0.0.1', udpPort]);
  stranger.end();
  await until(() => count(port, 'portRings') === 0, 'the end of the ring');
  assert.deepEqual(marks, [7, 8]);
  await port.close();
  await until(() => leftovers() <= before, 'everything to be closed');
});

test('a peer that is killed leaves no ring and no file', { skip: skipStrangers }, async () => {
  const files = readdirSync('/dev/shm').length;
  const port = openPort();
  const stranger = new Stranger('quiet', port);
  await stranger.port();
  assert.equal(await stranger.word(), 'welcome');
  assert.equal(count(port, 'portRings'), 1);
  stranger.kill();
  await until(() => count(port, 'portRings') === 0, 'the end of the ring');
  assert.equal(readdirSync('/dev/shm').length, files);
  await port.close();
});

test('a peer that scribbles while it is read harms nobody but itself', {
  skip: skipStrangers,
}, async () => {
  const seed = 1 + Math.floor(Math.random() * 2 ** 31);
  const [port, other] = [openPort(), openPort()];
  const line = new Line(other, port);
  let udpPort = 0;
  new PortEar(port, ({ length, source }) => {
    assert.ok(length > 0 && length <= MAX_PACKET_BYTES, `seed ${seed}: ${length} bytes`);
    if (source.port === other.address.port) line.heard.push(0);
    else assert.equal(source.port, udpPort, `seed ${seed}`);
  });
  for (let round = 0; round < 5; round++) {
    const stranger = new Stranger('scribbler', port, seed + round);
    udpPort = await stranger.port();
    assert.equal(await stranger.word(), 'welcome');
    let isDone = false;
    const done = stranger.word().then((word) => {
      isDone = true;
      assert.equal(word, 'done');
    });
    while (!isDone) {
      line.send(1);
      await turn();
    }
    await done;
    stranger.end();
  }
  await until(() => line.heard.length === line.sent, 'every packet of the other port');
  assert.ok(count(port, 'portRingFaults') > 0, `seed ${seed}: no fault was seen`);
  await Promise.all([port.close(), other.close()]);
});

test('a peer that wakes without end keeps nobody from his turn', { skip: skipStrangers }, async () => {
  const port = openPort();
  const stranger = new Stranger('chatterer', port);
  await stranger.port();
  assert.equal(await stranger.word(), 'welcome');
  let isDone = false;
  const done = stranger.word().then((word) => {
    isDone = true;
    assert.equal(word, 'done');
  });
  let longestMillis = 0;
  for (let before = performance.now(); !isDone; ) {
    await turn();
    const now = performance.now();
    longestMillis = Math.max(longestMillis, now - before);
    before = now;
  }
  await done;
  assert.ok(longestMillis < 1000, `a turn of ${longestMillis} ms`);
  stranger.end();
  await port.close();
});
