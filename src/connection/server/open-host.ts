/**
 * Opens what the connections of a server are served by: its own thread, or workers.
 *
 * Invariant: no death of a worker goes untold; those before there is a server are told to it as soon as it is there.
 */
import { openDevice } from '../../open-device.js';
import type { ListenOptions } from '../options/listen-options.js';
import { type ConnectionHandler, loadHandler } from '../program/handler.js';
import { LocalHost, type ServingHost, type WorkerLoss } from '../program/serving-host.js';
import { warmUp } from '../program/warm-up.js';
import { DEFAULT_HOST } from '../terms/options.js';
import { WorkerHost } from '../workers/worker-host.js';

/** Tells of workers that die; of those that die before there is a server, as soon as there is one. */
export class LossTeller {
  readonly #early: WorkerLoss[] = [];
  #tell: ((loss: WorkerLoss) => void) | undefined;

  tell(loss: WorkerLoss): void {
    if (this.#tell === undefined) this.#early.push(loss);
    else this.#tell(loss);
  }

  tellTo(tell: (loss: WorkerLoss) => void): void {
    this.#tell = tell;
    for (const loss of this.#early.splice(0)) tell(loss);
  }
}

/** Opens what connections are served by. `onLost` is told of workers that die. */
export async function openHost(
  options: ListenOptions,
  handler: ConnectionHandler | URL,
  onLost: (loss: WorkerLoss) => void,
): Promise<ServingHost> {
  const { device: given, host: near = DEFAULT_HOST, revealPsns = false, workers = 0 } = options;
  const isWarm = options.warmUp === true;
  if (workers > 0) {
    const { href } = handler as URL;
    const order = { handler: href, device: given as string | undefined, near, revealPsns, isWarm };
    return WorkerHost.start({ workers, order, onLost });
  }
  if (isWarm) await warmUp();
  const serve = handler instanceof URL ? await loadHandler(handler.href) : handler;
  if (typeof given === 'object')
    return new LocalHost({ device: given, ownsDevice: false, handler: serve, revealPsns });
  const device = (await openDevice(given, { near })).unref();
  return new LocalHost({ device, ownsDevice: true, handler: serve, revealPsns });
}
