/**
 * A server and clients that meet by rdma_cm: soft devices on real UDP sockets, and programs over `queuepair/cm`. The server's
 * program takes everybody who asks on one port, and never answers on another. An attacker on the path is given what it hears
 * there; what else it is told serves to score the attack.
 */

import type { CmConnection } from '../../../src/cm/cm-connection.js';
import { type CmIncoming, type CmServer, listen } from '../../../src/cm/cm-server.js';
import { connect } from '../../../src/cm/connect.js';
import { type CmDatagramServer, listenUd } from '../../../src/cm/datagram-service.js';
import { type Endpoint, openEndpoint } from '../../../src/endpoint/endpoint.js';
import { GMP_PACKET_BYTES, GSI_QPN } from '../../../src/roce/mad/gmp.js';
import type { RandomU32 } from '../../../src/roce/random.js';
import { bthDestQpn } from '../../../src/roce/wire/bth.js';
import { Icrc } from '../../../src/roce/wire/icrc.js';
import { openPort } from '../../../src/soft/open-port.js';
import { randomU32 } from '../../../src/soft/random.js';
import type { SoftCm } from '../../../src/soft/soft-cm.js';
import { SoftDevice } from '../../../src/soft/soft-device.js';
import { fastCrc32 } from '../../../src/soft/zlib-crc.js';
import { AccessFlags } from '../../../src/verbs/access-flags.js';
import { asRdmaError } from '../../../src/verbs/errors.js';
import { WorkCompletion } from '../../../src/verbs/work-completion.js';
import { SendFlags, WrOpcode } from '../../../src/verbs/work-request.js';
import { Random } from '../../../testkit/random.js';
import { UDP_ONLY } from '../../../testkit/udp-only.js';
import { TappedPort } from './tapped-port.js';

export interface CmVictimOptions {
  readonly seed: number;
  readonly serverHost: string;
  readonly clientHost: string;
  /** IDs, queue pair numbers and the words of transaction IDs have so many bits. Default: as they are, and memory with them. */
  readonly bits?: number;
}

/** The ports of the server's programs. */
export const CmServicePort = { OPEN: 7001, DEAF: 7002, NOBODY: 7003 } as const;

/** What a communication manager keeps. */
export type CmCensus = SoftCm['machine']['census'];

type Which = 'server' | 'client';

const WINDOW_BYTES = 4096;
const MESSAGE_BYTES = 16;
const EXCHANGE_MILLIS = 2000;
const ASK_MILLIS = 60_000;
const { REMOTE_READ, REMOTE_WRITE } = AccessFlags;

interface Met {
  readonly connection: CmConnection;
  readonly end: Endpoint;
}

export class CmVictim {
  readonly #options: CmVictimOptions;
  readonly #taps = new Map<Which, TappedPort>();
  readonly #devices = new Map<Which, SoftDevice>();
  readonly #deaf: (CmServer | CmDatagramServer)[] = [];
  readonly #ofClient: Met[] = [];
  /** In the order of the client's. */
  readonly #ofServer: Met[] = [];
  /** How connections ended, by their number. */
  readonly #ends = { server: new Map<number, string>(), client: new Map<number, string>() };
  readonly #requests: string[] = [];

  constructor(options: CmVictimOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const { serverHost, clientHost } = this.#options;
    const server = await this.#open('server', serverHost);
    await this.#open('client', clientHost);
    const open = await listen(server, { port: CmServicePort.OPEN });
    open.on('request', (request) => void this.#take(request));
    const deaf = await listen(server, { port: CmServicePort.DEAF });
    const deafDatagrams = await listenUd(server, { port: CmServicePort.DEAF });
    const datagrams = await listenUd(server, { port: CmServicePort.OPEN });
    datagrams.on('request', (request) => void request.reject().catch(() => {}));
    this.#deaf.push(deaf, deafDatagrams);
  }

  /** A new connection, beside those that there are. Returns its number. */
  async connect(): Promise<number> {
    const device = this.#device('client');
    const end = await this.#endpoint(device);
    const number = this.#ofClient.length;
    const { serverHost: host } = this.#options;
    const served = this.#ofServer.length + 1;
    const connection = await connect(device, { host, port: CmServicePort.OPEN, qp: end });
    this.#ofClient.push({ connection, end });
    connection.ended.then(({ type }) => this.#ends.client.set(number, type));
    while (this.#ofServer.length < served) await nextTurn();
    return number;
  }

  /** Clients that ask where nobody answers; what becomes of each is in `requests`. */
  async ask(host: string, port: number, count: number): Promise<void> {
    const device = this.#device('client');
    for (let i = 0; i < count; i++) {
      const end = await this.#endpoint(device);
      this.#requests.push('waiting');
      const index = this.#requests.length - 1;
      connect(device, { host, port, qp: end, timeoutMillis: ASK_MILLIS })
        .then(
          () => 'connected',
          (error: unknown) => asRdmaError(error, 'connect').code,
        )
        .then(async (outcome) => {
          this.#requests[index] = outcome;
          await end.close();
        });
    }
    await nextTurn();
  }

  requests(): readonly string[] {
    return this.#requests;
  }

  /** How each connection ended on this side; `live` for those that have not. */
  ends(which: Which): string[] {
    return this.#ofClient.map((_, number) => this.#ends[which].get(number) ?? 'live');
  }

  /** Whether a message of the client still arrives. */
  async exchange(number: number): Promise<boolean> {
    const from = this.#ofClient[number]?.end;
    const to = this.#ofServer[number]?.end;
    if (from === undefined || to === undefined) return false;
    const completions = [new WorkCompletion()];
    to.qp.postRecv({ wrId: 1, sges: [{ mr: to.memory, offset: 0, length: MESSAGE_BYTES }] });
    const sges = [{ mr: from.memory, offset: 0, length: MESSAGE_BYTES }];
    from.qp.postSend({ wrId: 1, opcode: WrOpcode.SEND, flags: SendFlags.SIGNALED, sges });
    return (await to.take(completions, EXCHANGE_MILLIS)) === 1 && completions[0]?.status === 0;
  }

  /** Nobody has written into memory of either side: messages are all zeros. */
  memoryIsClean(): boolean {
    const ends = [...this.#ofClient, ...this.#ofServer];
    return ends.every(({ end }) => end.memory.bytes.every((byte) => byte === 0));
  }

  counters(which: Which): Readonly<Record<string, number>> {
    return this.#device(which).counters();
  }

  async census(which: Which): Promise<CmCensus> {
    const cm = (await this.#device(which).connectionManager()) as SoftCm;
    return cm.machine.census;
  }

  /** Datagrams that a device has had so far. */
  arrived(which: Which): number {
    return this.#devices.get(which)?.nic.counters.rxPackets ?? 0;
  }

  /** Packets that a device has sent so far. */
  left(which: Which): number {
    return this.#taps.get(which)?.sent ?? 0;
  }

  residentBytes(): number {
    return process.memoryUsage.rss();
  }

  /** Begins listening on the wire to a device; returns the management packets that were heard so far. */
  overhear(which: Which): Uint8Array[] {
    const port = this.#taps.get(which);
    const heard = port?.heard ?? [];
    if (port !== undefined) port.heard = [];
    return heard.filter((packet) => packet.length === GMP_PACKET_BYTES && bthDestQpn(packet, 0) === GSI_QPN);
  }

  /** Ends the programs that never answer: what they were asked is refused now. */
  async refuseWaiting(): Promise<void> {
    for (const server of this.#deaf.splice(0)) await server.close();
    await nextTurn();
  }

  async #take(request: CmIncoming): Promise<void> {
    const end = await this.#endpoint(this.#device('server'));
    try {
      const connection = await request.accept({ qp: end });
      const number = this.#ofServer.push({ connection, end }) - 1;
      const { type } = await connection.ended;
      this.#ends.server.set(number, type);
    } catch {
      // A forged request: nobody confirms it.
      await end.close();
    }
  }

  /** Regions take random numbers too, which a space of few bits has not enough of. */
  #endpoint(device: SoftDevice): Promise<Endpoint> {
    if (this.#options.bits !== undefined) return openEndpoint(device);
    return openEndpoint(device, { memory: WINDOW_BYTES, access: REMOTE_READ | REMOTE_WRITE });
  }

  #device(which: Which): SoftDevice {
    const device = this.#devices.get(which);
    if (device === undefined) throw new Error('not started');
    return device;
  }

  async #open(which: Which, address: string): Promise<SoftDevice> {
    const icrc = new Icrc(fastCrc32);
    const tapped = new TappedPort(
      await openPort({ address, port: 4791, io: UDP_ONLY, capture: undefined, faults: undefined }, icrc),
    );
    const device = new SoftDevice(tapped, icrc, this.#random(which));
    this.#taps.set(which, tapped);
    this.#devices.set(which, device);
    return device;
  }

  #random(which: Which): RandomU32 {
    const { bits, seed } = this.#options;
    if (bits === undefined) return randomU32;
    const random = new Random(seed + (which === 'server' ? 1 : 2));
    return () => random.u32() >>> (32 - bits);
  }
}

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
