/** Ports that exchange packets through memory: with each other, and with processes that are not what they should be. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';
import { setTimeout as pause, setImmediate as turn } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { loadAddon } from '../../src/native/addon.js';
import { privateRegion } from '../../src/roce/memory/region.js';
import { TransmitBatch } from '../../src/roce/transmit-batch.js';
import type { NativePort } from '../../src/soft/native-port.js';
import { copyAddress, formatIp, UdpAddress } from '../../src/verbs/address.js';
import { compileC } from '../../testkit/compile-c.js';
import { flowBetween, openNativePort, PortEar } from '../../testkit/native-ports.js';
import { Random } from '../../testkit/random.js';

const addon = loadAddon();
const skip = typeof addon === 'string' ? addon : false;
const WAIT_MILLIS = 20_000;
const HEADER_BYTES = 12;
const PAYLOAD_BYTES = 4096;
const BATCH_PACKETS = 64;
/** The largest packet that a port of ours sends. */
const MAX_PACKET_BYTES = 64 + 4096 + 3 + 4;
const RING_BYTES = 2 * 1024 * 1024;
const UDP_PACKETS = 20;
const WAKING_PACKETS = 30;
const WAKING_PAUSE_MILLIS = 10;
const TURNS_MILLIS = 200;
const MAX_RINGS = 16;
const ASKING_MILLIS = 500;
/** At once, and after 0.1, 0.3 and 0.7 s. */
const MAX_ASKS = 4;

const openPort = (address?: string, port?: number): NativePort => openNativePort(address, 'shm', port);
const count = (port: NativePort, name: string): number => port.counters()[name] ?? Number.NaN;

async function until(isSo: () => boolean, what: string): Promise<void> {
  const end = performance.now() + WAIT_MILLIS;
  while (!isSo()) {
    assert.ok(performance.now() < end, `waited for ${what}`);
    await turn();
  }
}

/** Sends packets that carry their number, and notes those that come. */
class Line {
  readonly from: NativePort;
  readonly heard: number[] = [];
  sent = 0;
  readonly #to: NativePort;
  readonly #batch = new TransmitBatch(BATCH_PACKETS);
  readonly #region = privateRegion(new Uint8Array(PAYLOAD_BYTES).fill(7), 1);
  readonly #flow;

  constructor(from: NativePort, to: NativePort) {
    this.from = from;
    this.#to = to;
    this.#flow = flowBetween(from, to);
  }

  listen(): void {
    const from = `${formatIp(this.from.address)} ${this.from.address.port}`;
    new PortEar(this.#to, ({ bytes, at, length, source, icrcVerified }) => {
      assert.equal(`${formatIp(source)} ${source.port}`, from);
      assert.equal(length, HEADER_BYTES + PAYLOAD_BYTES + 4);
      assert.equal(icrcVerified, true);
      assert.equal(bytes[at + HEADER_BYTES], 7);
      this.heard.push(new DataView(bytes.buffer, bytes.byteOffset + at).getUint32(8));
    });
  }

  send(packets: number): void {
    const batch = this.#batch;
    for (let left = packets; left > 0; left -= batch.count) {
      batch.reset();
      for (let i = 0; i < Math.min(left, BATCH_PACKETS); i++) {
        const at = batch.begin();
        batch.headers.fill(0, at, at + HEADER_BYTES);
        new DataView(batch.headers.buffer).setUint32(at + 8, this.sent++);
        batch.addSegment(this.#region, 0, PAYLOAD_BYTES);
        batch.commit(this.#flow, HEADER_BYTES, PAYLOAD_BYTES);
      }
      this.from.send(batch);
    }
  }

  /** Sends, a packet a turn, until they go through memory. The other end looks, as every driver does. */
  async meet(): Promise<void> {
    await until(() => {
      this.send(1);
      if (this.#to.listener === null) this.#to.receive(1);
      return count(this.from, 'portRingSentPackets') > 0;
    }, 'a ring');
  }
}

test('packets keep their order when they leave UDP for memory, and name the port that sent them', {
  skip,
}, async () => {
  for (const address of ['127.0.0.1', '::1']) {
    const [a, b] = [openPort(address), openPort(address)];
    const line = new Line(a, b);
    line.listen();
    await until(() => {
      line.send(3);
      return line.sent >= 3000;
    }, 'packets');
    await until(() => line.heard.length === line.sent, 'the last packet');
    assert.deepEqual(
      line.heard,
      line.heard.map((_, i) => i),
    );
    const byRing = count(b, 'portRingReceivedPackets');
    assert.ok(byRing > 2000 && byRing < 3000, `${byRing} through memory, the first by UDP`);
    await Promise.all([a.close(), b.close()]);
  }
});

test('packets of several ports, by memory and by UDP, each name their own', { skip }, async () => {
  const ports = [openPort(), openPort(), openNativePort()];
  const b = openPort();
  const lines = ports.map((port) => new Line(port, b));
  const heard = [0, 0, 0];
  for (const [i, line] of lines.entries()) line.sent = i * 1_000_000;
  new PortEar(b, ({ bytes, at, source }) => {
    const number = new DataView(bytes.buffer, bytes.byteOffset + at).getUint32(8);
    const i = Math.floor(number / 1_000_000);
    assert.equal(source.port, ports[i]?.address.port);
    heard[i] = (heard[i] ?? 0) + 1;
  });
  for (let i = 0; i < 300; i++) {
    for (const line of lines) line.send(1);
    await until(() => heard.every((packets) => packets > i), 'a packet of each');
  }
  assert.equal(count(b, 'portRings'), 2);
  await Promise.all([...ports, b].map((port) => port.close()));
});

test('a ring that is full loses what does not fit, as a socket does, and goes on', { skip }, async () => {
  const [a, b] = [openPort(), openPort()];
  const line = new Line(a, b);
  await line.meet();
  while (count(a, 'portRingOverflows') === 0) line.send(BATCH_PACKETS);
  const held = count(a, 'portRingSentPackets');
  assert.ok(held > 480 && held * PAYLOAD_BYTES < RING_BYTES, `${held} packets in the ring`);
  line.listen();
  await until(() => count(b, 'portRingReceivedPackets') === held, 'what is in the ring');
  line.send(1);
  await until(() => line.heard.at(-1) === line.sent - 1, 'the packet behind the gap');
  await Promise.all([a.close(), b.close()]);
});

test('towards ports without rings, and from them, packets go by UDP', { skip }, async () => {
  const [a, b] = [openPort(), openNativePort()];
  for (const line of [new Line(a, b), new Line(b, a)]) {
    line.listen();
    line.send(20);
    await until(() => line.heard.length === 20, '20 packets');
  }
  assert.deepEqual([count(a, 'portRings'), count(a, 'portRingSentPackets')], [0, 0]);
  await Promise.all([a.close(), b.close()]);
});

test('a peer that comes later, and one that comes back, is met then', { skip }, async () => {
  const a = openPort();
  let b = openPort();
  const line = new Line(a, b);
  const { port } = b.address;
  await b.close();
  line.send(1);
  for (let life = 0; life < 2; life++) {
    b = openPort('127.0.0.1', port);
    new PortEar(b, () => {});
    const before = count(a, 'portRingSentPackets');
    await until(() => {
      line.send(1);
      return count(a, 'portRingSentPackets') > before + 10;
    }, `the ring of life ${life}`);
    await b.close();
    await until(() => count(a, 'portRings') === 0, 'the end of the ring');
  }
  await a.close();
});

test('a peer that has no room for a ring gives one when another has gone', { skip }, async () => {
  const b = openPort();
  new PortEar(b, () => {});
  const lines = Array.from({ length: MAX_RINGS }, () => new Line(openPort(), b));
  for (const line of lines) await line.meet();
  const late = new Line(openPort(), b);
  late.send(1);
  await until(() => count(b, 'portRingRefusals') === 1, 'the refusal');
  await lines[0]?.from.close();
  await late.meet();
  assert.equal(count(b, 'portRings'), MAX_RINGS);
  await Promise.all([b, late.from, ...lines.map(({ from }) => from)].map((port) => port.close()));
});

test('who is not there is asked again after longer and longer pauses, however much is sent', {
  skip,
}, async () => {
  const [a, b] = [openPort(), openNativePort()];
  const line = new Line(a, b);
  line.listen();
  const end = performance.now() + ASKING_MILLIS;
  while (performance.now() < end) {
    line.send(1);
    await turn();
  }
  const asks = count(a, 'portRingAsks');
  assert.ok(asks >= 2 && asks <= MAX_ASKS, `${asks} asks`);
  await Promise.all([a.close(), b.close()]);
});

test('what was sent before a port closed arrives, and nothing of the ring is left', { skip }, async () => {
  const before = leftovers();
  const [a, b] = [openPort(), openPort()];
  const line = new Line(a, b);
  await line.meet();
  line.send(10);
  await a.close();
  line.listen();
  await until(() => line.heard.at(-1) === line.sent - 1, 'the last packet');
  await until(() => count(b, 'portRings') === 0, 'the end of the ring');
  await b.close();
  await until(() => leftovers() === before, `${leftovers()} rings and descriptors to become ${before}`);
});

test('whatever is written into rings, ports deliver packets of bounded size, and others go on', {
  skip,
}, async () => {
  const seed = 1 + Math.floor(Math.random() * 2 ** 31);
  const random = new Random(seed).u32;
  const memory = openSync('/proc/self/mem', 'r+');
  let faults = 0;
  try {
    for (let round = 0; round < 20; round++) {
      const [a, b] = [openPort(), openPort()];
      const ear = new PortEar(b, ({ length, source }) => {
        assert.ok(length > 0 && length <= MAX_PACKET_BYTES, `seed ${seed}: ${length} bytes`);
        assert.equal(source.port, a.address.port);
      });
      const line = new Line(a, b);
      await line.meet();
      for (let i = 0; i < 100; i++) {
        line.send(random() % 4);
        // Looked up every time: a ring that has ended is memory of something else soon.
        const rings = findRings();
        if (rings.length === 0) break;
        scribble(memory, rings, random);
        ear.poll();
        if (random() % 8 === 0) await turn();
      }
      faults += count(b, 'portRingFaults');
      await Promise.all([a.close(), b.close()]);
    }
    assert.ok(faults > 0, `seed ${seed}: no fault was seen`);
  } finally {
    closeSync(memory);
  }
});

test('a ring whose writer breaks the rules ends, is counted, UDP takes over, and then another ring', {
  skip,
}, async () => {
  const memory = openSync('/proc/self/mem', 'r+');
  const [a, b] = [openPort(), openPort()];
  const line = new Line(a, b);
  line.listen();
  await line.meet();
  // More than once around, so that old packets lie behind the new ones.
  for (let i = 0; i < 20; i++) {
    line.send(BATCH_PACKETS);
    await until(() => line.heard.length === line.sent, 'all packets');
  }
  // How many bytes were written: more than the ring has.
  for (const ring of findRings()) writeSync(memory, Buffer.from('f0ffff7f', 'hex'), 0, 4, ring);
  closeSync(memory);
  await until(() => count(b, 'portRingFaults') === 1, 'the fault');
  const byRing = count(a, 'portRingSentPackets');
  const heard = line.heard.length;
  assert.equal(heard, line.sent, 'no old packet is taken again');
  await until(() => {
    line.send(1);
    return line.heard.length > heard + 10;
  }, 'packets by UDP');
  const lost = line.sent - line.heard.length;
  assert.ok(lost <= 3, `${lost} packets went into a ring that nobody reads`);
  await until(() => {
    line.send(1);
    return count(a, 'portRingSentPackets') > byRing + 10;
  }, 'another ring');
  assert.equal(count(b, 'portRings'), 1);
  await Promise.all([a.close(), b.close()]);
});

test('a datagram that comes by UDP is taken the first time that the event loop tells of it, rings or not', {
  skip,
}, async () => {
  const [a, b, c] = [openPort(), openPort(), openNativePort()];
  const line = new Line(a, b);
  line.listen();
  await line.meet();
  await until(() => line.heard.length === line.sent, 'the packets of the ring');
  const flow = flowBetween(c, b);
  const batch = new TransmitBatch(1);
  batch.begin();
  batch.commit(flow, HEADER_BYTES, 0);
  let heard = 0;
  let told = 0;
  const ear = new PortEar(b, () => heard++);
  const onReadable = () => {
    told++;
    ear.poll();
  };
  b.listener = { onReadable, onWritable: () => {} };
  for (let i = 1; i <= UDP_PACKETS; i++) {
    c.send(batch);
    await until(() => heard === i, 'the datagram');
  }
  assert.ok(told <= 2 * UDP_PACKETS, `told ${told} times of ${UDP_PACKETS} datagrams`);
  await Promise.all([a.close(), b.close(), c.close()]);
});

for (const [what, before] of Object.entries<(port: NativePort) => void>({
  'that waits for nothing else': () => {},
  // As a driver does behind many turns: libuv has the socket in its list of those that it will watch.
  'that has begun to watch its socket just before': (port) => {
    port.wakeOnArrival(false);
    port.wakeOnArrival(true);
  },
}))
  test(`a packet wakes an event loop ${what}`, { skip }, () => wakes(before));

async function wakes(beforeWait: (port: NativePort) => void): Promise<void> {
  const port = openPort();
  const delays: number[] = [];
  const worker = new Worker(new URL('../../testkit/ring-sender.js', import.meta.url), {
    workerData: { port: port.address.port, packets: WAKING_PACKETS, pauseMillis: WAKING_PAUSE_MILLIS },
  });
  await new Promise<void>((resolve) => {
    // If it has to end this wait, the packets come with it, late.
    const guard = setTimeout(resolve, WAIT_MILLIS);
    new PortEar(port, ({ bytes, at }) => {
      const sentMicros = new DataView(bytes.buffer, bytes.byteOffset + at).getFloat64(4);
      delays.push(Number(process.hrtime.bigint() / 1000n) - sentMicros);
      beforeWait(port);
      if (delays.length < WAKING_PACKETS) return;
      clearTimeout(guard);
      resolve();
    });
  });
  // Its answer and its end can come in one turn.
  const ended = once(worker, 'exit');
  worker.postMessage('how many were woken?');
  const [woken] = await once(worker, 'message');
  await ended;
  await port.close();
  const longestMicros = Math.max(...delays);
  assert.equal(delays.length, WAKING_PACKETS);
  assert.ok(longestMicros < WAIT_MILLIS * 100, `${longestMicros} µs until a packet was taken`);
  assert.ok(woken > 0, 'the reader had to be woken');
}

test('a process without descriptors to give does not turn in vain, and meets its peers when it has some', {
  skip: skip || (spawnSync('prlimit', ['--version']).error === undefined ? false : 'there is no prlimit'),
}, async () => {
  const [, files] = /Max open files +(\d+)/.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
  const limit = (count: string) => `prlimit --pid ${process.pid} --nofile=${count}:`;
  const [a, b] = [openPort(), openPort()];
  const line = new Line(a, b);
  line.listen();
  // Without descriptors no process begins: this one is there before.
  const helper = spawn('sh', ['-c', `read line; ${limit(files ?? '1024')}; echo done`], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  // The way is asked for, and the other end has not turned yet.
  line.send(1);
  assert.equal(spawnSync('sh', ['-c', limit('1')]).status, 0);
  await pause(TURNS_MILLIS);
  const start = performance.eventLoopUtilization();
  await pause(TURNS_MILLIS);
  const { utilization } = performance.eventLoopUtilization(start);
  helper.stdin.write('go on\n');
  await once(helper.stdout, 'data');
  assert.ok(utilization < 0.5, `the event loop worked ${utilization} of the time`);
  assert.equal(count(b, 'portRings'), 0);
  await line.meet();
  await Promise.all([a.close(), b.close()]);
});

// --- other processes -------------------------------------------------------------------------------------------------

const folder = mkdtempSync(join(tmpdir(), 'queuepair-rings-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const PROGRAM = join(folder, 'ring-stranger');
const skipStrangers = skip || (compileC('testkit/ring-stranger.c', PROGRAM, []) ?? false);

class Stranger {
  readonly #child: ChildProcess;
  readonly #words: AsyncIterator<string>;

  constructor(mode: string, port: NativePort, seed = 1) {
    this.#child = spawn(PROGRAM, [mode, String(port.address.port), String(seed)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    // A port meets nobody while its owner does not look.
    if (port.listener === null) new PortEar(port, () => {});
    const { stdout } = this.#child;
    assert.ok(stdout !== null);
    this.#words = createInterface(stdout)[Symbol.asyncIterator]();
  }

  async word(): Promise<string> {
    const { value } = await this.#words.next();
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

// --- what this process has ---------------------------------------------------------------------------------------------

/** Rings that are mapped, and descriptors of any kind. */
function leftovers(): number {
  const maps = readFileSync('/proc/self/maps', 'utf8');
  return maps.split('memfd:queuepair-ring').length - 1 + readdirSync('/proc/self/fd').length;
}

/** Where rings begin that are mapped now. */
function findRings(): number[] {
  const starts: number[] = [];
  for (const line of readFileSync('/proc/self/maps', 'utf8').split('\n')) {
    const found = /^([0-9a-f]+)-\S+ \S+ 00000000 .*memfd:queuepair-ring/.exec(line);
    if (found !== null) starts.push(Number.parseInt(found[1] as string, 16));
  }
  return starts;
}

/** Words of both ends, and lengths, as they never are and nearly as they are. */
function scribble(memory: number, rings: readonly number[], random: () => number): void {
  const ring = rings[random() % rings.length] as number;
  const bytes = Buffer.alloc(4);
  // The next packet that the reader takes.
  readSync(memory, bytes, 0, 4, ring + 64);
  const next = 4096 + (bytes.readUInt32LE() % RING_BYTES);
  const places = [0, 64, 128, next, next, 4096 + (random() % RING_BYTES)];
  const values = [random(), (random() % 1000) * 16, MAX_PACKET_BYTES + (random() % 100)];
  bytes.writeUInt32LE(values[random() % values.length] as number);
  writeSync(memory, bytes, 0, 4, ring + (places[random() % places.length] as number));
}
