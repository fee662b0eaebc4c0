/** Listening to what connection/diagnostics.ts tells. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type {
  AdmittedNote,
  ClosedNote,
  ConnectNote,
  RecoveryNote,
  RefusedNote,
  StepNote,
} from '../connection/diagnostics.js';
import type { OperationNote } from '../connection/operation-watch.js';

/** The channels of this package, and what is published on each. */
export interface DiagnosticsMessages {
  readonly 'queuepair:connect': ConnectNote;
  readonly 'queuepair:admitted': AdmittedNote;
  readonly 'queuepair:refused': RefusedNote;
  readonly 'queuepair:step': StepNote;
  readonly 'queuepair:recovery': RecoveryNote;
  readonly 'queuepair:closed': ClosedNote;
  readonly 'queuepair:operation': OperationNote;
}

/** `node:diagnostics_channel` with types. Returns the function that ends it. */
export function watch<Name extends keyof DiagnosticsMessages>(
  name: Name,
  listener: (message: DiagnosticsMessages[Name]) => void,
): () => void {
  const subscriber = (message: unknown): void => listener(message as DiagnosticsMessages[Name]);
  subscribe(name, subscriber);
  return () => void unsubscribe(name, subscriber);
}
