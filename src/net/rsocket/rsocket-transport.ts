/**
 * Sockets over rsocket: the protocol that stock programs speak when they are started with librspreload. It is plain and
 * authenticates nobody, so that a program asks for it by name and never gets it as a fallback.
 *
 * Invariants: what a client does wrong ends its own connection only; it is counted, and the server goes on. When
 * `close` of a listener has resolved, nothing of it is left.
 */

import { type CmIncoming, type CmServer, listen } from '../../cm/cm-server.js';
import type { CmAddress } from '../../verbs/connection-manager.js';
import type { Device } from '../../verbs/device.js';
import { asRdmaError, RdmaError } from '../../verbs/errors.js';
import type {
  ConnectTarget,
  EndAddress,
  ListeningTransport,
  ListenTarget,
  StreamListener,
  Transport,
  TransportStream,
} from '../transport.js';
import { FaultCounts } from './fault-counts.js';
import { awaitGreeting } from './fork-greeting.js';
import type { RsocketChannel } from './rsocket-channel.js';
import { acceptRsocket, connectRsocket, type RsocketTarget } from './rsocket-meeting.js';
import type { RsocketOptions } from './rsocket-options.js';

/** Each has its memory before the client has said a second word. */
const MAX_MEETINGS = 64;
/**
 * Where so many meet at once, a client that has not answered for so long makes room: it may never answer. Time counts in steps, between
 * which answers are read, so that a process that is not given its turn gives up nobody for that.
 */
const PATIENCE_STEPS = 100;
const STEP_MILLIS = 20;
const GREETING_MILLIS = 10_000;

interface Meeting {
  readonly giveUp: AbortController;
  /** Steps for which others have waited for its end. */
  age: number;
  readonly over: Promise<void>;
}

/** A stream of this transport, whose channel can do more than others. */
export interface RsocketStream extends TransportStream {
  readonly channel: RsocketChannel;
}

export class RsocketTransport implements Transport {
  readonly #device: Device;
  readonly #options: RsocketOptions;
  readonly #faults = new FaultCounts();

  /** The device stays its owner's. */
  constructor(device: Device, options: RsocketOptions = {}) {
    this.#device = device;
    this.#options = options;
  }

  /** What peers have done wrong, by name (`RsocketFault`), and clients that nothing came of, by the code of the error. */
  faults(): Readonly<Record<string, number>> {
    return this.#faults.snapshot();
  }

  async connect({ addresses, port, signal, watcher }: ConnectTarget): Promise<RsocketStream> {
    let failure: RdmaError | undefined;
    for (const host of addresses) {
      watcher?.onAttempt(host);
      try {
        return streamOf(await this.#connectTo({ host, port, signal }));
      } catch (error) {
        failure = asRdmaError(error, `the connection to ${host} could not be made`);
        watcher?.onAttemptFailed(host, failure);
        if (signal.aborted) break;
      }
    }
    throw failure ?? new RdmaError('ERR_RDMA_ADDRESS', 'there is no address to connect to');
  }

  async #connectTo(target: Required<RsocketTarget>): Promise<RsocketChannel> {
    if (this.#options.forkSafe !== true)
      return await connectRsocket(this.#device, target, this.#options, this.#faults);
    const { host, port, signal } = target;
    const greeted = await awaitGreeting(host, port, this.#options.timeoutMillis ?? GREETING_MILLIS, signal);
    try {
      return await connectRsocket(this.#device, target, this.#options, this.#faults);
    } finally {
      greeted.destroy();
    }
  }

  async listen({ host, port, backlog }: ListenTarget, listener: StreamListener): Promise<ListeningTransport> {
    const server = await listen(this.#device, { host, port, ...(backlog === undefined ? {} : { backlog }) });
    return new RsocketListening(this.#device, server, this.#options, this.#faults, listener);
  }
}

class RsocketListening implements ListeningTransport {
  readonly address: EndAddress;
  readonly #device: Device;
  readonly #server: CmServer;
  readonly #options: RsocketOptions;
  readonly #faults: FaultCounts;
  readonly #listener: StreamListener;
  readonly #open = new Set<RsocketChannel>();
  /** Oldest first. */
  readonly #meetings = new Set<Meeting>();
  #stopping: Promise<void> | undefined;

  constructor(
    device: Device,
    server: CmServer,
    options: RsocketOptions,
    faults: FaultCounts,
    listener: StreamListener,
  ) {
    this.address = endOf(server.address);
    this.#device = device;
    this.#server = server;
    this.#options = options;
    this.#faults = faults;
    this.#listener = listener;
    void this.#serve();
  }

  stop(): void {
    this.#stopping ??= this.#server.close();
  }

  async close(): Promise<void> {
    this.stop();
    await this.#stopping;
    await Promise.all([...this.#meetings].map(({ over }) => over));
    for (const channel of this.#open) channel.close(null);
    await Promise.all([...this.#open].map(({ closed }) => closed));
  }

  async #serve(): Promise<void> {
    for await (const request of this.#server) {
      if (this.#meetings.size >= MAX_MEETINGS) await this.#makeRoom();
      const giveUp = new AbortController();
      const meeting = { giveUp, age: 0, over: this.#meet(request, giveUp.signal) };
      this.#meetings.add(meeting);
      void meeting.over.then(() => this.#meetings.delete(meeting));
    }
    if (this.#stopping !== undefined) return;
    this.#listener.onFailure(
      new RdmaError('ERR_RDMA_CLOSED', `the device ${this.#device.name} was closed under its server`),
    );
  }

  /** Waits for the first meeting that is over, for the oldest only so long. Further clients wait in the backlog. */
  async #makeRoom(): Promise<void> {
    const [oldest] = this.#meetings;
    if (oldest === undefined) return;
    const timer = setInterval(() => {
      for (const meeting of this.#meetings) meeting.age++;
      if (oldest.age >= PATIENCE_STEPS) oldest.giveUp.abort();
    }, STEP_MILLIS);
    await Promise.race([...this.#meetings].map(({ over }) => over));
    clearInterval(timer);
  }

  /** A client that nothing comes of is counted: it was rejected, or has left. */
  async #meet(request: CmIncoming, signal: AbortSignal): Promise<void> {
    try {
      const channel = await acceptRsocket(this.#device, request, this.#options, this.#faults, signal);
      this.#open.add(channel);
      void channel.closed.then(() => this.#open.delete(channel));
      // In a tick of its own: what a listener throws is the program's, and no failure of the client.
      process.nextTick(() => this.#listener.onStream(streamOf(channel)));
    } catch (error) {
      this.#faults.countFailure(asRdmaError(error, 'a client could not be accepted'));
    }
  }
}

const streamOf = (channel: RsocketChannel): RsocketStream => ({
  channel,
  iomap: channel.iomap,
  local: endOf(channel.connection.local),
  remote: endOf(channel.connection.remote),
  // A connection of its own goes with its channel.
  setKeepAlive: (isOn, everyMillis) => channel.setKeepAlive(isOn, everyMillis),
  release: () => {},
});

const endOf = ({ host, port }: CmAddress): EndAddress => ({ address: host, port });
