/**
 * What a program does with the streams of its connection: opens some, writes, reads, ends, resets, and lets some stand
 * still. Bytes tell their place in their direction, so that every read is checked as it happens.
 */
import type { Connection } from '../../../src/connection/program/connection.js';
import { insidesOf } from '../../../src/connection/program/insides.js';
import type { StreamEvents, StreamId, StreamTable } from '../../../src/connection/streams/stream-table.js';
import { RdmaError } from '../../../src/verbs/errors.js';
import type { VirtualTime } from '../../../testkit/virtual-time.js';
import { SimFailure } from '../failure.js';
import type { Marks } from '../marks.js';
import { ByteSource, type StreamCall, type StreamEnd, sameBytes } from './records.js';
import type { StreamOperation, StreamPart } from './scenario.js';

/** A program that may not open a stream tries again after this. */
const RETRY_MILLIS = 20;
const HIGHEST_STREAM = 2 ** 31 - 1;
/** The longest write. */
const OWN_BYTES = 5000;
const OWN_PLACES = 4;
/** What the program lays over memory that is its own again. */
const NOT_WRITTEN = 0xee;
/** An end that does nothing of itself: it reads what comes and ends its direction. */
const PLAIN: StreamPart = { writes: [], gapMillis: 0, ending: 'end', readMillis: 0, stallMillis: 0, code: 0 };

export interface StreamProgramOptions {
  readonly name: string;
  readonly time: VirtualTime;
  readonly marks: Marks;
  /** Tells the directions of all connections apart. */
  readonly salt: number;
  readonly peerSalt: number;
  readonly firstStream: number;
  /** The program may not write any more. */
  readonly isEnding: () => boolean;
  /** Those of the other end; `null` before its program has the connection. */
  readonly peer: () => StreamProgram | null;
}

export class StreamProgram implements StreamEvents {
  /** All that there ever were, by the number that this end counts them by. */
  readonly ends = new Map<StreamId, StreamEnd>();
  /** Whether the connection has ended, and nothing had failed. */
  hasEndedInOrder = false;
  /** Operations that wait until the peer takes another stream. */
  opening = 0;
  readonly #options: StreamProgramOptions;
  readonly #table: StreamTable;
  /** Parts of the streams that this end opened, for the other end: in the order of opening. */
  readonly #plans: StreamOperation[] = [];
  readonly #waitsForRelease = new Set<StreamEnd>();
  /** Registered memory that no write uses. */
  readonly #own: Uint8Array[] = [];
  #isFinishing = false;

  constructor(connection: Connection, options: StreamProgramOptions) {
    this.#options = options;
    this.#table = insidesOf(connection).dataPath.streams;
    connection.allocate(OWN_PLACES * OWN_BYTES).then(
      (memory) => {
        for (let at = 0; at < memory.length; at += OWN_BYTES)
          this.#own.push(memory.subarray(at, at + OWN_BYTES));
      },
      (error: unknown) =>
        options.marks.hit(
          `stream: no memory of its own (${error instanceof RdmaError ? error.code : 'unknown'})`,
        ),
    );
  }

  /** To be called when the other end can be asked as well. */
  listen(): void {
    this.#table.listen(this);
  }

  get calls(): StreamCall[] {
    return [...this.ends.values()].flatMap(({ calls }) => calls);
  }

  /** Nothing is open, and nothing is to be opened or read. */
  get isQuiet(): boolean {
    if (this.#table.size > 0 || this.opening > 0) return false;
    for (const { isReading } of this.ends.values()) if (isReading) return false;
    return true;
  }

  /** Streams that this end has opened and that are not over, as far as it knows. */
  get openedHere(): number {
    let count = 0;
    for (const end of this.ends.values()) if (end.id > 0 && !isOver(end)) count++;
    return count;
  }

  /** Whether this end stands still on a stream. */
  holds(id: StreamId): boolean {
    const end = this.ends.get(id);
    return end !== undefined && this.#waitsForRelease.has(end);
  }

  /** Whether what was asked of streams has come to its end, on those whose reader does not stand still; and on how many one does. */
  get progress(): { isDone: boolean; stalled: number } {
    const peer = this.#options.peer();
    let isDone = true;
    let stalled = 0;
    for (const { id, calls } of this.ends.values()) {
      if (calls.every(({ outcome }) => outcome !== undefined)) continue;
      if (peer?.holds(-id) === true) stalled++;
      else isDone = false;
    }
    return { isDone, stalled };
  }

  unreadBytes(id: StreamId): number {
    return this.#table.unreadBytes(id);
  }

  begin(operation: StreamOperation): void {
    if (this.#options.isEnding()) return;
    const { marks, time } = this.#options;
    let id: StreamId;
    try {
      id = this.#table.open();
    } catch (error) {
      if (!(error instanceof RdmaError)) throw error;
      marks.hit(`stream: ${error.code}`);
      if (error.code !== 'ERR_RDMA_LIMIT') return;
      if (this.#plans.length === HIGHEST_STREAM - this.#options.firstStream) {
        marks.hit('stream: all numbers are used up');
        return;
      }
      this.opening++;
      time.in(RETRY_MILLIS, () => {
        this.opening--;
        this.begin(operation);
      });
      return;
    }
    marks.hit('stream: opened');
    this.#plans.push(operation);
    this.#take(id, operation.opener);
  }

  /** What the end at the other side of a stream of ours shall do. */
  planOf(id: StreamId): StreamPart {
    return this.#plans[id - this.#options.firstStream - 1]?.acceptor ?? PLAIN;
  }

  /** Lets go of what stands still, and ends what was left: all streams come to their end. */
  finish(): void {
    this.#isFinishing = true;
    for (const end of [...this.#waitsForRelease]) this.#release(end);
    for (const end of this.ends.values()) if (end.isLeft) this.#end(end);
  }

  // --- events -------------------------------------------------------------------------------------------------------

  onOpened(id: StreamId): void {
    if (id > 0 || this.ends.has(id)) throw this.#failure(id, 'was opened twice');
    const peer = this.#options.peer();
    if (peer !== null && !peer.ends.has(-id)) throw this.#failure(id, 'was opened by nobody');
    this.#options.marks.hit('stream: accepted');
    this.#take(id, peer?.planOf(-id) ?? PLAIN);
  }

  onReadable(id: StreamId): void {
    const end = this.#endOf(id);
    if (end.incoming.hasEnded) throw this.#failure(id, 'can be read after its end');
    if (end.outgoing.reset !== null) throw this.#failure(id, 'can be read after its reset');
    this.#readSoon(end);
  }

  onReset(id: StreamId, code: number): void {
    const end = this.#endOf(id);
    if (end.incoming.reset !== null) throw this.#failure(id, 'was reset twice');
    if (end.outgoing.reset !== null) throw this.#failure(id, 'was reset by the peer after its own reset');
    const other = this.#options.peer()?.ends.get(-id);
    if (other !== undefined && other.outgoing.reset !== code)
      throw this.#failure(id, `was reset with ${code}, but the peer said ${other.outgoing.reset}`);
    end.incoming.reset = code;
    end.isLeft = false;
    this.#options.marks.hit('stream: reset by the peer');
    // What came before an orderly end can still be read.
    if (this.#table.unreadBytes(id) > 0) this.#readSoon(end);
  }

  /** An orderly end loses nothing that has arrived: what stands still is read as well. */
  onEnd(_error: RdmaError, isInOrder: boolean): void {
    this.hasEndedInOrder = isInOrder;
    if (!isInOrder) return;
    for (const end of this.ends.values()) {
      const { id, incoming, outgoing } = end;
      if (outgoing.reset !== null || incoming.hasEnded) continue;
      const wasReset = incoming.reset !== null;
      const before = incoming.bytes;
      for (let bytes = this.#table.read(id); bytes !== undefined; bytes = this.#table.read(id))
        this.#check(end, bytes);
      if (incoming.bytes > before) this.#options.marks.hit('stream: read at the end of its connection');
      if (!wasReset && this.#table.isAtEnd(id)) this.#sawEnd(end);
    }
  }

  onOpenLimit(): void {}

  // --- this end -----------------------------------------------------------------------------------------------------

  #take(id: StreamId, part: StreamPart): void {
    const { time, salt, peerSalt } = this.#options;
    const end: StreamEnd = {
      id,
      part,
      calls: [],
      outgoing: { bytes: 0, hasEnded: false, reset: null },
      incoming: { bytes: 0, hasEnded: false, reset: null },
      isLeft: false,
      isReading: false,
      source: new ByteSource(salt, id),
      expected: new ByteSource(peerSalt, -id),
    };
    this.ends.set(id, end);
    if (part.stallMillis !== 0 && !this.#isFinishing) {
      this.#waitsForRelease.add(end);
      if (part.stallMillis !== null) time.in(part.stallMillis, () => this.#release(end));
    }
    this.#writeFrom(end, 0);
  }

  #writeFrom(end: StreamEnd, index: number): void {
    const { part, outgoing, incoming } = end;
    const { gapMillis, writes } = part;
    for (let at = index; at < writes.length; at++) {
      if (this.#options.isEnding() || outgoing.reset !== null || incoming.reset !== null) return;
      this.#write(end, writes[at] as number);
      if (gapMillis === 0) continue;
      this.#options.time.in(gapMillis, () => this.#writeFrom(end, at + 1));
      return;
    }
    if (this.#options.isEnding() || outgoing.reset !== null || incoming.reset !== null) return;
    if (part.ending === 'reset') this.#reset(end);
    else if (part.ending === 'end' || this.#isFinishing) this.#end(end);
    else end.isLeft = true;
  }

  /** Every other write is of registered memory, as long as there is some. What was written is the program's again once that is done. */
  #write(end: StreamEnd, bytes: number): void {
    const { marks } = this.#options;
    end.outgoing.bytes += bytes;
    const own = end.calls.length % 2 === 0 && bytes <= OWN_BYTES ? this.#own.pop() : undefined;
    const source = end.source.next(bytes);
    own?.set(source);
    const data = own?.subarray(0, bytes) ?? source;
    if (own !== undefined && bytes > 0) marks.hit('stream: written from registered memory');
    const tell = this.#call(end, 'write', bytes);
    this.#table.write(end.id, data, (error) => {
      tell(error);
      data.fill(NOT_WRITTEN);
      if (own !== undefined) this.#own.push(own);
    });
  }

  #end(end: StreamEnd): void {
    end.isLeft = false;
    if (this.#options.isEnding() || end.outgoing.hasEnded) return;
    end.outgoing.hasEnded = true;
    this.#table.end(end.id, this.#call(end, 'end', 0));
  }

  #reset(end: StreamEnd): void {
    const { id, part, outgoing } = end;
    const isOver = outgoing.hasEnded && end.incoming.hasEnded;
    if (!isOver) outgoing.reset = part.code;
    this.#options.marks.hit('stream: reset');
    this.#waitsForRelease.delete(end);
    this.#table.reset(id, part.code);
  }

  #call(end: StreamEnd, kind: 'write' | 'end', bytes: number): (error: RdmaError | undefined) => void {
    const { time, marks } = this.#options;
    const call: StreamCall = { kind, bytes, outcome: undefined };
    end.calls.push(call);
    return (error) => {
      if (call.outcome !== undefined) throw this.#failure(end.id, `told twice what became of a ${kind}`);
      call.outcome = { error: error ?? null, at: time.now };
      marks.hit(`stream ${kind}: ${error === undefined ? 'done' : error.code}`);
    };
  }

  #release(end: StreamEnd): void {
    if (!this.#waitsForRelease.delete(end)) return;
    this.#readSoon(end);
  }

  #readSoon(end: StreamEnd): void {
    if (end.isReading || this.#waitsForRelease.has(end)) return;
    end.isReading = true;
    this.#options.time.in(end.part.readMillis, () => {
      end.isReading = false;
      this.#read(end);
    });
  }

  /** All that is there at once, or a piece at a time. */
  #read(end: StreamEnd): void {
    const { id, incoming, outgoing, part } = end;
    if (outgoing.reset !== null || incoming.hasEnded) return;
    const wasReset = incoming.reset !== null;
    for (;;) {
      const bytes = this.#table.read(id);
      if (bytes === undefined) break;
      this.#check(end, bytes);
      if (part.readMillis > 0 && this.#table.unreadBytes(id) > 0) {
        this.#readSoon(end);
        return;
      }
    }
    // After a reset, the end is nothing that came from the peer.
    if (wasReset || !this.#table.isAtEnd(id) || this.#options.isEnding()) return;
    this.#sawEnd(end);
  }

  #check({ id, incoming, expected }: StreamEnd, bytes: Uint8Array): void {
    if (bytes.length === 0) throw this.#failure(id, 'gave no bytes');
    if (!sameBytes(bytes, expected.next(bytes.length)))
      throw this.#failure(id, `gave other bytes than were written, from ${incoming.bytes} on`);
    incoming.bytes += bytes.length;
  }

  #sawEnd({ id, incoming }: StreamEnd): void {
    const other = this.#options.peer()?.ends.get(-id);
    incoming.hasEnded = true;
    this.#options.marks.hit('stream: read to its end');
    if (other === undefined) return;
    if (!other.outgoing.hasEnded) throw this.#failure(id, 'ended, but nobody had ended it');
    if (other.outgoing.bytes !== incoming.bytes)
      throw this.#failure(id, `ended after ${incoming.bytes} of ${other.outgoing.bytes} bytes`);
  }

  #endOf(id: StreamId): StreamEnd {
    const end = this.ends.get(id);
    if (end === undefined) throw this.#failure(id, 'is spoken of, but was never opened');
    return end;
  }

  #failure(id: StreamId, what: string): SimFailure {
    const failure = new SimFailure('streams', `${this.#options.name}: stream ${id} ${what}`);
    // The code under test may take it for its own.
    this.#options.time.fail(failure);
    return failure;
  }
}

/** Read to its end, and the peer has all that was written and its end. */
const isOver = ({ incoming, outgoing, calls }: StreamEnd): boolean =>
  incoming.hasEnded && outgoing.hasEnded && calls.every(({ outcome }) => outcome !== undefined);
