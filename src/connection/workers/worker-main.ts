/**
 * What runs in a worker: opens a device of its own, loads the handler, and has it serve the connections that the main thread
 * gives to this worker. It ends when it is told to.
 *
 * Nothing is caught here: a mistake that nobody catches ends the worker, and with it the connections that it has.
 */
import { workerData } from 'node:worker_threads';
import { openDevice } from '../../open-device.js';
import type { Device } from '../../verbs/device.js';
import { asRdmaError, RdmaError } from '../../verbs/errors.js';
import { type ConnectionHandler, loadHandler } from '../program/handler.js';
import { warmUp } from '../program/warm-up.js';
import type { WorkerDevice } from '../program/worker-status.js';
import type { Counted, FromWorker, ToWorker, WorkerBeginning, WorkerOrder } from './contract.js';
import { OperationRelay } from './operation-relay.js';
import { PULSE_MILLIS, Pulse } from './pulse.js';
import { SignsOfLife } from './signs-of-life.js';
import { WorkedConnection } from './worked-connection.js';

const { order, port, pulse: memory } = workerData as WorkerBeginning;
const pulse = new Pulse(memory);

const post = (message: FromWorker): void => port.postMessage(message);

class WorkerMain {
  readonly #device: Device;
  readonly #handler: ConnectionHandler;
  readonly #revealPsns: boolean;
  readonly #signs = new SignsOfLife(post);
  readonly #connections = new Map<number, WorkedConnection>();
  readonly #operations = new OperationRelay((batch) => post({ type: 'operations', batch }));
  #isChanged = false;
  #reporting: NodeJS.Immediate | undefined;

  constructor(device: Device, handler: ConnectionHandler, revealPsns: boolean) {
    this.#device = device;
    this.#handler = handler;
    this.#revealPsns = revealPsns;
    pulse.beat();
    setInterval(() => {
      pulse.beat();
      this.#report();
    }, PULSE_MILLIS).unref();
  }

  onMessage(message: ToWorker): void {
    if (message.type === 'close') {
      void this.#close();
      return;
    }
    if (message.type === 'operations') {
      this.#operations.set(message.on, message.beganAt);
      return;
    }
    const { id } = message;
    if (message.type === 'begin') {
      const parts = { device: this.#device, handler: this.#handler, revealPsns: this.#revealPsns };
      const { limits } = message;
      this.#connections.set(id, new WorkedConnection({ id, limits, ...parts, signs: this.#signs, post }));
      return;
    }
    this.#connections.get(id)?.onMessage(message);
    this.#isChanged = true;
    if (message.type !== 'ended') return;
    this.#connections.delete(id);
    // Of all that end at the same time.
    this.#reporting ??= setImmediate(() => this.#report());
  }

  #report(): void {
    this.#operations.flush();
    const active = this.#signs.takeActive();
    if (active.length === 0 && !this.#isChanged) return;
    this.#isChanged = false;
    this.#reporting = undefined;
    const statistics: (readonly [number, Counted])[] = [];
    for (const id of active) {
      const counted = this.#connections.get(id)?.counted;
      if (counted !== undefined) statistics.push([id, counted]);
    }
    post({
      type: 'report',
      census: this.#device.census(),
      counters: this.#device.counters(),
      statistics,
    });
  }

  async #close(): Promise<void> {
    // What is left now is left over.
    this.#isChanged = true;
    this.#report();
    try {
      await this.#device.close({ force: true });
    } finally {
      post({ type: 'closed' });
    }
  }
}

async function start({ handler, device: name, near, revealPsns, isWarm }: WorkerOrder): Promise<WorkerMain> {
  if (isWarm) await warmUp();
  const serve = await loadHandler(handler);
  const device = await openDevice(name, { near });
  const worker = new WorkerMain(device, serve, revealPsns);
  post({ type: 'ready', device: await deviceFacts(device) });
  return worker;
}

async function deviceFacts(device: Device): Promise<WorkerDevice> {
  const { udpPort, activeMtu, exactIcrc } = await device.queryPort();
  return { name: device.name, udpPort, activeMtu, exactIcrc };
}

try {
  const worker = await start(order);
  port.on('message', (message: ToWorker) => worker.onMessage(message));
} catch (error) {
  const failure = error instanceof RdmaError ? error : asRdmaError(error, 'a worker did not begin');
  post({ type: 'failed', error: failure.toJSON() });
}
