/**
 * What a responder still has to send, in order. Nothing overtakes: an ACK leaves after the READ data that was asked
 * for before it. Acknowledgements that follow each other become one, so that a burst of requests costs one ACK.
 *
 * Answers are in the order of their PSNs, each operation has one at most, and the queue is bounded. READ responses are made
 * packet by packet when there is room to send, from the memory as it is then; their entry holds where they stand.
 */
import { invariant } from '../../verbs/invariant.js';
import { psnAdd, psnDiff } from '../psn.js';
import { Syndrome } from '../wire/aeth.js';
import type { SavedOperation } from './saved-operations.js';

export const ResponseKind = { ACK: 0, NAK: 1, READ: 2, ATOMIC: 3 } as const;
export type ResponseKind = (typeof ResponseKind)[keyof typeof ResponseKind];

// Every acknowledgement needs these. Engines read a constant of the module itself faster than an imported or exported one.
const { ACK, NAK } = ResponseKind;
const { NAK_SEQUENCE } = Syndrome;

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
}

/** Places of a queue that nobody has used. */
const FIRST_PLACES = 1;

export class ResponseQueue {
  /** As many places as were needed at once. */
  #ring: Response[];
  #capacity: number;
  #head = 0;
  #count = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
    this.#ring = Array.from({ length: Math.min(FIRST_PLACES, capacity) }, () => new Response());
  }

  get empty(): boolean {
    return this.#count === 0;
  }

  /** Nothing else is queued; there is never more than one at the end. */
  get hasOnlyAcknowledgement(): boolean {
    return this.#count === 1 && this.first.operation === null;
  }

  /** Nothing but an ACK is queued, which needs no memory to be sent. */
  get isOneAck(): boolean {
    return this.hasOnlyAcknowledgement && this.first.kind === ACK;
  }

  /** What an acknowledgement now would become part of. */
  get endsWithAcknowledgement(): boolean {
    return this.#count > 0 && this.#at(this.#count - 1).operation === null;
  }

  /** Changes the number of places that there may be, but not below what is queued. */
  resize(capacity: number): void {
    this.#capacity = Math.max(capacity, this.#count);
    if (this.#ring.length > this.#capacity) this.#setPlaces(this.#capacity);
  }

  #setPlaces(count: number): void {
    const places = this.#ring.length;
    const queued = Array.from({ length: this.#count }, (_, i) => this.#ring[(this.#head + i) % places]);
    this.#ring = Array.from({ length: count }, (_, i) => queued[i] ?? new Response());
    this.#head = 0;
  }

  /** Whether one more READ or ATOMIC answer fits; two places are kept for the ACK and the NAK that may follow. */
  get hasRoom(): boolean {
    return this.#count + 2 < this.#capacity;
  }

  get first(): Response {
    return this.#ring[this.#head] as Response;
  }

  shift(): void {
    const response = this.first;
    if (response.operation !== null) {
      response.operation.pending--;
      INVARIANT: invariant(response.operation.pending === 0, 'an operation has one answer at most');
    }
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
      const last = this.#at(this.#count - 1);
      if (last.operation !== null) last.operation.pending--;
      last.operation = null;
      this.#count--;
    }
  }

  /**
   * Acknowledges everything up to `psn`. A sequence NAK that has not left yet stays one and moves forward while packets
   * are missing: those behind the gap were dropped, and only a NAK brings them back before a timeout. A NAK that
   * acknowledges as much stays. Returns whether it is a NAK of what comes after `psn` that will leave.
   */
  pushAck(psn: number, syndrome: number, msn: number, isMissing: boolean): boolean {
    const response = this.#acknowledgement();
    if (response === null) return false;
    const nakPsn = psnAdd(psn, 1);
    const isNak = response.kind === NAK;
    const isGap = isNak && response.syndrome === NAK_SEQUENCE;
    if (isGap ? isMissing : isNak && response.psn === nakPsn) {
      response.psn = nakPsn;
    } else {
      response.kind = ACK;
      response.psn = psn;
      response.syndrome = syndrome;
    }
    response.msn = msn;
    return response.kind === NAK;
  }

  /** Asks for `psn` again or refuses it, which acknowledges everything before it. */
  pushNak(psn: number, syndrome: number, msn: number): void {
    const response = this.#acknowledgement();
    if (response === null) return;
    response.kind = NAK;
    response.psn = psn;
    response.syndrome = syndrome;
    response.msn = msn;
  }

  /** Answers an operation for the first time: `length` bytes of a READ, or an atomic. */
  pushOperation(kind: ResponseKind, operation: SavedOperation, length: number): void {
    this.#fill(this.#append(kind), operation, operation.firstPsn, 0, length, false);
  }

  /**
   * The requester asks again for `length` bytes of `operation` from `offset` on, a whole number of packets; `psn` is that of
   * the first of them. What is queued and has not left goes out as it is, and an answer that is under way begins again
   * there. So a peer that asks faster than answers can leave never puts them off, and there is one answer to each operation.
   */
  repeat(kind: ResponseKind, operation: SavedOperation, psn: number, offset: number, length: number): void {
    const queued = operation.pending > 0 ? this.#find(operation) : null;
    if (queued === null) {
      this.#fill(this.#insert(kind, psn), operation, psn, offset, length, true);
      return;
    }
    const end = Math.max(queued.startOffset + queued.length, offset + length);
    if (offset < queued.startOffset + queued.sentBytes) {
      queued.psn = psn;
      queued.startOffset = offset;
      queued.sentBytes = 0;
    }
    queued.length = end - queued.startOffset;
  }

  #find(operation: SavedOperation): Response | null {
    for (let i = 0; i < this.#count; i++) {
      const response = this.#at(i);
      if (response.operation === operation) return response;
    }
    return null;
  }

  #fill(
    response: Response,
    operation: SavedOperation,
    psn: number,
    startOffset: number,
    length: number,
    isReplay: boolean,
  ): void {
    response.psn = psn;
    response.msn = operation.msn;
    response.operation = operation;
    response.startOffset = startOffset;
    response.sentBytes = 0;
    response.length = length;
    response.isReplay = isReplay;
    operation.pending++;
  }

  /** The acknowledgement at the end of the queue, or a new one; `null` if the queue is full. */
  #acknowledgement(): Response | null {
    const count = this.#count;
    if (count > 0) {
      const last = this.#at(count - 1);
      if (last.operation === null) return last;
    }
    return count < this.#capacity ? this.#append(ACK) : null;
  }

  #append(kind: ResponseKind): Response {
    const places = this.#ring.length;
    if (this.#count === places) this.#setPlaces(Math.max(places + 1, Math.min(2 * places, this.#capacity)));
    const response = this.#at(this.#count);
    this.#count++;
    INVARIANT: invariant(this.#count <= this.#capacity, 'no more answers are queued than there are places');
    response.kind = kind;
    response.operation = null;
    return response;
  }

  /** A place for an answer that begins at `psn`: before what reaches as far, as the requester takes answers in order only. */
  #insert(kind: ResponseKind, psn: number): Response {
    const inserted = this.#append(kind);
    const places = this.#ring.length;
    let place = this.#count - 1;
    while (place > 0 && psnDiff(this.#at(place - 1).psn, psn) >= 0) {
      this.#ring[(this.#head + place) % places] = this.#at(place - 1);
      place--;
    }
    this.#ring[(this.#head + place) % places] = inserted;
    return inserted;
  }

  /** `index` is at most the number of places. */
  #at(index: number): Response {
    const place = this.#head + index;
    const places = this.#ring.length;
    return this.#ring[place < places ? place : place - places] as Response;
  }
}
