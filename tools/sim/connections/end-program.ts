/** The program at one end of a connection: does what its plan says, and writes down what comes of it. */
import { type Connection, insidesOf } from '../../../src/connection/connection.js';
import type { Message } from '../../../src/connection/message-inbox.js';
import { RemoteBuffer } from '../../../src/connection/remote-buffer.js';
import { RdmaError } from '../../../src/verbs/errors.js';
import type { VirtualTime } from '../../../testkit/virtual-time.js';
import { SimFailure } from '../failure.js';
import type { Marks } from '../marks.js';
import {
  type GrantRecord,
  type OneSidedRecord,
  type Outcome,
  pattern,
  type SendRecord,
  sameBytes,
} from './records.js';
import type { ConnectionPlan, Operation, Side } from './scenario.js';
import { StreamProgram } from './stream-program.js';
import { verifyStreamsSettled } from './verify-streams.js';

/** The lent buffer: places for writes, then memory that only its owner writes. */
const PLACE_BYTES = 256;
const READABLE_AT = 2048;
const READABLE_BYTES = 2048;
/** Message numbers travel in the tag. */
const TAGS = 0x10000;
/** How often a patient program looks whether all has come to its end. */
const LOOK_MILLIS = 20;

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
  readonly oneSided: OneSidedRecord[] = [];
  readonly grants: GrantRecord[] = [];
  /** Numbers of the messages that the program took. */
  readonly received: number[] = [];
  peer: EndProgram | null = null;
  connection: Connection | null = null;
  streams: StreamProgram | null = null;
  /** The machine of this end died; its program may say what it likes. */
  hasCrashed = false;
  /** The program itself, or its server, ended the connection or takes no more messages. */
  endedItself = false;
  /** It was told to end: it sends nothing more. */
  isClosing = false;
  /** The program has taken everything until it was told that nothing more comes, or why not. */
  drained: 'no' | 'end' | 'error' = 'no';
  /** How the connection ended: `undefined` before. */
  end: Outcome | undefined;
  /** How often it went down. */
  failures = 0;
  isDown = false;
  recoveries = 0;
  /** Resolves when the program has taken all messages. */
  taken: Promise<void> = Promise.resolve();
  readonly #options: EndOptionsOfProgram;
  #lent: Uint8Array = new Uint8Array(0);
  #sleepsUntil = 0;
  #lentWrites = 0;
  #closings = 0;

  constructor(options: EndOptionsOfProgram) {
    this.#options = options;
  }

  get name(): string {
    return `${this.#options.side} of connection ${this.#options.planNumber}`;
  }

  get lent(): Uint8Array {
    return this.#lent;
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

  /** Begins with the plan; resolves when all of it was begun. */
  async run(connection: Connection): Promise<void> {
    const { time, plan, side } = this.#options;
    this.connection = connection;
    this.#lent = connection.buffer;
    this.#fillLent();
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
        this.#send(connection, pattern(operation.bytes, this.sends.length, this.#options.seed, this.#salt));
        break;
      case 'write':
      case 'read':
        this.#useLent(connection, operation);
        break;
      case 'grant':
        void this.#grant(connection, operation);
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

  #send(connection: Connection, data: Uint8Array, isGrant = false): void {
    const number = this.sends.length;
    const record: SendRecord = { ...this.#asked(), number, data, isGrant };
    this.sends.push(record);
    this.#settle('send', record, connection.send(data, { tag: number % TAGS }));
  }

  #asked(): { wasEnding: boolean; at: number; outcome: Outcome | undefined } {
    return { wasEnding: this.#isEnding, at: this.#options.time.now, outcome: undefined };
  }

  #settle(
    what: string,
    record: { outcome: Outcome | undefined },
    promise: Promise<unknown>,
    then: () => void = () => {},
  ): void {
    const { time, marks } = this.#options;
    const settled = (error: RdmaError | null): void => {
      if (record.outcome !== undefined)
        throw new SimFailure('promises', `${this.name}: a ${what} settled twice`);
      record.outcome = { error, at: time.now };
      this.#options.trace(`${this.name}: ${what} ${error === null ? 'done' : error.message}`);
      marks.hit(`${what}: ${error === null ? 'done' : (error.status ?? error.code)}`);
    };
    promise
      .then(
        () => {
          settled(null);
          then();
        },
        (error: unknown) => {
          if (!(error instanceof RdmaError)) time.fail(error);
          else settled(error);
        },
      )
      .catch((error: unknown) => time.fail(error));
  }

  // --- one-sided ----------------------------------------------------------------------------------------------------

  #useLent(connection: Connection, operation: Operation & { kind: 'write' | 'read' }): void {
    const { remoteBuffer } = connection;
    const { peer } = this;
    if (remoteBuffer === null || peer === null) return;
    const { kind, bytes, repeatable, wrong } = operation;
    // A place of its own for each, so that no write covers what shows that another was carried out.
    const isLentWrite = kind === 'write' && !wrong;
    const at = isLentWrite ? (this.#lentWrites++ % (READABLE_AT / PLACE_BYTES)) * PLACE_BYTES : READABLE_AT;
    const beyond = wrong ? remoteBuffer.length : at;
    const place = new RemoteBuffer(remoteBuffer.addr + BigInt(beyond), remoteBuffer.rkey, bytes);
    const target = isLentWrite && peer.lent.length > 0 ? { memory: peer.lent, at } : null;
    // Before the peer's program has its connection, there is nothing in its memory.
    const isFilled = peer.lent.length > 0;
    const expected = isFilled
      ? pattern(READABLE_BYTES, this.#options.planNumber, 7).subarray(0, bytes)
      : null;
    this.#access(connection, { kind, place, repeatable, isRefusable: wrong, target, expected });
  }

  #access(
    connection: Connection,
    access: {
      kind: 'write' | 'read';
      place: RemoteBuffer;
      repeatable: boolean;
      isRefusable: boolean;
      target: { memory: Uint8Array; at: number } | null;
      /** What a read must give; `null`: anything. */
      expected: Uint8Array | null;
    },
    then?: () => void,
  ): void {
    const { kind, place, repeatable, isRefusable, target, expected } = access;
    const number = this.oneSided.length;
    const magic = 0x51000001 + number * 2 + this.#salt * 0x10000;
    const at = (target?.at ?? 0) + place.length - 4;
    const trace = target === null ? null : { memory: target.memory, at, magic };
    const failuresBefore = this.failures;
    const common = { ...this.#asked(), kind, number, repeatable, isRefusable, failuresBefore, trace };
    const record: OneSidedRecord = { ...common, executions: 0 };
    this.oneSided.push(record);
    if (kind === 'read') {
      const reading = connection.read(place, place.length, { repeatable }).then((bytes) => {
        if (expected !== null && !sameBytes(bytes, expected))
          throw new SimFailure('memory', `${this.name}: a read gave what was never there`);
      });
      this.#settle('read', record, reading, then);
      return;
    }
    const data = pattern(place.length, number, this.#options.seed, this.#salt, 3);
    new DataView(data.buffer).setUint32(data.length - 4, magic);
    this.#settle('write', record, connection.write(place, data, { repeatable }), then);
  }

  // --- grants -------------------------------------------------------------------------------------------------------

  async #grant(connection: Connection, operation: Operation & { kind: 'grant' }): Promise<void> {
    const { time } = this.#options;
    const memory = pattern(operation.bytes, 11, this.#options.planNumber);
    const record: GrantRecord = { ...this.#asked(), memory, after: undefined };
    this.grants.push(record);
    const granting = connection.grant(memory, { read: true, write: true });
    this.#settle('grant', record, granting);
    const grant = await granting.catch(() => undefined);
    if (grant === undefined) return;
    const isOver = (): void => {
      record.after ??= memory.slice();
    };
    void grant.ended.then(isOver);
    this.#send(connection, grant.remote.encode(), true);
    if (operation.revokeAfter === null) return;
    time.in(operation.revokeAfter, () => {
      void grant.revoke().then(isOver);
    });
  }

  /** The peer lent memory: reads it, then writes it. It may be taken away at any time. */
  #useGrant(connection: Connection, data: Uint8Array): void {
    const place = RemoteBuffer.decode(data);
    const expected = pattern(place.length, 11, this.#options.planNumber);
    const common = { place, repeatable: true, isRefusable: true, target: null, expected };
    this.#access(connection, { kind: 'read', ...common }, () => {
      this.#access(connection, { kind: 'write', ...common });
    });
  }

  // --- receiving ----------------------------------------------------------------------------------------------------

  async #takeAll(connection: Connection): Promise<void> {
    const { time, plan, side } = this.#options;
    const pass = (millis: number): Promise<void> => new Promise((resolve) => time.in(millis, resolve));
    try {
      for (;;) {
        if (this.#sleepsUntil > time.now) await pass(this.#sleepsUntil - time.now);
        if (plan.takeMillis[side] > 0) await pass(plan.takeMillis[side]);
        const message = await connection.receive();
        if (message === undefined) break;
        this.#take(connection, message);
      }
      this.drained = 'end';
    } catch (error) {
      if (!(error instanceof RdmaError)) time.fail(error);
      this.drained = 'error';
    }
  }

  #take(connection: Connection, { tag, data }: Message): void {
    const { peer } = this;
    const sent = peer?.sends[tag];
    if (sent === undefined)
      throw new SimFailure('messages', `${this.name}: message ${tag} came, which nobody sent`);
    if (!sameBytes(sent.data, data))
      throw new SimFailure(
        'messages',
        `${this.name}: message ${tag} came with other bytes than it was sent with`,
      );
    const last = this.received.at(-1) ?? -1;
    if (tag <= last)
      throw new SimFailure(
        'messages',
        `${this.name}: message ${tag} came ${tag === last ? 'twice' : `after ${last}`}`,
      );
    this.received.push(tag);
    if (sent.isGrant) this.#useGrant(connection, data);
  }

  #fillLent(): void {
    if (this.#lent.length < READABLE_AT + READABLE_BYTES) return;
    this.#lent.set(pattern(READABLE_BYTES, this.#options.planNumber, 7), READABLE_AT);
  }
}
