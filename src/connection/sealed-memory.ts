/**
 * One-sided access on encrypted connections. What RDMA moves can be seen on the wire, so a write puts sealed bytes into
 * the peer's memory and then announces them, sealed as every message: the peer verifies and opens them in place, before
 * it takes any later message. A read cannot be sealed by the device that answers it; the peer's connection answers it
 * with a sealed message instead, and its program is not involved either.
 *
 * Keys live as long as the connection, over all its links, because a write may be announced on a later one. Nonces count,
 * and an announcement must count up.
 */
import { createCipheriv, createDecipheriv } from 'node:crypto';
import type { KeyPair } from '../session/session-data.js';
import { type RdmaError, usageError } from '../verbs/errors.js';
import { MessageFault, MessageKind, violation } from './message-header.js';
import type { MemoryRights } from './options.js';
import type { RemoteBuffer } from './remote-buffer.js';
import { integrityError, TAG_BYTES } from './sealing.js';

const CIPHER = 'aes-256-gcm';
const IV_BYTES = 12;
/** counter u64, address u64, length u64, tag */
const ANNOUNCEMENT_BYTES = 24 + TAG_BYTES;
/** number u32, address u64, length u32 */
const REQUEST_BYTES = 16;
const NUMBER_BYTES = 4;
const PIECE_BYTES = 256 * 1024;
/** Requests under way at a time. */
const MAX_REQUESTS = 8;
/** Answers that may be on their way: a peer may have one before we know that it has. More breaks the rules. */
const MAX_ANSWERS = 2 * MAX_REQUESTS;

export interface SealedMemoryOptions {
  readonly keys: KeyPair;
  /** Largest message that this side takes. */
  readonly maxMessageBytes: number;
  /** Sends a message of the connection; resolves when the peer has it. */
  readonly send: (kind: MessageKind, data: Uint8Array) => Promise<void>;
  /** RDMA WRITE. */
  readonly write: (remote: RemoteBuffer, data: Uint8Array, repeatable: boolean) => Promise<void>;
  /** Our memory that the peer may use: `undefined` when it may not. */
  readonly find: (addr: bigint, length: number, right: keyof MemoryRights) => Uint8Array | undefined;
  /** Number of the first request; other than 0 in tests only. */
  readonly firstRequest?: number;
}

interface Request {
  readonly into: Uint8Array;
  resolve(): void;
  reject(error: RdmaError): void;
}

export class SealedMemory {
  readonly #options: SealedMemoryOptions;
  readonly #requests = new Map<number, Request>();
  readonly #waiting: (() => void)[] = [];
  #writes = 0n;
  /** All writes until now were announced, or failed. */
  #announced: Promise<void> = Promise.resolve();
  #lastOpened = 0n;
  #nextRequest: number;
  #answering = 0;
  #failure: RdmaError | undefined;

  constructor(options: SealedMemoryOptions) {
    this.#options = options;
    this.#nextRequest = options.firstRequest ?? 0;
  }

  /** @throws RdmaError as `Connection.write`. */
  async write(remote: RemoteBuffer, data: Uint8Array, repeatable: boolean): Promise<void> {
    const announcement = Buffer.alloc(ANNOUNCEMENT_BYTES);
    announcement.writeBigUInt64BE(++this.#writes, 0);
    announcement.writeBigUInt64BE(remote.addr, 8);
    announcement.writeBigUInt64BE(BigInt(data.length), 16);
    const { key, iv } = this.#options.keys.own;
    const cipher = createCipheriv(CIPHER, key, nonceOf(iv, this.#writes));
    cipher.setAAD(announcement.subarray(8, 24));
    const sealed = cipher.update(data);
    cipher.final();
    announcement.set(cipher.getAuthTag(), 24);
    await this.#inTurn(
      () => this.#options.write(remote, sealed, repeatable),
      () => this.#options.send(MessageKind.SEALED_WRITE, announcement),
    );
  }

  /** @throws RdmaError as `Connection.read`; a refused access ends the connection. */
  async read(remote: RemoteBuffer, into: Uint8Array): Promise<void> {
    const piece = Math.min(PIECE_BYTES, this.#options.maxMessageBytes - NUMBER_BYTES);
    if (piece < 1) throw usageError('maxMessageBytes leaves no room for what is read');
    const pieces: Promise<void>[] = [];
    for (let at = 0; at < into.length; at += piece) {
      await this.#room();
      const request = this.#request(remote.addr + BigInt(at), into.subarray(at, at + piece));
      // Its failure is seen below, but perhaps not at once.
      request.catch(() => undefined);
      pieces.push(request);
    }
    await Promise.all(pieces);
  }

  /**
   * A message of the peer that is for this class.
   *
   * @throws RdmaError ERR_RDMA_INTEGRITY, ERR_RDMA_PROTOCOL.
   */
  onMessage(kind: MessageKind, data: Buffer): void {
    if (kind === MessageKind.SEALED_WRITE) this.#open(data);
    else if (kind === MessageKind.SEALED_READ) this.#answer(data);
    else this.#onAnswer(data);
  }

  /** Ends every read that waits, and all later ones, with `error`. */
  fail(error: RdmaError): void {
    this.#failure ??= error;
    for (const { reject } of this.#requests.values()) reject(error);
    this.#requests.clear();
    for (const go of this.#waiting.splice(0)) go();
  }

  /**
   * The peer takes announcements in the order of their counters alone. Writes may come to their end in another one: their
   * memory is registered at the same time.
   */
  async #inTurn(write: () => Promise<void>, announce: () => Promise<void>): Promise<void> {
    const before = this.#announced;
    const written = write();
    let announced: Promise<void> | undefined;
    const turn = Promise.allSettled([before, written]).then(([, { status }]) => {
      if (status === 'fulfilled') announced = announce();
      // Its failure is seen below, but perhaps not at once.
      announced?.catch(() => undefined);
    });
    this.#announced = turn;
    await written;
    await turn;
    await announced;
  }

  #open(data: Buffer): void {
    if (data.length !== ANNOUNCEMENT_BYTES)
      throw violation(MessageFault.SEALED_MEMORY, 'it announced a sealed write wrongly');
    const counter = data.readBigUInt64BE(0);
    if (counter <= this.#lastOpened)
      throw violation(MessageFault.SEALED_MEMORY, 'it announced a sealed write twice');
    const length = Number(data.readBigUInt64BE(16));
    const memory = this.#options.find(data.readBigUInt64BE(8), length, 'write');
    if (memory === undefined)
      throw violation(MessageFault.SEALED_MEMORY, 'it announced a sealed write outside of what it may write');
    const { key, iv } = this.#options.keys.peer;
    const decipher = createDecipheriv(CIPHER, key, nonceOf(iv, counter), { authTagLength: TAG_BYTES });
    decipher.setAAD(data.subarray(8, 24));
    decipher.setAuthTag(data.subarray(24));
    const plain = decipher.update(memory);
    try {
      decipher.final();
    } catch {
      // Nobody may take these bytes for what the peer wrote.
      memory.fill(0);
      throw integrityError('bytes that the peer wrote into this memory');
    }
    this.#lastOpened = counter;
    memory.set(plain);
  }

  #answer(data: Buffer): void {
    if (data.length !== REQUEST_BYTES || this.#answering >= MAX_ANSWERS) {
      throw violation(MessageFault.SEALED_MEMORY, 'it asked for memory wrongly, or for too much at once');
    }
    const memory = this.#options.find(data.readBigUInt64BE(NUMBER_BYTES), data.readUInt32BE(12), 'read');
    if (memory === undefined)
      throw violation(MessageFault.SEALED_MEMORY, 'it asked for memory that it may not read');
    const answer = Buffer.alloc(NUMBER_BYTES + memory.length);
    data.copy(answer, 0, 0, NUMBER_BYTES);
    answer.set(memory, NUMBER_BYTES);
    this.#answering++;
    const done = (): void => {
      this.#answering--;
    };
    // When it cannot be sent, the connection ends and says so to everybody.
    void this.#options.send(MessageKind.SEALED_DATA, answer).then(done, done);
  }

  #onAnswer(data: Buffer): void {
    const number = data.length < NUMBER_BYTES ? -1 : data.readUInt32BE(0);
    const request = this.#requests.get(number);
    if (request === undefined || data.length - NUMBER_BYTES !== request.into.length) {
      throw violation(MessageFault.SEALED_MEMORY, 'it sent memory that nobody asked for');
    }
    this.#requests.delete(number);
    request.into.set(data.subarray(NUMBER_BYTES));
    request.resolve();
    this.#waiting.shift()?.();
  }

  #request(addr: bigint, into: Uint8Array): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const number = this.#nextRequest;
    this.#nextRequest = (number + 1) >>> 0;
    const request = Buffer.alloc(REQUEST_BYTES);
    request.writeUInt32BE(number, 0);
    request.writeBigUInt64BE(addr, NUMBER_BYTES);
    request.writeUInt32BE(into.length, 12);
    return new Promise((resolve, reject) => {
      this.#requests.set(number, { into, resolve, reject });
      this.#options.send(MessageKind.SEALED_READ, request).catch(reject);
    });
  }

  async #room(): Promise<void> {
    while (this.#requests.size >= MAX_REQUESTS && this.#failure === undefined) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }
}

/** The initial nonce with a counter added in by XOR. */
function nonceOf(iv: Buffer, counter: bigint): Buffer {
  const nonce = Buffer.from(iv);
  nonce.writeBigUInt64BE(nonce.readBigUInt64BE(IV_BYTES - 8) ^ counter, IV_BYTES - 8);
  return nonce;
}
