/**
 * The traffic of one connection in both directions, and its ledger: every message is numbered and its bytes follow from
 * its number, so that each end sees by itself what was lost, doubled, reordered or damaged.
 */
import type { Connection } from '../../src/connection/program/connection.js';
import { RdmaError } from '../../src/verbs/errors.js';
import type { Incarnation, Progress } from './protocol.js';
import type { StreamTraffic } from './stream-traffic.js';

/** Messages under way at a time. */
const WINDOW = 12;
const LARGEST_BYTES = 40_000;
const NUMBER_BYTES = 4;
const REPORT_MILLIS = 20;
/** One message in so many is followed by a write into the peer's memory and a read of what is there then. */
const ONE_SIDED_EVERY = 40;
const PIECE_BYTES = 4096;

export class Traffic {
  readonly #connection: Connection;
  readonly #incarnation: Incarnation;
  readonly #streams: StreamTraffic;
  readonly #report: (progress: Progress) => void;
  readonly #timer: NodeJS.Timeout;
  /** Numbers that were skipped and may still come, out of order. */
  readonly #missing = new Set<number>();
  #sent = 0;
  #acknowledged = 0;
  #received = 0;
  #expected = 0;
  #lost = 0;
  #duplicated = 0;
  #reordered = 0;
  #corrupted = 0;
  #finishing = false;
  #reported = '';

  constructor(
    connection: Connection,
    streams: StreamTraffic,
    incarnation: Incarnation,
    report: (progress: Progress) => void,
  ) {
    this.#connection = connection;
    this.#streams = streams;
    this.#incarnation = incarnation;
    this.#report = report;
    this.#timer = setInterval(() => this.#tell(false), REPORT_MILLIS);
  }

  /** Sends until `finish`, takes until the peer quits or the connection is lost. Never rejects. */
  async run(): Promise<void> {
    const ends = await Promise.allSettled([this.#sendAll(), this.#takeAll()]);
    clearInterval(this.#timer);
    const failed = ends.find((end) => end.status === 'rejected');
    this.#tell(true, failed === undefined ? undefined : describe(failed.reason));
  }

  /** Sends nothing more. */
  finish(): void {
    this.#finishing = true;
    this.#streams.finish();
  }

  async #sendAll(): Promise<void> {
    const lanes = Array.from({ length: WINDOW }, (_, lane) => this.#sendLane(lane));
    try {
      await Promise.all([...lanes, this.#streams.run()]);
    } finally {
      // Else the peer, which knows nothing of a lane that failed, would send for ever.
      await this.#connection.close();
    }
  }

  async #sendLane(lane: number): Promise<void> {
    while (!this.#finishing) {
      const number = this.#sent++;
      await this.#connection.send(messageOf(number));
      this.#acknowledged++;
      if (number % ONE_SIDED_EVERY === 0) await this.#tryOneSided(number, lane);
    }
  }

  /** Each lane has a piece of the peer's memory of its own. */
  async #tryOneSided(number: number, lane: number): Promise<void> {
    const piece = this.#connection.remoteBuffer?.at(lane * PIECE_BYTES, PIECE_BYTES);
    if (piece === undefined) return;
    const bytes = new Uint8Array(PIECE_BYTES).fill(number & 0xff);
    await this.#connection.write(piece, bytes, { repeatable: true });
    const back = await this.#connection.read(piece);
    if (!Buffer.from(back).equals(bytes)) this.#corrupted++;
  }

  async #takeAll(): Promise<void> {
    for await (const { data } of this.#connection) this.#take(Buffer.from(data));
    this.finish();
  }

  #take(data: Buffer): void {
    const number = data.length < NUMBER_BYTES ? -1 : data.readUInt32BE(0);
    this.#received++;
    if (number < 0 || !data.equals(messageOf(number))) {
      this.#corrupted++;
    } else if (number === this.#expected) {
      this.#expected++;
    } else if (number > this.#expected) {
      for (let skipped = this.#expected; skipped < number; skipped++) this.#missing.add(skipped);
      this.#lost += number - this.#expected;
      this.#expected = number + 1;
    } else if (this.#missing.delete(number)) {
      this.#lost--;
      this.#reordered++;
    } else {
      this.#duplicated++;
    }
  }

  #tell(over: boolean, failure?: string): void {
    const progress: Progress = {
      incarnation: this.#incarnation,
      acknowledged: this.#acknowledged,
      received: this.#received,
      lost: this.#lost,
      duplicated: this.#duplicated,
      reordered: this.#reordered,
      streams: this.#streams.streams,
      streamsLost: this.#streams.lost,
      streamsDuplicated: this.#streams.duplicated,
      corrupted: this.#corrupted + this.#streams.corrupted,
      recoveries: this.#connection.statistics.recoveries,
      over,
      ...(failure === undefined ? {} : { failure }),
    };
    const text = JSON.stringify(progress);
    if (text === this.#reported) return;
    this.#reported = text;
    this.#report(progress);
  }
}

/** The bytes of message `number`: its number, then bytes that follow from it, of a length that follows from it. */
function messageOf(number: number): Buffer {
  const length = NUMBER_BYTES + ((number * 7919) % LARGEST_BYTES);
  const bytes = Buffer.alloc(length, number % 251);
  bytes.writeUInt32BE(number, 0);
  return bytes;
}

const describe = (error: unknown): string =>
  error instanceof RdmaError ? `${error.code}: ${error.message}` : String(error);
