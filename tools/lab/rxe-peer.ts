/** The end on rxe0 in the machine: a program there that takes commands over TCP. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { createInterface, type Interface } from 'node:readline';
import { PEER_PORT, THERE } from './network.js';
import {
  NO_REGION,
  PEER_DEFAULTS,
  type Peer,
  type PeerAddress,
  type PeerCompletion,
  type PeerOptions,
  type PeerRegion,
  type PeerRegionOptions,
  type PeerSend,
  type PeerSge,
  WHOLE_BUFFER,
} from './peer.js';

const SIGNALED = 2;
/** A command answers at once, but the network may be a bad one by order of the scenario. */
const ANSWER_LIMIT_MILLIS = 30_000;

type Arguments = Readonly<Record<string, string | number | bigint>>;

export class RxePeer implements Peer {
  readonly kind = 'rxe';
  readonly #socket: Socket;
  readonly #lines: AsyncIterator<string>;
  readonly #reader: Interface;
  address: PeerAddress = { gid: '', qpn: 0, psn: 0 };
  bufferAddr = 0n;
  rkey = 0;

  static async open(options: PeerOptions): Promise<RxePeer> {
    const socket = connect({ host: THERE[4], port: PEER_PORT, noDelay: true });
    await once(socket, 'connect');
    const peer = new RxePeer(socket);
    const defaults = PEER_DEFAULTS;
    const answer = fieldsOf(
      await peer.#ask('open', {
        buf: options.bufferBytes,
        ip: options.ip,
        mtu: options.mtu,
        access: options.access ?? defaults.access,
        timeout: options.timeout ?? defaults.timeout,
        retry: options.retryCount ?? defaults.retryCount,
        rnr: options.rnrRetry ?? defaults.rnrRetry,
        minrnr: options.minRnrTimer ?? defaults.minRnrTimer,
        rd: defaults.rdAtomic,
      }),
    );
    const number = (name: string): number => Number(answer.get(name));
    peer.address = { gid: answer.get('gid') ?? '', qpn: number('qpn'), psn: number('psn') };
    peer.bufferAddr = BigInt(answer.get('addr') ?? 0);
    peer.rkey = number('rkey');
    return peer;
  }

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('error', () => {});
    this.#reader = createInterface({ input: socket });
    this.#lines = this.#reader[Symbol.asyncIterator]();
  }

  async connect({ gid, qpn, psn }: PeerAddress): Promise<void> {
    await this.#ask('connect', { gid, qpn, psn });
  }

  async addRegion(options: PeerRegionOptions): Promise<PeerRegion> {
    const { offset, length, access, otherDomain } = options;
    const answer = fieldsOf(
      await this.#ask('mr', { off: offset, len: length, access, pd: otherDomain === true ? 1 : 0 }),
    );
    return { index: Number(answer.get('mr')), rkey: Number(answer.get('rkey')) };
  }

  async fill(offset: number, length: number, seed: number): Promise<void> {
    await this.#ask('fill', { off: offset, len: length, seed });
  }

  hash(offset: number, length: number): Promise<string> {
    return this.#ask('hash', { off: offset, len: length });
  }

  async peek(offset: number): Promise<bigint> {
    return BigInt(await this.#ask('peek', { off: offset }));
  }

  async poke(offset: number, value: bigint): Promise<void> {
    await this.#ask('poke', { off: offset, value });
  }

  async postRecv(wrId: number, sges: readonly PeerSge[]): Promise<void> {
    await this.#ask('recv', { wrid: wrId, sge: formatSges(sges) });
  }

  async postSend(send: PeerSend): Promise<void> {
    await this.#ask('send', {
      wrid: send.wrId,
      op: send.opcode,
      flags: SIGNALED,
      imm: send.imm ?? 0,
      raddr: send.remoteAddr ?? 0,
      rkey: send.rkey ?? 0,
      compare: send.compareAdd ?? 0,
      swap: send.swap ?? 0,
      sge: formatSges(send.sges ?? []),
    });
  }

  async poll(max: number, timeoutMillis: number): Promise<PeerCompletion[]> {
    const answer = await this.#ask('poll', { max, timeout: Math.ceil(timeoutMillis) }, timeoutMillis);
    return answer.split(' ').filter(Boolean).map(parseCompletion);
  }

  async state(): Promise<number> {
    return Number(await this.#ask('state', {}));
  }

  async events(): Promise<string[]> {
    const answer = await this.#ask('events', {});
    return answer.split(' ').filter(Boolean);
  }

  async close(): Promise<void> {
    this.#reader.close();
    this.#socket.destroy();
  }

  async #ask(command: string, values: Arguments, extraMillis = 0): Promise<string> {
    const words = Object.entries(values).map(([name, value]) => `${name}=${value}`);
    this.#socket.write(`${[command, ...words].join(' ')}\n`);
    const timer = setTimeout(() => this.#socket.destroy(), ANSWER_LIMIT_MILLIS + extraMillis);
    const { value, done } = await this.#lines.next();
    clearTimeout(timer);
    if (done) throw new Error(`rxe: no answer to ${command}`);
    const [verdict, ...rest] = value.split(' ');
    if (verdict === 'ok') return rest.join(' ');
    throw new Error(`rxe: ${command}: ${rest.join(' ')}`);
  }
}

const fieldsOf = (text: string): Map<string, string> =>
  new Map(text.split(' ').map((word) => [word.split('=')[0] ?? '', word.slice(word.indexOf('=') + 1)]));

const formatSges = (sges: readonly PeerSge[]): string =>
  sges.map(({ region, offset, length }) => `${region ?? WHOLE_BUFFER}:${offset}:${length}`).join(',');

/** `wrid:status:opcode:bytelen:imm:flags`. */
export function parseCompletion(text: string): PeerCompletion {
  const numbers = text.split(':').map(Number);
  const [wrId = 0, status = NO_REGION, opcode = 0, byteLen = 0, imm = 0] = numbers;
  if (numbers.length !== 6 || numbers.some(Number.isNaN)) throw new Error(`no completion: ${text}`);
  return { wrId, status, opcode, byteLen, imm };
}
