/**
 * What a responder still has to send, in order. Nothing overtakes: an ACK leaves after the READ data that was asked
 * for before it. Acknowledgements that follow each other become one, so that a burst of requests costs one ACK.
 *
 * The queue is bounded. READ responses are made packet by packet when there is room to send, from the memory as it is
 * then; their entry holds where they stand.
 */
import { psnAdd } from '../psn.js';
import { Syndrome } from '../wire/aeth.js';
import type { SavedOperation } from './saved-operations.js';

export const ResponseKind = { ACK: 0, NAK: 1, READ: 2, ATOMIC: 3 } as const;
export type ResponseKind = (typeof ResponseKind)[keyof typeof ResponseKind];

export class Response {
  kind: ResponseKind = ResponseKind.ACK;
  psn = 0;
  syndrome = 0;
  msn = 0;
  /** READ and ATOMIC: the operation that is answered. */
  operation: SavedOperation | null = null;
  /** READ: bytes of the operation before this answer begins, and bytes sent so far since. */
  startOffset = 0;
  sentBytes = 0;
  /** READ: bytes to send in all. */
  length = 0;
  /** READ: not the first answer to it. */
  isReplay = false;
  /** READ: the requester asked again while this was going out, so the rest is not sent. */
  cancelled = false;
}

export class ResponseQueue {
  #ring: Response[];
  #head = 0;
  #count = 0;

  constructor(capacity: number) {
    this.#ring = Array.from({ length: capacity }, () => new Response());
  }

  get empty(): boolean {
    return this.#count === 0;
  }

  /** Changes the number of places, but not below what is queued. */
  resize(capacity: number): void {
    const places = this.#ring.length;
    const queued = Array.from({ length: this.#count }, (_, i) => this.#ring[(this.#head + i) % places]);
    this.#ring = Array.from(
      { length: Math.max(capacity, this.#count) },
      (_, i) => queued[i] ?? new Response(),
    );
    this.#head = 0;
  }

  /** Whether one more READ or ATOMIC answer fits; two places are kept for the ACK and the NAK that may follow. */
  get hasRoom(): boolean {
    return this.#count + 2 < this.#ring.length;
  }

  get first(): Response {
    return this.#ring[this.#head] as Response;
  }

  shift(): void {
    const response = this.first;
    if (response.operation !== null) response.operation.pending--;
    response.operation = null;
    this.#head = this.#head + 1 === this.#ring.length ? 0 : this.#head + 1;
    this.#count--;
  }

  clear(): void {
    while (this.#count > 0) this.shift();
  }

  /** Forgets all but the oldest answer, which turned out to be the last that the peer will get. */
  dropBehindFirst(): void {
    while (this.#count > 1) {
      const last = this.#ring[(this.#head + this.#count - 1) % this.#ring.length] as Response;
      if (last.operation !== null) last.operation.pending--;
      last.operation = null;
      this.#count--;
    }
  }

  /**
   * Acknowledges everything up to `psn`. A sequence NAK that has not left yet stays one and moves forward while packets
   * are missing: those behind the gap were dropped, and only a NAK brings them back before a timeout. A NAK that
   * acknowledges as much stays.
   */
  pushAck(psn: number, syndrome: number, msn: number, isMissing: boolean): void {
    const response = this.#acknowledgement();
    if (response === null) return;
    const nakPsn = psnAdd(psn, 1);
    const isNak = response.kind === ResponseKind.NAK;
    const isGap = isNak && response.syndrome === Syndrome.NAK_SEQUENCE;
    if (isGap ? isMissing : isNak && response.psn === nakPsn) {
      response.psn = nakPsn;
    } else {
      response.kind = ResponseKind.ACK;
      response.psn = psn;
      response.syndrome = syndrome;
    }
    response.msn = msn;
  }

  /** Asks for `psn` again or refuses it, which acknowledges everything before it. */
  pushNak(psn: number, syndrome: number, msn: number): void {
    const response = this.#acknowledgement();
    if (response === null) return;
    response.kind = ResponseKind.NAK;
    response.psn = psn;
    response.syndrome = syndrome;
    response.msn = msn;
  }

  pushOperation(
    kind: ResponseKind,
    psn: number,
    operation: SavedOperation,
    offset: number,
    length: number,
    isReplay: boolean,
  ): void {
    const response = this.#append(kind);
    response.psn = psn;
    response.msn = operation.msn;
    response.operation = operation;
    response.startOffset = offset;
    response.sentBytes = 0;
    response.length = length;
    response.isReplay = isReplay;
    response.cancelled = false;
    operation.pending++;
  }

  /**
   * The requester asks again for the bytes of `operation` from `offset` on, a whole number of packets. Answers that are
   * still going out end there; what they have to send before it is not asked for again, and stays.
   */
  supersede(operation: SavedOperation, offset: number): void {
    for (let i = 0; i < this.#count; i++) {
      const response = this.#ring[(this.#head + i) % this.#ring.length] as Response;
      if (response.operation !== operation) continue;
      const wanted = offset - response.startOffset;
      if (wanted <= response.sentBytes) response.cancelled = true;
      else if (wanted < response.length) response.length = wanted;
    }
  }

  /** The acknowledgement at the end of the queue, or a new one; `null` if the queue is full. */
  #acknowledgement(): Response | null {
    if (this.#count > 0) {
      const last = this.#ring[(this.#head + this.#count - 1) % this.#ring.length] as Response;
      if (last.operation === null) return last;
    }
    return this.#count < this.#ring.length ? this.#append(ResponseKind.ACK) : null;
  }

  #append(kind: ResponseKind): Response {
    const response = this.#ring[(this.#head + this.#count) % this.#ring.length] as Response;
    this.#count++;
    response.kind = kind;
    response.operation = null;
    response.cancelled = false;
    return response;
  }
}
