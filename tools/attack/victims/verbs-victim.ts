/**
 * A server and a client of the verbs in one process: two soft devices on real UDP sockets, linked by reliable queue
 * pairs whose PSNs come from a space of the attack's choice. The attacker is told more than it may use, so that the
 * attack can be scored.
 */

import type { Requester } from '../../../src/roce/qp/requester.js';
import type { RandomU32 } from '../../../src/roce/random.js';
import { Icrc } from '../../../src/roce/wire/icrc.js';
import { openPort } from '../../../src/soft/open-port.js';
import { randomU32 } from '../../../src/soft/random.js';
import { SoftDevice } from '../../../src/soft/soft-device.js';
import { fastCrc32 } from '../../../src/soft/zlib-crc.js';
import { QpState, qpStateName } from '../../../src/verbs/qp-state.js';
import { Random } from '../../../testkit/random.js';
import { UDP_ONLY } from '../../../testkit/udp-only.js';
import { LinkEnd, SLOT_BYTES, SLOTS } from './link-end.js';
import { reducedPsnSource } from './reduced-psn.js';
import { TappedPort } from './tapped-port.js';

export interface VerbsVictimOptions {
  readonly seed: number;
  readonly serverHost: string;
  readonly clientHost: string;
  /** Default: the standard port for both. A client on another one is held to it by the server. */
  readonly clientPort?: number;
  /** Default 24. */
  readonly psnBits?: number;
  readonly psnIsOdd?: boolean;
  /** Queue pair numbers of so many bits. Default: as they are. */
  readonly qpnBits?: number;
}

/** Of one link. What an attacker of the wire cannot know is for scoring. */
export interface Target {
  readonly serverQpn: number;
  readonly clientQpn: number;
  /** The first PSN of the client, which the server expects. */
  readonly clientPsn: number;
  readonly serverPsn: number;
  readonly clientPort: number;
  readonly va: number;
  readonly rkey: number;
  readonly windowBytes: number;
}

export interface EndReport {
  readonly state: string;
  readonly sent: number;
  readonly received: number;
  readonly failures: readonly string[];
  readonly counters: Readonly<Record<string, number>>;
}

export interface TransferReport {
  readonly messages: number;
  /** Of those that came intact. */
  readonly bytes: number;
  readonly millis: number;
  /** Messages that the server's program was given. */
  readonly arrived: number;
  /** Messages that the client's program was told have arrived. */
  readonly acknowledged: number;
  /** Messages that came as they were sent, each at its place. */
  readonly intact: number;
  /** Smallest congestion window of the sender, packets. */
  readonly smallestWindow: number;
  /** `RTS`, or what went wrong. */
  readonly end: string;
}

type Which = 'server' | 'client';

export class VerbsVictim {
  readonly #options: VerbsVictimOptions;
  readonly #nextPsn: () => number;
  readonly #taps = new Map<Which, TappedPort>();
  readonly #devices = new Map<Which, SoftDevice>();
  readonly #links: (readonly [LinkEnd, LinkEnd])[] = [];

  constructor(options: VerbsVictimOptions) {
    this.#options = options;
    const { seed, psnBits: bits = 24, psnIsOdd: isOdd = false } = options;
    this.#nextPsn = reducedPsnSource({ seed, bits, isOdd });
  }

  /** A new link, beside those that there are. `timeout` 0: the client never repeats anything. */
  async connect(timeout = 14): Promise<Target> {
    const clientPsn = this.#nextPsn();
    const serverPsn = this.#nextPsn();
    const server = await LinkEnd.create(await this.#device('server'), serverPsn);
    const client = await LinkEnd.create(await this.#device('client'), clientPsn);
    await server.connect(client.address, timeout);
    await client.connect(server.address, timeout);
    this.#links.push([server, client]);
    const { udpPort: clientPort } = client.address;
    return {
      serverQpn: server.qp.qpn,
      clientQpn: client.qp.qpn,
      clientPsn,
      serverPsn,
      clientPort,
      va: Number(server.window.addr),
      rkey: server.window.rkey,
      windowBytes: server.window.length,
    };
  }

  /** Ends all links. */
  async disconnect(): Promise<void> {
    for (const ends of this.#links.splice(0)) for (const end of ends) await end.close();
  }

  /** Of the latest link. */
  report(which: Which): EndReport {
    const end = this.#end(which);
    end.poll();
    return {
      state: qpStateName(end.qp.state),
      sent: end.sent,
      received: end.received,
      failures: end.failures,
      counters: end.device.counters(),
    };
  }

  /** Datagrams that a device has had so far. */
  arrived(which: Which): number {
    return this.#devices.get(which)?.nic.counters.rxPackets ?? 0;
  }

  /** Packets that a device has sent so far. */
  left(which: Which): number {
    return this.#taps.get(which)?.sent ?? 0;
  }

  /** Nobody has written into the memory that the server of the latest link exposes. */
  windowIsClean(): boolean {
    return this.#end('server').window.bytes.every((byte) => byte === 0);
  }

  takeReceived(which: Which): Uint8Array[] {
    return this.#end(which).takeReceived();
  }

  takeReceivedOfAll(which: Which): number {
    let count = 0;
    for (const link of this.#links) count += link[which === 'server' ? 0 : 1].takeReceived().length;
    return count;
  }

  /** Sends over the latest link, and waits for the acknowledgement. */
  async send(which: Which, bytes: Uint8Array): Promise<EndReport> {
    const end = this.#end(which);
    end.send(bytes);
    while (end.pending > 0 && end.qp.state !== QpState.ERR) await nextTurn(() => end.poll());
    return this.report(which);
  }

  /** The client sends `count` messages that nobody answers: the server's queue pair is deaf from now on. */
  async sendIntoTheVoid(count: number): Promise<void> {
    await this.#end('server').qp.modify({ state: QpState.RESET });
    const client = this.#end('client');
    const goal = this.left('client') + count;
    for (let i = 0; i < count; i++) client.send(new Uint8Array(64));
    while (this.left('client') < goal) await nextTurn(() => client.poll());
  }

  /** The client sends `messages` of `size` bytes, 4 KiB at most, as fast as it can. */
  async transfer(messages: number, size = SLOT_BYTES): Promise<TransferReport> {
    const server = this.#end('server');
    const client = this.#end('client');
    const { congestion } = client.qp.engine.requester as Requester;
    const goal = client.sent + messages;
    const message = new Uint8Array(size);
    const view = new DataView(message.buffer);
    const startedAt = performance.now();
    let posted = 0;
    let arrived = 0;
    let intact = 0;
    let smallestWindow = Number.POSITIVE_INFINITY;
    server.takeReceived();
    while (client.sent < goal && client.qp.state !== QpState.ERR && client.failures.length === 0) {
      for (; posted < messages && client.pending < SLOTS; posted++) {
        view.setUint32(0, posted);
        message.fill(posted & 0xff, 4);
        client.send(message);
      }
      await nextTurn(() => client.poll());
      smallestWindow = Math.min(smallestWindow, congestion.window);
      for (const bytes of server.takeReceived()) if (isNumbered(bytes, arrived++, size)) intact++;
    }
    for (const bytes of server.takeReceived()) if (isNumbered(bytes, arrived++, size)) intact++;
    const millis = performance.now() - startedAt;
    const end = client.failures[0] ?? qpStateName(client.qp.state);
    const acknowledged = messages - (goal - client.sent);
    return { messages, bytes: intact * size, millis, arrived, intact, acknowledged, smallestWindow, end };
  }

  /** Begins or ends listening on the wire to a device; returns what was heard. */
  tap(which: Which, isOn: boolean): Uint8Array[] {
    const port = this.#taps.get(which);
    const heard = port?.heard ?? [];
    if (port !== undefined) port.heard = isOn ? [] : null;
    return heard;
  }

  #end(which: Which): LinkEnd {
    const link = this.#links.at(-1);
    if (link === undefined) throw new Error('there is no link');
    return link[which === 'server' ? 0 : 1];
  }

  async #device(which: Which): Promise<SoftDevice> {
    const open = this.#devices.get(which);
    if (open !== undefined) return open;
    const { serverHost, clientHost, clientPort = 4791 } = this.#options;
    const address = which === 'server' ? serverHost : clientHost;
    const port = which === 'server' ? 4791 : clientPort;
    const icrc = new Icrc(fastCrc32);
    const tapped = new TappedPort(
      await openPort({ address, port, io: UDP_ONLY, capture: undefined, faults: undefined }, icrc),
    );
    const device = new SoftDevice(tapped, icrc, this.#random());
    this.#taps.set(which, tapped);
    this.#devices.set(which, device);
    return device;
  }

  /** Numbers of the CSPRNG; for smaller queue pair numbers, seeded ones of so few bits. */
  #random(): RandomU32 {
    const { qpnBits, seed } = this.#options;
    if (qpnBits === undefined) return randomU32;
    const random = new Random(seed + 1);
    return () => random.u32() >>> (32 - qpnBits);
  }
}

function isNumbered(bytes: Uint8Array, number: number, size: number): boolean {
  if (bytes.length !== size) return false;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return view.getUint32(0) === number && bytes[4] === (number & 0xff) && bytes.at(-1) === (number & 0xff);
}

async function nextTurn(poll: () => void): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
  poll();
}
