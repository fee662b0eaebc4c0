/**
 * A whole server with mutual TLS in a process of its own: `listen` over a soft device, behind a port that a man in the
 * middle can have. Its program keeps what it gets, so that the attack can be scored.
 */

import type { Connection } from '../../../src/connection/program/connection.js';
import type { Grant } from '../../../src/connection/program/grant.js';
import { listen, type Server, type ServerCensus } from '../../../src/connection/server/server.js';
import { Icrc } from '../../../src/roce/wire/icrc.js';
import { openPort } from '../../../src/soft/open-port.js';
import { fastCrc32 } from '../../../src/soft/zlib-crc.js';
import { UDP_ONLY } from '../../../testkit/udp-only.js';
import { type Certificates, makeCertificates } from './certificates.js';
import { CountingDevice } from './counting-device.js';
import { TamperingPort, type TamperPlan } from './tampering-port.js';

export interface ServerVictimOptions {
  readonly host: string;
  readonly slots?: number;
  readonly handshakeDeadlineMillis?: number;
  readonly bufferBytes?: number;
  /** Whether messages are answered; what is not answered is taken to the end. Default true. */
  readonly echo?: boolean;
}

export interface Listening {
  readonly host: string;
  readonly port: number;
  readonly certificates: Certificates;
}

export interface Served {
  readonly messages: readonly Uint8Array[];
  readonly end: string;
  /** What is in the memory that the client may reach. */
  readonly memory: Uint8Array;
}

export class ServerVictim {
  readonly #options: ServerVictimOptions;
  readonly #refusals = new Map<string, number>();
  /** By number of the connection. */
  readonly #messages = new Map<number, Uint8Array[]>();
  readonly #ends = new Map<number, string>();
  readonly #memories = new Map<number, Uint8Array>();
  readonly #connections: Connection[] = [];
  readonly #grants = new Map<number, { grant: Grant; memory: Uint8Array }>();
  #port: TamperingPort | undefined;
  #device: CountingDevice | undefined;
  #server: Server | undefined;
  #lastGrant = 0;

  constructor(options: ServerVictimOptions) {
    this.#options = options;
  }

  async start(): Promise<Listening> {
    const { host, slots = 4, handshakeDeadlineMillis = 2000, bufferBytes = 4096 } = this.#options;
    const certificates = await makeCertificates(host);
    const icrc = new Icrc(fastCrc32);
    const spec = { address: host, port: 4791, io: UDP_ONLY, capture: undefined, faults: undefined };
    this.#port = new TamperingPort(await openPort(spec, icrc), icrc);
    this.#device = new CountingDevice(this.#port, icrc);
    this.#server = await listen(
      {
        host,
        port: 0,
        cert: certificates.server.certPem,
        key: certificates.server.keyPem,
        clientCa: certificates.caPem,
        device: this.#device,
        slots,
        handshakeDeadlineMillis,
        bufferBytes,
        // Some attackers have their device beside the address that their session comes from.
        path: { peerAddress: 'any' },
      },
      (connection) => this.#serve(connection),
    );
    this.#server.on('refused', ({ reason }) => {
      this.#refusals.set(reason, (this.#refusals.get(reason) ?? 0) + 1);
    });
    return { host, port: this.#server.address.port, certificates };
  }

  census(): ServerCensus & { readonly allocations: number } {
    if (this.#server === undefined || this.#device === undefined) throw new Error('not started');
    return { ...this.#server.census(), allocations: this.#device.allocations };
  }

  /** How often each reason was given. */
  refusals(): ReadonlyMap<string, number> {
    return this.#refusals;
  }

  arm(plan: TamperPlan | null): void {
    this.#port?.arm(plan);
  }

  tampered(): number {
    return this.#port?.tampered ?? 0;
  }

  /** Connections that its program has had. */
  served(): number {
    return this.#connections.length;
  }

  /** Of the latest connection, once it has ended. */
  async outcome(): Promise<Served> {
    const connection = this.#latest();
    await connection.closed;
    // Its handler hears of it by the same promise.
    await new Promise(setImmediate);
    const { id } = connection;
    return {
      messages: this.#messages.get(id) ?? [],
      end: this.#ends.get(id) ?? '',
      memory: this.#memories.get(id) ?? new Uint8Array(0),
    };
  }

  /** Lets the client of the latest connection use fresh memory; the key goes with what `encode` makes. */
  async grant(
    bytes: number,
    read: boolean,
    write: boolean,
    millis?: number,
  ): Promise<{ id: number; remote: Uint8Array }> {
    const memory = new Uint8Array(bytes);
    const expires = millis === undefined ? {} : { expires: new Date(Date.now() + millis) };
    const grant = await this.#latest().grant(memory, { read, write, ...expires });
    const id = ++this.#lastGrant;
    this.#grants.set(id, { grant, memory });
    return { id, remote: grant.remote.encode() };
  }

  async revoke(id: number): Promise<void> {
    await this.#grants.get(id)?.grant.revoke();
  }

  async ended(id: number): Promise<string> {
    return (await this.#grants.get(id)?.grant.ended) ?? '';
  }

  /** No byte of any memory that was granted, or exposed to a client that is here, has changed. */
  memoryIsClean(): boolean {
    const granted = [...this.#grants.values()].map(({ memory }) => memory);
    const all = [...granted, ...this.#memories.values()];
    return all.every((memory) => memory.every((byte) => byte === 0));
  }

  async stop(): Promise<void> {
    await this.#server?.close();
    await this.#device?.close();
  }

  async #serve(connection: Connection): Promise<void> {
    const messages: Uint8Array[] = [];
    const { id } = connection;
    this.#connections.push(connection);
    this.#messages.set(id, messages);
    this.#memories.set(id, connection.buffer);
    void connection.closed.then((error) => this.#ends.set(id, error?.code ?? 'orderly'));
    for await (const { data } of connection) {
      messages.push(data);
      if (this.#options.echo !== false) await connection.send(data);
    }
  }

  #latest(): Connection {
    const connection = this.#connections.at(-1);
    if (connection === undefined) throw new Error('there is no connection');
    return connection;
  }
}
