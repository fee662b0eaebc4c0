/**
 * Operations of handlers in workers, told to the main thread while somebody there wants to know of them: many at a time, as numbers.
 *
 * Invariants: each is told once, in the order in which they ended in their thread; while nobody wants to know, nothing is done.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { threadBeganAt } from '../common/clock.js';
import {
  type ErrorNote,
  OPERATION_KINDS,
  type OperationNote,
  publishOperation,
} from '../program/operation-watch.js';

const CHANNEL = 'queuepair:operation';
/** Told at once, so that they never are many. */
const MOST_OPERATIONS = 1000;
/** Connection, kind, bytes, beginning and duration of each. */
const NUMBERS = 5;

export interface OperationBatch {
  /** Where the server listens. */
  readonly server: string;
  readonly numbers: Float64Array;
  /** Of those that failed, by their place. */
  readonly errors: readonly (readonly [place: number, error: ErrorNote])[];
}

/** In the worker. */
export class OperationRelay {
  readonly #post: (batch: OperationBatch) => void;
  #isOn = false;
  /** By how much times of this thread are less than those of the main thread. */
  #behindMillis = 0;
  #server = '';
  #numbers: number[] = [];
  #errors: [number, ErrorNote][] = [];

  constructor(post: (batch: OperationBatch) => void) {
    this.#post = post;
  }

  /** `beganAt`: when the clock of the main thread began. */
  set(isOn: boolean, beganAt: number): void {
    this.#behindMillis = threadBeganAt - beganAt;
    if (isOn === this.#isOn) return;
    this.#isOn = isOn;
    if (isOn) subscribe(CHANNEL, this.#note);
    else unsubscribe(CHANNEL, this.#note);
    this.flush();
  }

  flush(): void {
    if (this.#numbers.length === 0) return;
    const batch = { server: this.#server, numbers: Float64Array.from(this.#numbers), errors: this.#errors };
    this.#numbers = [];
    this.#errors = [];
    this.#post(batch);
  }

  readonly #note = (message: unknown): void => {
    const note = message as OperationNote;
    // What a handler does as a client of others is no business of this server.
    if (note.side !== 'server') return;
    if (note.server !== this.#server) this.flush();
    this.#server = note.server;
    const { connection, kind, bytes, startedAtMillis, durationMillis, error } = note;
    if (error !== null) this.#errors.push([this.#numbers.length / NUMBERS, error]);
    const startedAt = startedAtMillis + this.#behindMillis;
    this.#numbers.push(connection, OPERATION_KINDS.indexOf(kind), bytes, startedAt, durationMillis);
    if (this.#numbers.length === NUMBERS * MOST_OPERATIONS) this.flush();
  };
}

/** In the main thread. */
export function publishOperations({ server, numbers, errors }: OperationBatch): void {
  const errorAt = new Map(errors);
  for (let place = 0; place < numbers.length / NUMBERS; place++) {
    const [connection = 0, kind = 0, bytes = 0, startedAtMillis = 0, durationMillis = 0] = numbers.subarray(
      place * NUMBERS,
      (place + 1) * NUMBERS,
    );
    publishOperation({
      side: 'server',
      server,
      connection,
      kind: OPERATION_KINDS[kind] ?? 'send',
      bytes,
      startedAtMillis,
      durationMillis,
      error: errorAt.get(place) ?? null,
    });
  }
}
