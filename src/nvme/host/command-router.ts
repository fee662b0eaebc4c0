/**
 * Where the commands of a controller go: to the queues that it has now, or, while it has none, into a line for the next ones. What was
 * under way when the queues ended is sent again where that is safe.
 *
 * Invariants: a command settles once. What may have been done and is no repetition of itself (a write) is sent again only where the program
 * allowed it, and never when another command for the same blocks was under way at the same time: it might undo that one. While such
 * commands are repeated, nothing else leaves. A batch that is withdrawn sends nothing more.
 */
import { RdmaError } from '../../verbs/errors.js';
import type { CommandBatch, CommandQueue, HostCommand } from './host-command.js';
import { abortedError, lostError, unknownOutcome } from './host-errors.js';

/** The status of a command, and the controller that answered: the first one has the number 1. */
export interface Answer {
  readonly status: number;
  readonly epoch: number;
}

/** The queues of one controller. */
interface Line {
  readonly epoch: number;
  readonly queues: readonly CommandQueue[];
  /** Resolves when they are gone. */
  readonly gone: Promise<void>;
  readonly tellGone: () => void;
}

/** A command that was not answered yet. */
interface Routed {
  readonly command: HostCommand;
  /** Order in which commands came. */
  readonly sequence: number;
  /** It has left and may have been done: if it leaves again, it is a repetition. */
  mayBeDone: boolean;
  /** Another command for its blocks was under way at the same time. */
  isContested: boolean;
}

/** One that waits for queues. */
interface Waiting {
  readonly routed: Routed;
  readonly go: () => void;
  readonly fail: (error: RdmaError) => void;
}

export interface RouterOptions {
  /** Of one command, whichever controller takes it. */
  readonly chunkBytes: number;
  /** Whether writes whose outcome is unknown are sent again. */
  readonly repeatsWrites: boolean;
}

export class CommandRouter {
  readonly chunkBytes: number;
  readonly #repeatsWrites: boolean;
  /** For what comes again: without it nothing is noted of commands under way. */
  readonly #underWay = new Set<Routed>();
  #line: Line | undefined;
  #epoch = 0;
  #sequence = 0;
  #waiting: Waiting[] = [];
  /** Repetitions that the target has not answered. */
  readonly #repeating = new Set<Routed>();
  #reason: string | undefined;

  constructor({ chunkBytes, repeatsWrites }: RouterOptions) {
    this.chunkBytes = chunkBytes;
    this.#repeatsWrites = repeatsWrites;
  }

  /** Counts controllers, also the next one while there is none. */
  get epoch(): number {
    return this.#line === undefined ? this.#epoch + 1 : this.#epoch;
  }

  /** Commands that wait for queues. */
  get held(): number {
    return this.#waiting.length;
  }

  /** There is a controller, with these queues. */
  connected(queues: readonly CommandQueue[]): void {
    let tellGone = (): void => {};
    const gone = new Promise<void>((resolve) => {
      tellGone = resolve;
    });
    this.#epoch++;
    this.#line = { epoch: this.#epoch, queues, gone, tellGone };
    for (const { routed } of this.#waiting) if (routed.mayBeDone) this.#repeating.add(routed);
    this.#wake();
  }

  /** It is gone; there may be another one. */
  disconnected(): void {
    const line = this.#line;
    this.#line = undefined;
    this.#repeating.clear();
    line?.tellGone();
  }

  /** There will be none any more. */
  end(reason: string): void {
    this.#reason ??= reason;
    this.disconnected();
    for (const { routed, fail } of this.#waiting.splice(0)) fail(this.#endOf(routed));
  }

  /** @throws RdmaError when there is no answer. */
  async run(command: HostCommand): Promise<Answer> {
    const routed = { command, sequence: this.#sequence++, mayBeDone: false, isContested: false };
    if (this.#repeatsWrites && command.changes === true) this.#noteUnderWay(routed);
    try {
      return await this.#run(routed);
    } finally {
      this.#underWay.delete(routed);
      if (this.#repeating.delete(routed) && this.#repeating.size === 0) this.#wake();
    }
  }

  /** Takes back what still waits of a batch; what has left comes to its end. */
  withdraw(batch: CommandBatch, error: RdmaError): void {
    for (const queue of this.#line?.queues ?? []) queue.withdraw(batch, error);
    for (const { routed, fail } of this.#takeWaiting(({ command }) => command.batch === batch)) {
      fail(routed.mayBeDone ? unknownOutcome(routed.command.what, error.message) : error);
    }
  }

  async #run(routed: Routed): Promise<Answer> {
    const { command } = routed;
    for (;;) {
      const line = this.#lineFor(routed) ?? (await this.#waitForLine(routed));
      try {
        const { status } = await leastLoaded(line.queues).run(command);
        return { status, epoch: line.epoch };
      } catch (error) {
        if (!this.#isRepeated(routed, error)) throw error;
        await line.gone;
      }
    }
  }

  #lineFor(routed: Routed): Line | undefined {
    return this.#repeating.size > 0 && !this.#repeating.has(routed) ? undefined : this.#line;
  }

  /** Whether a command that failed shall be sent once more. */
  #isRepeated(routed: Routed, error: unknown): error is RdmaError {
    const { command } = routed;
    if (!(error instanceof RdmaError) || command.signal?.aborted === true) return false;
    if (command.batch?.isWithdrawn === true || this.#reason !== undefined) return false;
    if (error.code === 'ERR_RDMA_CONNECTION_LOST') return true;
    if (error.code !== 'ERR_RDMA_OUTCOME_UNKNOWN') return false;
    if (command.isRepeatable === true) return true;
    routed.mayBeDone = true;
    return this.#repeatsWrites && !routed.isContested;
  }

  #noteUnderWay(routed: Routed): void {
    for (const other of this.#underWay) {
      if (!overlap(other.command, routed.command)) continue;
      other.isContested = true;
      routed.isContested = true;
    }
    this.#underWay.add(routed);
  }

  #waitForLine(routed: Routed): Promise<Line> {
    const { signal, batch } = routed.command;
    if (this.#reason !== undefined) return Promise.reject(this.#endOf(routed));
    if (signal?.aborted === true) return Promise.reject(this.#abortOf(routed, signal));
    if (batch?.isWithdrawn === true) return Promise.reject(this.#endOf(routed, 'another part of it failed'));
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#takeWaiting((one) => one === routed);
        reject(this.#abortOf(routed, signal as AbortSignal));
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      const stop = (): void => signal?.removeEventListener('abort', onAbort);
      const waiting: Waiting = {
        routed,
        go: () => {
          stop();
          resolve(this.#line as Line);
        },
        fail: (error) => {
          stop();
          reject(error);
        },
      };
      const at = this.#waiting.findIndex((one) => one.routed.sequence > routed.sequence);
      this.#waiting.splice(at < 0 ? this.#waiting.length : at, 0, waiting);
    });
  }

  /** In the order in which they came. */
  #wake(): void {
    if (this.#line === undefined) return;
    const isBarred = this.#repeating.size > 0;
    for (const { go } of this.#takeWaiting((routed) => !isBarred || this.#repeating.has(routed))) go();
  }

  #takeWaiting(isTaken: (routed: Routed) => boolean): Waiting[] {
    const taken = this.#waiting.filter(({ routed }) => isTaken(routed));
    if (taken.length > 0) this.#waiting = this.#waiting.filter(({ routed }) => !isTaken(routed));
    return taken;
  }

  #endOf({ command, mayBeDone }: Routed, reason = this.#reason ?? ''): RdmaError {
    return mayBeDone ? unknownOutcome(command.what, reason) : lostError(reason);
  }

  #abortOf({ command, mayBeDone }: Routed, signal: AbortSignal): RdmaError {
    return mayBeDone
      ? unknownOutcome(command.what, 'it was aborted on its way')
      : abortedError(command.what, signal);
  }
}

const leastLoaded = (queues: readonly CommandQueue[]): CommandQueue =>
  queues.reduce((best, queue) => (queue.load < best.load ? queue : best));

function overlap({ blocks: one }: HostCommand, { blocks: other }: HostCommand): boolean {
  if (one === undefined || other === undefined) return false;
  return one.nsid === other.nsid && one.first < other.end && other.first < one.end;
}
