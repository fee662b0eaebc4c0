/** Asks a silent peer whether it is there, and gives its session up when it does not answer. */
import type { ControlChannel } from '../session/control-channel.js';
import { RdmaError } from '../verbs/errors.js';

/** Silent intervals after which a peer is taken for lost. */
const SILENT_INTERVALS = 3;

export class KeepAlive {
  readonly #channel: ControlChannel;
  readonly #timer: NodeJS.Timeout | undefined;
  #heardAt = performance.now();

  /** `intervalMillis` 0 = never ask. */
  constructor(channel: ControlChannel, intervalMillis: number) {
    this.#channel = channel;
    if (intervalMillis > 0) this.#timer = setInterval(() => this.#check(intervalMillis), intervalMillis);
  }

  /** A frame of the peer came. */
  heard(): void {
    this.#heardAt = performance.now();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #check(intervalMillis: number): void {
    const channel = this.#channel;
    if (channel.end !== undefined) return;
    const silentMillis = performance.now() - this.#heardAt;
    if (silentMillis > SILENT_INTERVALS * intervalMillis) {
      const message = `${channel.peerName} has been silent for ${Math.round(silentMillis)} ms`;
      channel.drop(new RdmaError('ERR_RDMA_TIMEOUT', message));
    } else {
      channel.send({ type: 'ping' });
    }
  }
}
