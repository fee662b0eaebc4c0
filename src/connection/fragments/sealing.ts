/**
 * AES-256-GCM for what a connection sends, one key for each direction. Nonces are counters: the initial nonce of the key
 * with the number of the piece added in by XOR, as TLS 1.3 does it. Whoever opens counts too, so a piece that is changed,
 * repeated, reordered or left out does not open, and nothing after it either.
 *
 * After 2^23 pieces both sides move on to the next key, which follows from the one before and does not tell it. That is
 * below the 2^24.5 records after which RFC 8446 wants a new key.
 */
import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto';
import type { DirectionKeys } from '../../session/session-data.js';
import { RdmaError } from '../../verbs/errors.js';
import { weigh } from '../common/young-weight.js';

export const TAG_BYTES = 16;
const CIPHER = 'aes-256-gcm';
const KEY_BYTES = 32;
const IV_BYTES = 12;
export const PIECES_PER_KEY = 2 ** 23;

/** The keys of one direction, one after the other, with a nonce for each piece. */
class KeySchedule {
  key: Uint8Array;
  readonly nonce = Buffer.alloc(IV_BYTES);
  #iv: Uint8Array;
  #count: number;
  readonly #piecesPerKey: number;

  constructor({ key, iv }: DirectionKeys, piecesPerKey: number, firstPiece: number) {
    this.#count = firstPiece;
    this.key = key;
    this.#iv = iv;
    this.#piecesPerKey = piecesPerKey;
  }

  /** Sets `key` and `nonce` for the next piece. */
  advance(): void {
    if (this.#count === this.#piecesPerKey) this.#renew();
    this.nonce.set(this.#iv);
    // The count stays below 2^32: one word of the nonce is enough.
    this.nonce.writeUInt32BE((this.nonce.readUInt32BE(8) ^ this.#count) >>> 0, 8);
    this.#count++;
  }

  #renew(): void {
    const bytes = Buffer.from(hkdfSync('sha256', this.key, '', 'queuepair next key', KEY_BYTES + IV_BYTES));
    this.key = bytes.subarray(0, KEY_BYTES);
    this.#iv = bytes.subarray(KEY_BYTES);
    this.#count = 0;
  }
}

export class Sealer {
  readonly #schedule: KeySchedule;

  /** `piecesPerKey` and `firstPiece` are others in tests only. */
  constructor(keys: DirectionKeys, piecesPerKey = PIECES_PER_KEY, firstPiece = 0) {
    this.#schedule = new KeySchedule(keys, piecesPerKey, firstPiece);
  }

  /**
   * Writes `plain`, encrypted, and a tag of TAG_BYTES to `out`, which may begin where `plain` does. The tag also covers `header`,
   * which stays readable.
   */
  seal(header: Uint8Array, plain: Uint8Array, out: Uint8Array): void {
    const schedule = this.#schedule;
    schedule.advance();
    const cipher = createCipheriv(CIPHER, schedule.key, schedule.nonce);
    cipher.setAAD(header);
    out.set(cipher.update(plain), 0);
    cipher.final();
    weigh(plain.length);
    out.set(cipher.getAuthTag(), plain.length);
  }
}

export class Opener {
  readonly #schedule: KeySchedule;

  /** `piecesPerKey` and `firstPiece` are others in tests only. */
  constructor(keys: DirectionKeys, piecesPerKey = PIECES_PER_KEY, firstPiece = 0) {
    this.#schedule = new KeySchedule(keys, piecesPerKey, firstPiece);
  }

  /** What `sealed`, encrypted bytes and a tag, holds; `undefined` when it is not the next piece of this direction. */
  open(header: Uint8Array, sealed: Uint8Array): Buffer | undefined {
    const schedule = this.#schedule;
    schedule.advance();
    if (sealed.length < TAG_BYTES) return undefined;
    const end = sealed.length - TAG_BYTES;
    const decipher = createDecipheriv(CIPHER, schedule.key, schedule.nonce, { authTagLength: TAG_BYTES });
    decipher.setAAD(header);
    decipher.setAuthTag(sealed.subarray(end));
    const plain = decipher.update(sealed.subarray(0, end));
    weigh(end);
    try {
      decipher.final();
    } catch {
      return undefined;
    }
    return plain;
  }
}

export const integrityError = (what: string): RdmaError =>
  new RdmaError(
    'ERR_RDMA_INTEGRITY',
    `${what} failed authentication: somebody changed, repeated, reordered or removed packets on the way`,
  );
