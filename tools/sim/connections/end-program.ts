/** The program at one end of a connection: does what its plan says, and writes down what comes of it. */

import type { Message } from '../../../src/connection/messages/message-inbox.js';
import type { Connection } from '../../../src/connection/program/connection.js';
import { insidesOf } from '../../../src/connection/program/insides.js';
import { RdmaError } from '../../../src/verbs/errors.js';
import type { VirtualTime } from '../../../testkit/virtual-time.js';
import { SimFailure } from '../failure.js';
import type { Marks } from '../marks.js';
import { Asking, type Wait } from './asking.js';
import { MemoryProgram } from './memory-program.js';
import {
  type GrantRecord,
  isOwn,
  type OneSidedRecord,
  type Outcome,
  pattern,
  type SendRecord,
  sameBytes,
} from './records.js';
import type { ConnectionPlan, Operation, Patience, Side } from './scenario.js';
import { StreamProgram } from './stream-program.js';
import { verifyStreamsSettled } from './verify-streams.js';

/** Message numbers travel in the tag. */
const TAGS = 0x10000;
/** How often a patient program looks whether all has come to its end. */
const LOOK_MILLIS = 20;
/** Calls of `receive` that do not wait for ever. */
const IMPATIENT_RECEIVES = 20;
/** What the program lays over memory that is its own again. */
const NOT_SENT = 0xee;

const NOTHING = new Uint8Array(0);

export interface EndOptionsOfProgram {
  readonly time: VirtualTime;
  readonly seed: number;
  readonly planNumber: number;
  readonly plan: ConnectionPlan;
  readonly side: Side;
  readonly firstStream: number;
  readonly marks: Marks;
  readonly trace: (text: string) => void;
}

export class EndProgram {
  readonly sends: SendRecord[] = [];
  /** Numbers of the messages that the program took. */
  readonly received: number[] = [];
  peer: EndProgram | null = null;
  connection: Connection | null = null;
  streams: StreamProgram | null = null;
  /** The machine of this end died; its program may say what it likes. */
  hasCrashed = false;
  /** It ended the connection before the library did for another reason. */
  hasLeftFirst = false;
  #endedItself = false;
  /** It was told to end: it sends nothing more. */
  isClosing = false;
  /** The program has taken everything until it was told that nothing more comes, or why not. */
  drained: 'no' | 'end' | 'error' = 'no';
  drainError: unknown = null;
  /** It was up without its session when its program gave it up. */
  abortedBriefly = false;
  /** How the connection ended: `undefined` before. */
  end: Outcome | undefined;
  /** How often it went down. */
  failures = 0;
  isDown = false;
  recoveries = 0;
  /** Resolves when the program has taken all messages. */
  taken: Promise<void> = Promise.resolve();
  readonly #options: EndOptionsOfProgram;
  readonly #asking: Asking;
  #memory: MemoryProgram | null = null;
  #sleepsUntil = 0;
  #closings = 0;

  constructor(options: EndOptionsOfProgram) {
    this.#options = options;
    const { time, marks, trace } = options;
    this.#asking = new Asking({ name: this.name, time, marks, trace, isEnding: () => this.#isEnding });
  }

  /** The program itself, or its server, ended the connection or takes no more messages. */
  get endedItself(): boolean {
    return this.#endedItself;
  }

  set endedItself(endedItself: boolean) {
    const { connection } = this;
    if (!this.#endedItself)
      this.hasLeftFirst = connection === null || !insidesOf(connection).lifeline.isEnding;
    this.#endedItself = endedItself;
  }

  get name(): string {
    return `${this.#options.side} of connection ${this.#options.planNumber}`;
  }

  get lent(): Uint8Array | null {
    return this.#memory?.lent ?? null;
  }

  get oneSided(): readonly OneSidedRecord[] {
    return this.#memory?.oneSided ?? [];
  }

  /** One-sided operations that have not ended, or may go on although nobody waits for them. */
  get underWay(): number {
    return this.#memory?.underWay ?? 0;
  }

  get grants(): readonly GrantRecord[] {
    return this.#memory?.grants ?? [];
  }

  /** Calls that do not wait for ever, and the one of `receive`: each may have a timer. */
  get impatient(): number {
    let count = 1;
    for (const { waited, outcome } of [...this.sends, ...this.oneSided]) {
      if (waited !== null && outcome === undefined) count++;
    }
    return count;
  }

  /** Promises that have not settled. */
  get unsettled(): string[] {
    const open = [...this.sends, ...this.oneSided, ...this.grants].filter(
      ({ outcome }) => outcome === undefined,
    );
    const names = open.map(
      (record) => `${'kind' in record ? record.kind : 'memory' in record ? 'grant' : 'send'}`,
    );
    for (const { kind, outcome } of this.streams?.calls ?? []) {
      if (outcome === undefined) names.push(`stream ${kind}`);
    }
    if (this.connection !== null && this.drained === 'no') names.push('receive');
    if (this.connection !== null && this.end === undefined) names.push('closed');
    return names;
  }

  /** As `Asking.wait`, for `connect`. */
  wait(patience: Patience | null): Wait {
    return this.#asking.wait(patience);
  }

  /** Begins with the plan; resolves when all of it was begun. */
  async run(connection: Connection): Promise<void> {
    const { time, plan, side } = this.#options;
    this.connection = connection;
    this.#memory = this.#memoryOf(connection);
    this.#listen(connection);
    this.streams = this.#streamsOf(connection);
    this.streams.listen();
    this.taken = this.#takeAll(connection);
    const begun: Promise<void>[] = [];
    for (const operation of plan.operations[side]) {
      begun.push(
        new Promise((resolve) => {
          time.in(operation.at, () => {
            resolve();
            this.#begin(connection, operation);
          });
        }),
      );
    }
    await Promise.all(begun);
  }

  /**
   * Waits until all that can come to its end has done so, while some streams stand still; then lets these go on, until no
   * stream is left. Gives up when the connection ends.
   */
  async settle(): Promise<void> {
    const { marks } = this.#options;
    const both = (): EndProgram[] => (this.peer === null ? [] : [this, this.peer]);
    let stalled = 0;
    await this.#until(() => {
      stalled = 0;
      for (const { sends, streams } of both()) {
        if (streams === null || sends.some(({ outcome }) => outcome === undefined)) return false;
        if (!streams.progress.isDone) return false;
        stalled += streams.progress.stalled;
      }
      return this.peer !== null;
    });
    if (this.#isOver) return;
    if (stalled > 0) marks.hit('neighbours of a stream that stands still went on');
    for (const { streams } of both()) streams?.finish();
    await this.#until(() => both().every(({ streams }) => streams === null || streams.isQuiet));
    if (this.#isOver || this.peer?.streams == null || this.streams === null) return;
    marks.hit('all streams came to their end');
    verifyStreamsSettled(this.name, this.streams, this.peer.streams);
    verifyStreamsSettled(this.peer.name, this.peer.streams, this.streams);
  }

  /** The library takes nothing more on either side. */
  get #isOver(): boolean {
    const isOver = ({ connection }: EndProgram): boolean =>
      connection !== null && insidesOf(connection).lifeline.isEnding;
    return isOver(this) || (this.peer !== null && isOver(this.peer));
  }

  async #until(isDone: () => boolean): Promise<void> {
    const { time } = this.#options;
    while (!this.#isOver && !isDone()) await new Promise<void>((resolve) => time.in(LOOK_MILLIS, resolve));
  }

  #memoryOf(connection: Connection): MemoryProgram {
    const { time, seed, planNumber } = this.#options;
    return new MemoryProgram(connection, {
      name: this.name,
      time,
      asking: this.#asking,
      seed,
      planNumber,
      salt: this.#salt,
      failures: () => this.failures,
      peerLent: () => (this.peer === null ? null : (this.peer.lent ?? NOTHING)),
      sendGrant: (data) => this.#send(connection, data, null, true),
    });
  }

  #streamsOf(connection: Connection): StreamProgram {
    const { time, marks, firstStream } = this.#options;
    const { lifeline } = insidesOf(connection);
    return new StreamProgram(connection, {
      name: this.name,
      time,
      marks,
      firstStream,
      salt: this.#salt,
      peerSalt: this.#salt ^ 1,
      isEnding: () => lifeline.isEnding,
      peer: () => this.peer?.streams ?? null,
    });
  }

  /** Ends the connection in order. */
  async close(): Promise<void> {
    this.endedItself = true;
    this.isClosing = true;
    await this.connection?.close();
  }

  #listen(connection: Connection): void {
    const { time, marks, side } = this.#options;
    connection.on('reconnecting', () => {
      if (this.isDown) this.#object('recoveries', 'a recovery began beside another');
      this.isDown = true;
      this.failures++;
    });
    connection.on('reconnected', () => {
      // It may have gone down before its program had it, and listened.
      const isFirst = this.failures === 0 && this.recoveries === 0;
      if (!this.isDown && !isFirst) this.#object('recoveries', 'it came up without having been down');
      this.isDown = false;
      this.recoveries++;
      marks.hit(`${side} recovered`);
    });
    connection.on('revoked', (_, reason) => marks.hit(`revoked: ${reason}`));
    connection.on('closed', (error) => {
      if (++this.#closings > 1) this.#object('end', 'it ended twice');
      this.end = { error: error ?? null, at: time.now };
      marks.hit(`${side} closed: ${error?.code ?? 'in order'}`);
      if (error?.refusal === 'resumption') marks.hit(`${side} was forgotten`);
      this.#options.trace(`${this.name} closed: ${error?.message ?? 'in order'}`);
      this.failures++;
    });
  }

  /** Not thrown: the code under test would take it for its own. */
  #object(checker: string, message: string): void {
    this.#options.time.fail(new SimFailure(checker, `${this.name}: ${message}`));
  }

  get #isEnding(): boolean {
    return this.isClosing || this.end !== undefined;
  }

  #begin(connection: Connection, operation: Operation): void {
    switch (operation.kind) {
      case 'send':
        this.#send(
          connection,
          pattern(operation.bytes, this.sends.length, this.#options.seed, this.#salt),
          operation.patience,
        );
        break;
      case 'write':
      case 'read':
        this.#memory?.useLent(operation);
        break;
      case 'grant':
        void this.#memory?.grant(operation);
        break;
      case 'stream':
        this.streams?.begin(operation);
        break;
      case 'sleep':
        this.#sleepsUntil = this.#options.time.now + operation.millis;
        break;
      case 'close':
        void this.close();
        break;
      case 'abort':
        this.abortedBriefly = !this.#isEnding && connection.session === 'left';
        this.endedItself = true;
        this.isClosing = true;
        connection.abort(new RdmaError('ERR_RDMA_ABORTED', 'the program gave up'));
        break;
    }
  }

  /** Tells the two directions of all connections apart. */
  get #salt(): number {
    return this.#options.planNumber * 2 + (this.#options.side === 'client' ? 0 : 1);
  }

  #send(connection: Connection, data: Uint8Array, patience: Patience | null, isGrant = false): void {
    const number = this.sends.length;
    const { options, waited, stop } = this.#asking.wait(patience);
    const { bytes: queuedBytes } = connection.sendQueue;
    const record: SendRecord = { ...this.#asking.asked(), number, data, isGrant, queuedBytes, waited };
    this.sends.push(record);
    const given = data.slice();
    const sending = connection.send(given, { tag: number % TAGS, ...options }).finally(() => {
      stop();
      // From now on it is the program's own again.
      given.fill(NOT_SENT);
    });
    this.#asking.settle('send', record, sending);
  }

  // --- receiving ----------------------------------------------------------------------------------------------------

  async #takeAll(connection: Connection): Promise<void> {
    const { time, plan, side, marks } = this.#options;
    const pass = (millis: number): Promise<void> => new Promise((resolve) => time.in(millis, resolve));
    const patience = plan.takePatience[side];
    let lastError: unknown;
    let impatient = patience === null ? 0 : IMPATIENT_RECEIVES;
    for (;;) {
      if (this.#sleepsUntil > time.now) await pass(this.#sleepsUntil - time.now);
      if (plan.takeMillis[side] > 0) await pass(plan.takeMillis[side]);
      const { options, waited, stop } = this.#asking.wait(impatient-- > 0 ? patience : null);
      try {
        const message = await connection.receive(options);
        stop();
        if (message === undefined) break;
        this.#take(message);
      } catch (error) {
        stop();
        if (!(error instanceof RdmaError)) time.fail(error);
        // The error that ended the connection comes again; what the program itself caused, is new every time.
        const isFinal = error === lastError || waited === null || !isOwn(error, waited);
        if (isFinal) {
          this.drained = 'error';
          this.drainError = error;
          return;
        }
        lastError = error;
        marks.hit(`receive: ${(error as RdmaError).code}`);
      }
    }
    this.drained = 'end';
  }

  #take({ tag, data }: Message): void {
    const { peer } = this;
    const object = (what: string): void => this.#object('messages', `message ${tag} ${what}`);
    const sent = peer?.sends[tag];
    if (sent === undefined) {
      object('came, which nobody sent');
      return;
    }
    if (!sameBytes(sent.data, data)) object('came with other bytes than it was sent with');
    const last = this.received.at(-1) ?? -1;
    if (tag <= last) object(`came ${tag === last ? 'twice' : `after ${last}`}`);
    this.received.push(tag);
    if (sent.isGrant) this.#memory?.useGrant(data);
  }
}
