/**
 * A thread with a port of its own, which sends packets to another port through memory, one at a time, each with the time
 * when it was sent (of the system's monotonic clock, in microseconds). Asked, it says how many times it woke a reader, and
 * ends. It says nothing before, which would wake the other thread.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { TransmitBatch } from '../src/roce/transmit-batch.js';
import { flowBetween, openNativePort } from './native-ports.js';

export interface RingSenderTask {
  readonly port: number;
  readonly packets: number;
  readonly pauseMillis: number;
}

const HEADER_BYTES = 12;
const { port, packets, pauseMillis } = workerData as RingSenderTask;

const nowMicros = (): number => Number(process.hrtime.bigint() / 1000n);

const from = openNativePort('127.0.0.1', 'shm');
const flow = flowBetween(from, from);
flow.destination.port = port;
const batch = new TransmitBatch(1);
for (let i = 0; i < packets; i++) {
  batch.reset();
  const at = batch.begin();
  batch.headers.fill(0, at, at + HEADER_BYTES);
  new DataView(batch.headers.buffer).setFloat64(at + 4, nowMicros());
  batch.commit(flow, HEADER_BYTES, 0);
  from.send(batch);
  // So that the reader sleeps meanwhile.
  await pause(pauseMillis);
}
parentPort?.once('message', () => {
  parentPort?.postMessage(from.counters()['portRingWakes']);
  void from.close();
});
