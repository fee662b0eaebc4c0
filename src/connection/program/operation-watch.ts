/**
 * What is told of the operations of connections, on the channel `queuepair:operation`. diagnostics.ts has the other channels.
 *
 * Invariant: while nobody has subscribed, an operation costs one look at the channel.
 */
import { channel } from 'node:diagnostics_channel';
import { cleanText } from '../../session/clean-text.js';
import type { RdmaError } from '../../verbs/errors.js';

const MAX_TEXT_CHARS = 300;

export interface ErrorNote {
  readonly code: string;
  readonly message: string;
}

/** Whom a message is about. `connection` counts for each server, and for all clients of the process. */
export interface ConnectionNote {
  readonly side: 'server' | 'client';
  /** Where the server listens, or where the client was told to find it: `host:port`. */
  readonly server: string;
  readonly connection: number;
}

export const OPERATION_KINDS = ['send', 'read', 'write'] as const;
export type OperationKind = (typeof OPERATION_KINDS)[number];

export interface OperationNote extends ConnectionNote {
  readonly kind: OperationKind;
  readonly bytes: number;
  /** In milliseconds of `performance.now()`. */
  readonly startedAtMillis: number;
  readonly durationMillis: number;
  readonly error: ErrorNote | null;
}

/** Kept here: the registry of Node.js keeps channels only while somebody holds them. */
const operations = channel('queuepair:operation');

/** Whether anybody wants to know of operations. */
export const areOperationsWatched = (): boolean => operations.hasSubscribers;

/** Of an operation of another thread. */
export const publishOperation = (note: OperationNote): void => operations.publish(note);

/** Tells of an operation when it has ended. Its message is published in the context of who began it. */
export function watchOperation(
  connection: ConnectionNote,
  kind: OperationKind,
  bytes: number,
  running: Promise<unknown>,
): void {
  const startedAtMillis = performance.now();
  const tell = (error: ErrorNote | null): void => {
    const durationMillis = performance.now() - startedAtMillis;
    operations.publish({ ...connection, kind, bytes, startedAtMillis, durationMillis, error });
  };
  running.then(
    () => tell(null),
    (error: RdmaError) => tell(errorNote(error)),
  );
}

/** A text that may hold words of a peer. */
export const noteText = (text: string): string => cleanText(text, MAX_TEXT_CHARS);

export const errorNote = ({ code, message }: RdmaError): ErrorNote => ({
  code,
  message: noteText(message),
});
