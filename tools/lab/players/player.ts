/**
 * What plays the protocol of a stock program of rdma_cm, so that our side can be the other end of it, on this side of the
 * lab's network or in the machine.
 */
import type { CmConnection } from '../../../src/cm/cm-connection.js';
import { type CmIncoming, type CmServer, listen } from '../../../src/cm/cm-server.js';
import { connect } from '../../../src/cm/connect.js';
import type { CmPortSpace } from '../../../src/cm/options.js';
import { type Endpoint, type EndpointOptions, openEndpoint } from '../../../src/endpoint/endpoint.js';
import type { Device } from '../../../src/verbs/device.js';
import { WcOpcode } from '../../../src/verbs/work-completion.js';
import { SendFlags, WrOpcode } from '../../../src/verbs/work-request.js';

export interface PlayerOptions {
  readonly device: Device;
  /** The server's address, or `undefined`: be the server. */
  readonly host: string | undefined;
  /** What the server binds to. */
  readonly bind: string | undefined;
  readonly port: number;
  readonly portSpace: CmPortSpace;
  /** Connections, or messages, as the stock program counts. */
  readonly count: number;
  /** Private data of the request, or of the reply. */
  readonly text: string;
  /** What a server has to say to clients, all of which it rejects. */
  readonly rejectWith: string | undefined;
  /** Whether receives are posted. */
  readonly receives: boolean;
  /** Of both ends, as the client chooses. */
  readonly retryCount: number | undefined;
  /** Of a client without a queue pair. */
  readonly qpn: number;
  /** A client sends the first message of rping. */
  readonly ping: boolean;
  /** The server listens. */
  onListening(): void;
  onEvent(event: string, values: Readonly<Record<string, string>>): void;
}

/** Resolves with what is worth reporting. */
export type Player = (options: PlayerOptions) => Promise<Readonly<Record<string, number | string>>>;

export const TIMEOUT_MILLIS = 30_000;

export const startServer = async ({
  device,
  bind,
  port,
  portSpace,
  onListening,
}: PlayerOptions): Promise<CmServer> => {
  const server = await listen(device, { port, portSpace, ...(bind === undefined ? {} : { host: bind }) });
  onListening();
  return server;
};

export async function nextRequest(server: CmServer): Promise<CmIncoming> {
  const request = await server.next();
  if (request === undefined) throw new Error('the server was closed before a client came');
  return request;
}

export const connectTo = (
  { device, host = '', port, portSpace, text, retryCount }: PlayerOptions,
  endpoint: Endpoint,
): Promise<CmConnection> =>
  connect(device, {
    ...{ host, port, portSpace, qp: endpoint, timeoutMillis: TIMEOUT_MILLIS },
    ...(retryCount === undefined ? {} : { retryCount }),
    ...(text === '' ? {} : { privateData: Buffer.from(text) }),
  });

/** An endpoint whose messages are counted: all receives are posted from the beginning. */
export class CountedEnd {
  readonly endpoint: Endpoint;
  readonly #messageBytes: number;
  #received = 0;
  #sent = 0;
  #wantedReceived = 0;
  #wantedSent = 0;

  static async open(
    device: Device,
    messages: number,
    messageBytes: number,
    options: EndpointOptions = {},
  ): Promise<CountedEnd> {
    const endpoint = await openEndpoint(device, {
      capacity: { maxSendWr: messages, maxRecvWr: messages },
      memory: (messages + 1) * messageBytes,
      wait: { timeoutMillis: TIMEOUT_MILLIS },
      ...options,
    });
    return new CountedEnd(endpoint, messages, messageBytes);
  }

  private constructor(endpoint: Endpoint, messages: number, messageBytes: number) {
    this.endpoint = endpoint;
    this.#messageBytes = messageBytes;
    const { memory, qp } = endpoint;
    for (let i = 1; i <= messages; i++) {
      qp.postRecv({ wrId: i, sges: [{ mr: memory, offset: i * messageBytes, length: messageBytes }] });
    }
  }

  /** What the first message that came in holds. */
  get firstReceived(): Uint8Array {
    return this.endpoint.memory.bytes.subarray(this.#messageBytes, 2 * this.#messageBytes);
  }

  /** One message that holds this. */
  say(bytes: Uint8Array): void {
    this.endpoint.memory.bytes.set(bytes);
    this.send(1, bytes.length);
  }

  send(count: number, length = this.#messageBytes): void {
    const { memory, qp } = this.endpoint;
    const sges = [{ mr: memory, offset: 0, length }];
    for (let i = 0; i < count; i++) {
      qp.postSend({ wrId: 0, opcode: WrOpcode.SEND, flags: SendFlags.SIGNALED, sges });
    }
    this.#wantedSent += count;
  }

  /** Until so many messages more have come in, and all that were sent are acknowledged. */
  async receive(count: number): Promise<void> {
    this.#wantedReceived += count;
    await this.endpoint.until(
      () => this.#received >= this.#wantedReceived && this.#sent >= this.#wantedSent,
      ({ opcode }) => {
        if (opcode === WcOpcode.RECV) this.#received++;
        else this.#sent++;
      },
    );
  }

  close(): Promise<void> {
    return this.endpoint.close();
  }
}
