/**
 * A client that has orders to give: sends each as a message until one is answered, over one connection after the other, and
 * judges what became of every attempt.
 *
 * What must hold of an attempt: it is taken at most once; if it was answered, once; if its `send` said that nothing of it had
 * left, never.
 */
import type { Connection } from '../../../src/connection/program/connection.js';
import { RdmaError } from '../../../src/verbs/errors.js';
import type { Random } from '../../../testkit/random.js';
import { messageOf, type SharedLedger } from './shared-ledger.js';

const UNDER_WAY = 8;
const LONGEST_BYTES = 100_000;
const STREAM_CHUNK_BYTES = 10_000;
const PAUSE_MILLIS = 10;

export interface Judgements {
  orders: number;
  answered: number;
  /** Attempts whose outcome the client was truthfully not told. */
  unknown: number;
  /** Attempts of which nothing had left. */
  unsent: number;
  duplicated: number;
  /** Said not to have left, and taken. */
  untrue: number;
  /** Answers in another order than their messages, and streams that brought other bytes. */
  damaged: number;
  connections: number;
  streamBytes: number;
}

export interface ChaosClientOptions {
  readonly connect: () => Promise<Connection>;
  readonly ledger: SharedLedger;
  readonly judgements: Judgements;
  readonly random: Random;
  /** A new number for an attempt, of all clients. */
  readonly nextAttempt: () => number;
}

interface Attempt {
  readonly number: number;
  readonly order: number;
  readonly sent: Promise<RdmaError | undefined>;
}

export class ChaosClient {
  readonly #options: ChaosClientOptions;
  /** Orders that no attempt has answered, oldest first. */
  #open: number[] = [];
  #lastOrder = 0;
  #isStopping = false;

  constructor(options: ChaosClientOptions) {
    this.#options = options;
  }

  /** Orders without an answer. */
  get unanswered(): number {
    return this.#open.length;
  }

  /** Gives no new orders; `run` ends when those that are open are answered. */
  stop(): void {
    this.#isStopping = true;
  }

  async run(): Promise<void> {
    while (!this.#isStopping || this.#open.length > 0) {
      const connection = await this.#connect();
      this.#options.judgements.connections++;
      await this.#useUp(connection);
    }
  }

  async #connect(): Promise<Connection> {
    for (;;) {
      try {
        return await this.#options.connect();
      } catch (error) {
        if (!(error instanceof RdmaError) || !error.retryable) throw error;
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MILLIS));
      }
    }
  }

  /** Until it ends, or all is answered. */
  async #useUp(connection: Connection): Promise<void> {
    const attempts = new Map<number, Attempt>();
    const streaming = this.#stream(connection);
    try {
      await this.#exchange(connection, attempts);
      await connection.close();
    } catch (error) {
      if (!(error instanceof RdmaError)) throw error;
    }
    await connection.closed;
    await streaming;
    for (const attempt of attempts.values()) await this.#judge(attempt);
  }

  async #exchange(connection: Connection, attempts: Map<number, Attempt>): Promise<void> {
    // All that no attempt has answered goes first, once more.
    const again = [...this.#open];
    for (;;) {
      while (attempts.size < UNDER_WAY && (again.length > 0 || !this.#isStopping))
        this.#send(connection, attempts, again.shift() ?? this.#newOrder());
      if (attempts.size === 0) return;
      const answer = await connection.receive();
      if (answer === undefined) return;
      const number = Buffer.from(answer.data).readUInt32LE();
      const [oldest] = attempts.keys();
      if (number !== oldest) this.#options.judgements.damaged++;
      const attempt = attempts.get(number);
      attempts.delete(number);
      if (attempt !== undefined) this.#answered(attempt);
    }
  }

  #newOrder(): number {
    this.#options.judgements.orders++;
    const order = ++this.#lastOrder;
    this.#open.push(order);
    return order;
  }

  #send(connection: Connection, attempts: Map<number, Attempt>, order: number): void {
    const { random, nextAttempt } = this.#options;
    const number = nextAttempt();
    const lengthBytes = random.chance(0.1) ? random.below(LONGEST_BYTES) : random.below(200);
    const sent = connection.send(messageOf(number, lengthBytes)).then(
      () => undefined,
      (error: RdmaError) => error,
    );
    attempts.set(number, { number, order, sent });
  }

  #answered({ number, order }: Attempt): void {
    const { judgements, ledger } = this.#options;
    judgements.answered++;
    this.#open = this.#open.filter((open) => open !== order);
    if (ledger.taken(number) !== 1) judgements.duplicated++;
  }

  /** One that got no answer. */
  async #judge({ number, sent }: Attempt): Promise<void> {
    const { judgements, ledger } = this.#options;
    const error = await sent;
    const taken = ledger.taken(number);
    if (taken > 1) judgements.duplicated++;
    const hasLeft = error === undefined || error.code === 'ERR_RDMA_OUTCOME_UNKNOWN';
    if (hasLeft) judgements.unknown++;
    else judgements.unsent++;
    if (!hasLeft && taken > 0) judgements.untrue++;
  }

  /** What comes back of a stream is what was written, as far as it comes. */
  async #stream(connection: Connection): Promise<void> {
    const { judgements } = this.#options;
    const stream = connection.openStream();
    stream.on('error', () => {});
    let written = 0;
    let read = 0;
    const write = (): void => {
      if (stream.destroyed) return;
      stream.write(Buffer.alloc(STREAM_CHUNK_BYTES, written++ & 0xff));
    };
    write();
    stream.on('data', (bytes: Buffer) => {
      for (const byte of bytes)
        if (byte !== (Math.floor(read++ / STREAM_CHUNK_BYTES) & 0xff)) judgements.damaged++;
      judgements.streamBytes += bytes.length;
      if (read === written * STREAM_CHUNK_BYTES) setImmediate(write);
    });
    await connection.closed;
    if (!stream.closed) await new Promise((resolve) => stream.once('close', resolve).destroy());
  }
}
