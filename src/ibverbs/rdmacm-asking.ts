/**
 * The way to a peer: address, route, then the question itself; the same for connections and for datagram services. It
 * owns the kernel's id and the time limit until there is an answer.
 *
 * Invariants: events are handled one after the other, each to its end before the next. From the question on `onAnswer` gets
 * them; `onFailed` or `onUnreachable` is an ending, told once. Nothing is called within a call of the program, or after an
 * ending or `close`.
 */
import { CmEventType, CmOption } from '../native/rdmacm-addon.js';
import type { CmAddress } from '../verbs/connection-manager.js';
import type { Device } from '../verbs/device.js';
import { asRdmaError, closedError, type RdmaError, usageError } from '../verbs/errors.js';
import { ROCE_UDP_PORT } from './gid-table.js';
import { NO_ADDRESS, socketAddress } from './rdmacm-address.js';
import type { CmChannel, KernelCall, KernelEvent, KernelId } from './rdmacm-channel.js';
import { connectError, deviceRemoved, foreignSource, otherDevice } from './rdmacm-error.js';
import { OwnAddresses } from './rdmacm-own.js';
import { Errno } from './verbs-error.js';

/** As the kernel's tools: neighbour discovery takes three seconds to give up. */
const RESOLVE_LIMIT_MILLIS = 4000;

export interface CmContext {
  readonly device: Device;
  readonly channel: CmChannel;
}

export interface Question {
  readonly portSpace: number;
  readonly remote: CmAddress;
  readonly localHost?: string;
  readonly udpPort?: number;
  readonly trafficClass?: number;
  readonly ackTimeout?: number;
  readonly timeoutMillis: number;
  readonly parameters: Float64Array;
  readonly privateData: Uint8Array;
}

export interface Asker {
  /** Any event from the question on, and none before. Returns whether it is the answer, or an ending. */
  onAnswer(event: KernelEvent): Promise<boolean>;
  onUnreachable(): void;
  onFailed(error: RdmaError): void;
}

export class Asking {
  readonly id: KernelId;
  readonly #context: CmContext;
  readonly #question: Question;
  readonly #asker: Asker;
  readonly #timer: NodeJS.Timeout;
  #events: Promise<unknown> = Promise.resolve();
  #isResolved = false;
  #isOver = false;

  constructor(context: CmContext, question: Question, asker: Asker) {
    this.#context = context;
    this.#question = question;
    this.#asker = asker;
    this.id = context.channel.createId(question.portSpace, (event) => this.#take(event));
    this.id.onForced = () => this.#fail(closedError(context.device.name));
    this.#timer = setTimeout(() => this.#onTimeout(), question.timeoutMillis);
    this.#enqueue(() => this.#start());
  }

  /** Nothing is told from now on. */
  close(): Promise<void> {
    this.#isOver = true;
    clearTimeout(this.#timer);
    return this.id.destroy();
  }

  async #start(): Promise<void> {
    const { remote, localHost, udpPort, trafficClass, ackTimeout, timeoutMillis } = this.#question;
    if (udpPort !== undefined && udpPort !== ROCE_UDP_PORT) {
      throw usageError(
        `${this.#context.device.name} sends to UDP port ${ROCE_UDP_PORT} only, and the peer is at ${udpPort}`,
      );
    }
    const to = socketAddress(remote);
    const from = localHost === undefined ? NO_ADDRESS : socketAddress({ host: localHost, port: 0 });
    if (trafficClass !== undefined) await this.#option(CmOption.TOS, trafficClass);
    if (ackTimeout !== undefined) await this.#option(CmOption.ACK_TIMEOUT, ackTimeout);
    const limit = Math.min(timeoutMillis, RESOLVE_LIMIT_MILLIS);
    await this.#step(
      (addon, handle) => addon.resolveAddr(handle, from, to, limit),
      (errno, own) =>
        localHost !== undefined && (errno === Errno.EADDRNOTAVAIL || errno === Errno.ENODEV)
          ? foreignSource(this.#context.device.name, localHost, own)
          : undefined,
    );
  }

  async #handle(event: KernelEvent): Promise<void> {
    const { name } = this.#context.device;
    const { remote, timeoutMillis, parameters, privateData } = this.#question;
    switch (event.type) {
      case CmEventType.ADDR_RESOLVED: {
        const { deviceName } = this.id;
        if (deviceName !== name) {
          throw deviceName === ''
            ? await this.#error(Errno.ENODEV)
            : otherDevice(name, deviceName, remote.host);
        }
        await this.#step((addon, handle) => addon.resolveRoute(handle, timeoutMillis));
        return;
      }
      case CmEventType.ROUTE_RESOLVED:
        this.#isResolved = true;
        await this.#step((addon, handle) => addon.connect(handle, parameters, privateData));
        return;
      case CmEventType.ADDR_ERROR:
      case CmEventType.ROUTE_ERROR:
      case CmEventType.CONNECT_ERROR:
        throw await this.#error(Math.abs(event.status));
      case CmEventType.DEVICE_REMOVAL:
        throw deviceRemoved(name);
      default:
        if (await this.#asker.onAnswer(event)) clearTimeout(this.#timer);
    }
  }

  #take(event: KernelEvent): void {
    this.#enqueue(() => this.#handle(event));
  }

  #enqueue(task: () => Promise<void>): void {
    this.#events = this.#events.then(async () => {
      if (this.#isOver) return;
      try {
        await task();
      } catch (error) {
        this.#fail(asRdmaError(error, 'a step on the way to a peer'));
      }
    });
  }

  #onTimeout(): void {
    if (this.#isOver) return;
    if (this.#isResolved) {
      void this.close();
      this.#asker.onUnreachable();
      return;
    }
    void this.#error(Errno.ETIMEDOUT).then((error) => this.#fail(error));
  }

  #fail(error: RdmaError): void {
    if (this.#isOver) return;
    void this.close();
    this.#asker.onFailed(error);
  }

  #option(option: number, value: number): Promise<void> {
    return this.#step((addon, handle) => addon.setOption(handle, option, value));
  }

  async #step(
    call: KernelCall,
    explain: (errno: number, own: OwnAddresses) => RdmaError | undefined = () => undefined,
  ): Promise<void> {
    const result = await this.id.run(call);
    if (result >= 0 || this.#isOver) return;
    throw explain(-result, await OwnAddresses.of(this.#context.device)) ?? (await this.#error(-result));
  }

  async #error(errno: number): Promise<RdmaError> {
    const { device } = this.#context;
    return connectError(device.name, this.#question.remote, errno, await OwnAddresses.of(device));
  }
}
