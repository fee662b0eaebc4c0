/**
 * One-sided access on encrypted connections. What RDMA moves can be seen on the wire, so a write puts sealed bytes into
 * the peer's memory and then announces them, sealed as every message: the peer verifies and opens them in place, before
 * it takes any later message, and says so. A read cannot be sealed by the device that answers it; the peer's connection
 * answers it with a sealed message instead, and its program is not involved either.
 *
 * Bytes that another write has covered before they were opened do not open. So a write has its part of the peer's memory
 * alone until the peer has opened it; what overlaps it waits, reads too, which would give sealed bytes.
 *
 * Keys live as long as the connection, over all its links, because a write may be announced on a later one. Nonces count,
 * and an announcement must count up.
 */
import { createCipheriv, createDecipheriv } from 'node:crypto';
import type { KeyPair } from '../../session/session-data.js';
import { type RdmaError, usageError } from '../../verbs/errors.js';
import { MessageFault, MessageKind, violation } from '../fragments/message-header.js';
import { integrityError, TAG_BYTES } from '../fragments/sealing.js';
import type { MemoryRights } from '../terms/options.js';
import { outcomeUnknown } from './one-sided.js';
import { type Claim, RangeQueue } from './range-queue.js';
import { givenUp, type Transfer, type TransferHolder } from './transfer.js';

const CIPHER = 'aes-256-gcm';
const IV_BYTES = 12;
/** counter u64, address u64, length u64, tag */
const ANNOUNCEMENT_BYTES = 24 + TAG_BYTES;
/** number u32, address u64, length u32 */
const REQUEST_BYTES = 16;
const NUMBER_BYTES = 4;
/** counter u64 */
const OPENED_BYTES = 8;
/** Of a message with memory: what answers under way take of this side is bounded by it. */
const PIECE_BYTES = 256 * 1024;
/** Messages about sealed memory may be as long as that, whatever the receiver says. */
const SHORTEST_LIMIT_BYTES = 64;
/** Requests under way at a time. */
const MAX_REQUESTS = 8;
/** Answers that may be on their way: a peer may have one before we know that it has. More breaks the rules. */
const MAX_ANSWERS = 2 * MAX_REQUESTS;

export interface SealedMemoryOptions {
  readonly keys: KeyPair;
  /** Largest message that this side takes. */
  readonly maxMessageBytes: number;
  /** Longest message that the peer takes. */
  readonly peerMaxMessageBytes: number;
  /** Sends a message of the connection; resolves when the peer has it. */
  readonly send: (kind: MessageKind, data: Uint8Array) => Promise<void>;
  /** RDMA WRITE of sealed bytes to where the transfer goes. */
  readonly write: (transfer: Transfer, sealed: Uint8Array) => Promise<void>;
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

/** A write that the peer has not opened. */
interface Announced {
  readonly counter: bigint;
  readonly transfer: Transfer;
  /** The peer has the announcement. */
  hasArrived: boolean;
  resolve(): void;
  reject(error: RdmaError): void;
}

/** A transfer before which others use the same memory. */
interface Blocked {
  readonly claim: Claim;
  reject(error: RdmaError): void;
}

export class SealedMemory implements TransferHolder {
  readonly #options: SealedMemoryOptions;
  readonly #requests = new Map<number, Request>();
  readonly #waiting: (() => void)[] = [];
  readonly #ranges = new RangeQueue();
  readonly #blocked = new Map<Transfer, Blocked>();
  /** In the order of their counters. */
  readonly #unopened: Announced[] = [];
  #writes = 0n;
  /** All writes until now were announced, or failed. */
  #announced: Promise<void> = Promise.resolve();
  #lastOpened = 0n;
  /** The peer is being told what was opened. */
  #isTelling = false;
  #nextRequest: number;
  #answering = 0;
  #failure: RdmaError | undefined;

  constructor(options: SealedMemoryOptions) {
    this.#options = options;
    this.#nextRequest = options.firstRequest ?? 0;
  }

  /** Reads and writes that have, or wait for, a part of the peer's memory. */
  get claims(): number {
    return this.#ranges.size;
  }

  /** @throws RdmaError as `Connection.write`. */
  async write(transfer: Transfer): Promise<void> {
    const claim = await this.#claim(transfer);
    try {
      const counter = ++this.#writes;
      const { sealed, announcement } = this.#seal(counter, transfer);
      await this.#inTurn(
        () => this.#options.write(transfer, sealed),
        () => this.#announce(counter, transfer, announcement),
      );
    } finally {
      this.#ranges.release(claim);
    }
  }

  /** @throws RdmaError as `Connection.read`; a refused access ends the connection. */
  async read(transfer: Transfer): Promise<void> {
    const { remote, bytes: into } = transfer;
    const piece = Math.min(PIECE_BYTES, this.#options.maxMessageBytes) - NUMBER_BYTES;
    if (piece < 1) throw usageError('maxMessageBytes leaves no room for what is read');
    const claim = await this.#claim(transfer);
    const pieces: Promise<void>[] = [];
    try {
      for (let at = 0; at < into.length; at += piece) {
        // Nothing else may take the room between the look at it and the request.
        while (this.#requests.size >= MAX_REQUESTS && this.#failure === undefined) await this.#answered();
        if (transfer.isGivenUp) break;
        const request = this.#request(remote.addr + BigInt(at), into.subarray(at, at + piece));
        // Its failure is seen below, but perhaps not at once.
        request.catch(() => undefined);
        pieces.push(request);
      }
      // The room that it does not take is for the next one.
      if (transfer.isGivenUp) this.#waiting.shift()?.();
      await Promise.all(pieces);
    } finally {
      this.#ranges.release(claim);
    }
    if (transfer.isGivenUp) throw givenUp();
  }

  withdraw(transfer: Transfer, error: RdmaError): void {
    const blocked = this.#blocked.get(transfer);
    if (blocked === undefined) return;
    this.#blocked.delete(transfer);
    this.#ranges.release(blocked.claim);
    blocked.reject(error);
  }

  /**
   * A message of the peer that is for this class.
   *
   * @throws RdmaError ERR_RDMA_INTEGRITY, ERR_RDMA_PROTOCOL.
   */
  onMessage(kind: MessageKind, data: Buffer): void {
    if (kind === MessageKind.SEALED_WRITE) this.#open(data);
    else if (kind === MessageKind.SEALED_READ) this.#answer(data);
    else if (kind === MessageKind.SEALED_OPENED) this.#onOpened(data);
    else this.#onAnswer(data);
  }

  /**
   * Ends everything that waits for the peer, and all later reads and writes, with `error`; what has been written and may not
   * be written twice, with ERR_RDMA_OUTCOME_UNKNOWN because of it. `isKnown`: the peer has opened whatever arrived, and left.
   */
  fail(error: RdmaError, isKnown = false): void {
    this.#failure ??= error;
    for (const transfer of [...this.#blocked.keys()]) this.withdraw(transfer, error);
    for (const { reject } of this.#requests.values()) reject(error);
    this.#requests.clear();
    for (const { resolve, reject, transfer, hasArrived } of this.#unopened.splice(0)) {
      if (isKnown && hasArrived) resolve();
      else reject(endOf(transfer, error));
    }
    for (const go of this.#waiting.splice(0)) go();
  }

  /** Resolves when nothing uses the memory of the transfer that may not be used at the same time. */
  async #claim(transfer: Transfer): Promise<Claim> {
    if (this.#failure !== undefined) throw this.#failure;
    const { remote, bytes, isWrite } = transfer;
    const claim = this.#ranges.claim(remote.addr, bytes.length, !isWrite);
    if (claim.isFree) return claim;
    transfer.holder = this;
    await new Promise<void>((resolve, reject) => {
      this.#blocked.set(transfer, { claim, reject });
      claim.onFree = () => {
        this.#blocked.delete(transfer);
        resolve();
      };
    });
    return claim;
  }

  #seal(counter: bigint, { remote, bytes }: Transfer): { sealed: Buffer; announcement: Buffer } {
    const announcement = Buffer.alloc(ANNOUNCEMENT_BYTES);
    announcement.writeBigUInt64BE(counter, 0);
    announcement.writeBigUInt64BE(remote.addr, 8);
    announcement.writeBigUInt64BE(BigInt(bytes.length), 16);
    const { key, iv } = this.#options.keys.own;
    const cipher = createCipheriv(CIPHER, key, nonceOf(iv, counter));
    cipher.setAAD(announcement.subarray(8, 24));
    const sealed = cipher.update(bytes);
    cipher.final();
    announcement.set(cipher.getAuthTag(), 24);
    return { sealed, announcement };
  }

  /** Resolves when the peer has opened it. */
  #announce(counter: bigint, transfer: Transfer, announcement: Buffer): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(endOf(transfer, this.#failure));
    return new Promise((resolve, reject) => {
      const announced = { counter, transfer, hasArrived: false, resolve, reject };
      this.#unopened.push(announced);
      this.#options.send(MessageKind.SEALED_WRITE, announcement).then(
        () => {
          announced.hasArrived = true;
        },
        (error: RdmaError) => reject(endOf(transfer, error)),
      );
    });
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
    this.#tellOpened();
  }

  /** One message at a time: it tells of all that was opened before. */
  #tellOpened(): void {
    if (this.#isTelling) return;
    this.#isTelling = true;
    const told = this.#lastOpened;
    const data = Buffer.alloc(OPENED_BYTES);
    data.writeBigUInt64BE(told);
    const done = (): void => {
      this.#isTelling = false;
      if (this.#lastOpened > told) this.#tellOpened();
    };
    // When it cannot be sent, the connection ends and says so to everybody.
    void this.#options.send(MessageKind.SEALED_OPENED, data).then(done, () => undefined);
  }

  #onOpened(data: Buffer): void {
    const counter = data.length === OPENED_BYTES ? data.readBigUInt64BE() : 0n;
    const index = this.#unopened.findIndex((announced) => announced.counter === counter);
    if (index < 0)
      throw violation(MessageFault.SEALED_MEMORY, 'it opened a sealed write that nobody announced');
    for (const { resolve } of this.#unopened.splice(0, index + 1)) resolve();
  }

  #answer(data: Buffer): void {
    if (data.length !== REQUEST_BYTES || this.#answering >= MAX_ANSWERS) {
      throw violation(MessageFault.SEALED_MEMORY, 'it asked for memory wrongly, or for too much at once');
    }
    const length = data.readUInt32BE(12);
    const mostBytes = Math.min(
      PIECE_BYTES,
      Math.max(SHORTEST_LIMIT_BYTES, this.#options.peerMaxMessageBytes),
    );
    if (length + NUMBER_BYTES > mostBytes)
      throw violation(MessageFault.SEALED_MEMORY, 'it asked for more memory than an answer holds');
    const memory = this.#options.find(data.readBigUInt64BE(NUMBER_BYTES), length, 'read');
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

  /** Resolves after a request of ours was answered. */
  #answered(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
    });
  }
}

/** How a write ends whose bytes are in the peer's memory, sealed or opened. */
const endOf = ({ repeatable }: Transfer, error: RdmaError): RdmaError =>
  repeatable || error.code === 'ERR_RDMA_OUTCOME_UNKNOWN' ? error : outcomeUnknown(error);

/** The initial nonce with a counter added in by XOR. */
function nonceOf(iv: Uint8Array, counter: bigint): Buffer {
  const nonce = Buffer.from(iv);
  nonce.writeBigUInt64BE(nonce.readBigUInt64BE(IV_BYTES - 8) ^ counter, IV_BYTES - 8);
  return nonce;
}
