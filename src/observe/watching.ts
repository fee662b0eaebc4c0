/** Listening to what connection/program/diagnostics.ts tells. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type {
  AdmittedNote,
  ClosedNote,
  ConnectNote,
  RecoveryNote,
  RefusedNote,
  StepNote,
  ThrottledNote,
} from '../connection/program/diagnostics.js';
import type { OperationNote } from '../connection/program/operation-watch.js';
import { usageError } from '../verbs/errors.js';
import { nameOf } from '../verbs/option-check.js';

/** The channels of this package, and what is published on each. */
export interface DiagnosticsMessages {
  readonly 'queuepair:connect': ConnectNote;
  readonly 'queuepair:admitted': AdmittedNote;
  readonly 'queuepair:refused': RefusedNote;
  readonly 'queuepair:throttled': ThrottledNote;
  readonly 'queuepair:step': StepNote;
  readonly 'queuepair:recovery': RecoveryNote;
  readonly 'queuepair:closed': ClosedNote;
  readonly 'queuepair:operation': OperationNote;
}

/** Nobody publishes on others: a misspelt name would hear nothing, for good. */
const CHANNELS: Readonly<Record<keyof DiagnosticsMessages, true>> = {
  'queuepair:connect': true,
  'queuepair:admitted': true,
  'queuepair:refused': true,
  'queuepair:throttled': true,
  'queuepair:step': true,
  'queuepair:recovery': true,
  'queuepair:closed': true,
  'queuepair:operation': true,
};

/**
 * `node:diagnostics_channel` with types. Returns the function that ends it.
 *
 * @throws RdmaError ERR_RDMA_INVALID_ARGUMENT for a channel that does not exist.
 */
export function watch<Name extends keyof DiagnosticsMessages>(
  name: Name,
  listener: (message: DiagnosticsMessages[Name]) => void,
): () => void {
  if (!Object.hasOwn(CHANNELS, name))
    throw usageError(`watch: the channels are ${Object.keys(CHANNELS).join(', ')}`);
  if (typeof listener !== 'function')
    throw usageError(`watch(name, listener): listener must be a function, not ${nameOf(listener)}`);
  const subscriber = (message: unknown): void => listener(message as DiagnosticsMessages[Name]);
  subscribe(name, subscriber);
  return () => void unsubscribe(name, subscriber);
}
