/** Ports with rings and the event loop: it is woken for a packet, and does not turn in vain. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import type { NativePort } from '../../../src/soft/native-port.js';
import { PortEar } from '../../../testkit/native-ports.js';
import { count, Line, openPort, skip, WAIT_MILLIS } from './line.js';

const WAKING_PACKETS = 30;
const WAKING_PAUSE_MILLIS = 10;
const TURNS_MILLIS = 200;

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
  const worker = new Worker(new URL('../../../testkit/ring-sender.js', import.meta.url), {
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
