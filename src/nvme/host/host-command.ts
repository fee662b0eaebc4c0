/** A command of a host as its queues take it, with the data and what is said of it when it fails. */
import type { RdmaError } from '../../verbs/errors.js';
import type { CommandFields } from '../wire/command.js';
import type { Response } from '../wire/response.js';

/** Commands that are parts of one call. */
export interface CommandBatch {
  /** One has failed: those that have not left do not leave any more. */
  isWithdrawn: boolean;
}

/** A command and its data. */
export interface HostCommand {
  /** For people, in errors. */
  readonly what: string;
  readonly fields: Omit<CommandFields, 'cid'>;
  /** To the target. */
  readonly send?: Uint8Array;
  /** From the target: filled when the command has succeeded. */
  readonly receive?: Uint8Array;
  /** Whether it changes anything: a failure of the queue leaves that open. */
  readonly changes?: boolean;
  /** Once or twice is the same for it, whatever is done between. */
  readonly isRepeatable?: boolean;
  /** What it changes, without the block `end`. */
  readonly blocks?: { readonly nsid: number; readonly first: number; readonly end: number };
  readonly signal?: AbortSignal;
  /** A target that has not answered by then has failed: the queue ends. Default: no limit. */
  readonly timeoutMillis?: number;
  readonly batch?: CommandBatch;
}

/** What takes commands, as many at a time as it has room for. */
export interface CommandQueue {
  /** Commands that are under way or wait. */
  readonly load: number;
  /** Resolves with the target's response, whatever its status. @throws RdmaError when there is none. */
  run(command: HostCommand): Promise<Response>;
  /** Takes back what still waits of a batch; what has left comes to its end. */
  withdraw(batch: CommandBatch, error: RdmaError): void;
}
