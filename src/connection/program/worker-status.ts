/** What is known of a worker, as plain data. */
import type { DeviceCensus } from '../../verbs/device.js';
import type { PathMtu } from '../../verbs/mtu.js';

/** The device of a worker, and its port. */
export interface WorkerDevice {
  readonly name: string;
  readonly udpPort: number;
  readonly activeMtu: PathMtu;
  readonly exactIcrc: boolean;
}

export interface WorkerStatus {
  /** From 1. The worker that takes the place of one that died has its number. */
  readonly number: number;
  /** Of node:worker_threads; `null` while there is none. */
  readonly threadId: number | null;
  readonly device: WorkerDevice | null;
  /** How long its event loop has not turned, in milliseconds: less than 1000 of one that is well. 0 while there is none. */
  readonly silentMillis: number;
  /** Connections that it serves. */
  readonly connections: number;
  /** How many of this number have died. */
  readonly losses: number;
  /** What its device counts, as the worker told last, with the devices of those that died. */
  readonly counters: Readonly<Record<string, number>>;
  readonly census: DeviceCensus;
}
