/** What every device says about wrong calls, once: the same mistake reads the same on each of them. */
import { RdmaError, usageError } from './errors.js';
import { type QpState, qpStateName } from './qp-state.js';

export const wrongCqCapacity = (capacity: number, maxCqe: number): RdmaError =>
  usageError(`a completion queue holds 1 to ${maxCqe} entries, not ${capacity}`);

export const foreignChannel = (): RdmaError =>
  usageError('channel must be an open completion channel of this device');

export const foreignCq = (): RdmaError =>
  usageError('sendCq and recvCq must be open completion queues of this device');

export const foreignSrq = (): RdmaError =>
  usageError('srq must be an open shared receive queue of this device');

export const foreignRegion = (): RdmaError =>
  usageError('the memory region of an SGE belongs to another device');

export const foreignBinding = (): RdmaError =>
  usageError('the memory window or region of a BIND_MW belongs to another device');

export const foreignAddressHandle = (): RdmaError =>
  usageError('the address handle belongs to another device');

export const emptyRegion = (): RdmaError => usageError('a memory region needs at least one byte');

export const unarmable = (): RdmaError =>
  new RdmaError('ERR_RDMA_INVALID_STATE', 'the completion queue was created without a channel');

export const overrun = (capacity: number): RdmaError =>
  new RdmaError(
    'ERR_RDMA_INVALID_STATE',
    `the completion queue overran its ${capacity} entries and lost completions; create a larger one`,
  );

export const tooEarlyToSend = (state: QpState): RdmaError =>
  new RdmaError(
    'ERR_RDMA_INVALID_STATE',
    `postSend needs a queue pair in RTS, this one is in ${qpStateName(state)}`,
  );

export const tooEarlyToReceive = (): RdmaError =>
  new RdmaError(
    'ERR_RDMA_INVALID_STATE',
    'postRecv needs a queue pair in INIT or later, this one is in RESET',
  );

export const receivesAreShared = (): RdmaError =>
  usageError('the queue pair has a shared receive queue: post to that one');

export const tooManySges = (count: number, limit: string, max: number): RdmaError =>
  usageError(`the request has ${count} SGEs, but ${limit} is ${max}`);

export const tooMuchInline = (lengthBytes: number, max: number): RdmaError =>
  usageError(`inlineData has ${lengthBytes} bytes, but maxInlineData is ${max}`);

export const tooLong = (lengthBytes: number): RdmaError =>
  usageError(`a message of ${lengthBytes} bytes is too long: 2^31 at most`);

export const wrongWrId = (): RdmaError => usageError('wrId must be a safe integer');
