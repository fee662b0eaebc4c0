/**
 * The streams of one connection: each side opens one after the other, writes a body that follows from its number, and ends
 * it; the other one checks every byte and answers how many came. So each end sees by itself what was lost, doubled or damaged.
 */
import { once } from 'node:events';
import type { Connection } from '../../src/connection/program/connection.js';
import type { ConnectionStream } from '../../src/connection/program/connection-stream.js';
import { Random } from '../../testkit/random.js';

/** Streams of this side at a time. */
const LANES = 2;
const LONGEST_BYTES = 300_000;
const CHUNK_BYTES = 20_000;
const ANSWER_BYTES = 4;
/** Both processes make the same one. */
const PATTERN = patternOf(new Random(1));

export class StreamTraffic {
  /** Bodies that were read to their end. */
  streams = 0;
  /** Bodies that ended too early, too late, and with other bytes. */
  lost = 0;
  duplicated = 0;
  corrupted = 0;
  readonly #connection: Connection;
  #isFinishing = false;

  /** To be made in the tick in which the connection is there. */
  constructor(connection: Connection) {
    this.#connection = connection;
    connection.on('stream', (stream) => this.#check(stream));
  }

  /** Opens streams until `finish`; rejects when the connection ends. */
  async run(): Promise<void> {
    await Promise.all(Array.from({ length: LANES }, () => this.#runLane()));
  }

  finish(): void {
    this.#isFinishing = true;
  }

  async #runLane(): Promise<void> {
    while (!this.#isFinishing) {
      const stream = this.#connection.openStream();
      const answer: Buffer[] = [];
      stream.on('data', (bytes: Buffer) => void answer.push(bytes));
      const closed = once(stream, 'close');
      // A rejection that nobody waits for yet is no news.
      closed.catch(() => {});
      const number = await numberOf(stream);
      const length = lengthOf(number);
      for (let at = 0; at < length; at += CHUNK_BYTES) {
        const chunk = bytesOf(number, at, Math.min(CHUNK_BYTES, length - at));
        if (!stream.write(chunk)) await Promise.race([once(stream, 'drain'), closed]);
      }
      stream.end();
      await closed;
      const told = Buffer.concat(answer);
      if (told.length !== ANSWER_BYTES || told.readUInt32BE(0) !== length) this.lost++;
    }
  }

  #check(stream: ConnectionStream): void {
    const number = -(stream.id ?? 0);
    const length = lengthOf(number);
    let received = 0;
    stream.on('data', (bytes: Buffer) => {
      if (!bytes.equals(bytesOf(number, received, bytes.length))) this.corrupted++;
      received += bytes.length;
    });
    stream.on('end', () => {
      this.streams++;
      if (received < length) this.lost++;
      if (received > length) this.duplicated++;
      const answer = Buffer.alloc(ANSWER_BYTES);
      answer.writeUInt32BE(received, 0);
      stream.end(answer);
    });
    // The connection has ended: whoever opened it, begins again.
    stream.on('error', () => {});
  }
}

/** The peer may take no more streams for now. */
async function numberOf(stream: ConnectionStream): Promise<number> {
  while (stream.id === null) {
    if (stream.destroyed) throw stream.errored ?? new Error('the stream was never opened');
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  return stream.id;
}

const lengthOf = (number: number): number => (number * 104_729) % LONGEST_BYTES;

/** Bytes of body `number` from `at` on. */
function bytesOf(number: number, at: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let done = 0; done < length; ) {
    const from = (number * 977 + at + done) % PATTERN.length;
    done += PATTERN.copy(bytes, done, from, Math.min(PATTERN.length, from + length - done));
  }
  return bytes;
}

/** Its length is a prime, so that bodies do not repeat where fragments do. */
function patternOf(random: Random): Buffer {
  return Buffer.from(Array.from({ length: 65_521 }, () => random.int(0, 255)));
}
