/** What the options of a connection's functions may be, checked before a call changes anything. */
import { RdmaError, usageError } from '../../verbs/errors.js';
import {
  checkOptions,
  integer,
  MAX_MILLIS,
  nameOf,
  type Rules,
  signal,
  truth,
} from '../../verbs/option-check.js';
import { RemoteBuffer } from '../memory/remote-buffer.js';
import type { CallOptions, OneSidedOptions, SendOptions } from './call-options.js';
import type { OpenStreamOptions } from './connection-stream.js';
import type { GrantOptions } from './grant.js';

const WAIT: Rules<CallOptions> = { signal, timeoutMillis: integer(0, MAX_MILLIS) };

const SEND: Rules<SendOptions> = { ...WAIT, tag: integer(0, 0xffff) };

const ONE_SIDED: Rules<OneSidedOptions> = { ...WAIT, repeatable: truth };

const mark = integer(0, 2 ** 30);

const MAX_ALLOCATED_BYTES = 2 ** 32;

const OPEN_STREAM: Rules<OpenStreamOptions> = {
  signal,
  allowHalfOpen: truth,
  highWaterMark: mark,
  readableHighWaterMark: mark,
  writableHighWaterMark: mark,
};

const GRANT: Rules<GrantOptions> = {
  read: truth,
  write: truth,
  expires: (value) =>
    value instanceof Date && !Number.isNaN(value.getTime()) ? undefined : 'a Date that is valid',
};

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT. */
export const checkSend = (options: unknown): void => checkOptions('send', options, SEND);

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT. */
export const checkReceive = (options: unknown): void => checkOptions('receive', options, WAIT);

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT. */
export function checkOneSided(what: 'read' | 'write', remote: unknown, options: unknown): void {
  if (!(remote instanceof RemoteBuffer)) {
    const hint = remote === null ? ': the peer grants nothing' : '';
    throw usageError(`remote must be a RemoteBuffer, not ${nameOf(remote)}${hint}`);
  }
  checkOptions(what, options, ONE_SIDED);
}

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT. */
export const checkOpenStream = (options: unknown): void => checkOptions('openStream', options, OPEN_STREAM);

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT. */
export const checkGrant = (options: unknown): void => checkOptions('grant', options, GRANT);

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT. */
export function checkAllocate(bytes: unknown): void {
  if (Number.isInteger(bytes) && (bytes as number) > 0 && (bytes as number) <= MAX_ALLOCATED_BYTES) return;
  throw usageError(`allocate(bytes): bytes must be an integer from 1 to 2^32, not ${nameOf(bytes)}`);
}

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT. */
export function checkReason(error: unknown): void {
  if (!(error instanceof RdmaError)) {
    throw usageError(`abort(error): error must be an RdmaError, not ${nameOf(error)}`);
  }
}
