/** What an I/O queue does with its host's commands: data between host and backend, and an answer. */

import type { NvmeBackend, NvmeWriteOptions } from '../backend.js';
import { IoOpcode } from '../wire/opcodes.js';
import { SglType } from '../wire/sgl.js';
import { DO_NOT_RETRY, Status } from '../wire/status.js';
import { checkIo, type IoRequest, readTrimRanges, type TrimRange } from './io-request.js';
import type { TargetRequest } from './request.js';
import type { Namespace, Subsystem } from './subsystem.js';
import type { QueueWork, TargetQueue } from './target-queue.js';

/** At a time; whole blocks of any size. */
const COMPARED_BYTES = 64 << 10;
const DURABLE: NvmeWriteOptions = { durable: true };
const VOLATILE: NvmeWriteOptions = { durable: false };
const durability = ({ isDurable }: IoRequest): NvmeWriteOptions => (isDurable ? DURABLE : VOLATILE);

export class IoWork implements QueueWork {
  readonly #subsystem: Subsystem;

  constructor(subsystem: Subsystem) {
    this.#subsystem = subsystem;
  }

  onCommand(queue: TargetQueue, request: TargetRequest): void {
    const { command, io, inCapsuleBytes } = request;
    // A host may switch its controller off with commands under way.
    if (queue.controller?.isReady !== true) {
      queue.answer(request, Status.COMMAND_SEQUENCE_ERROR);
      return;
    }
    const status = checkIo(command, inCapsuleBytes, this.#subsystem, io);
    if (status !== Status.SUCCESS) {
      queue.answer(request, status);
      return;
    }
    switch (command.opcode) {
      case IoOpcode.READ:
      case IoOpcode.WRITE:
      case IoOpcode.COMPARE:
      case IoOpcode.DATASET_MANAGEMENT:
        this.#begin(queue, request);
        return;
      default:
        queue.callBackend(request);
        return;
    }
  }

  #begin(queue: TargetQueue, request: TargetRequest): void {
    const { io, command } = request;
    if (io.lengthBytes === 0) {
      queue.answer(request, Status.SUCCESS);
      return;
    }
    if (command.opcode !== IoOpcode.READ && command.sgl.type === SglType.IN_CAPSULE) {
      this.#store(queue, request);
      return;
    }
    request.wantedBytes = io.lengthBytes;
    queue.services.pool.ask(request);
  }

  onBuffer(queue: TargetQueue, request: TargetRequest): void {
    const { io, command } = request;
    if (command.opcode !== IoOpcode.READ) {
      queue.fetch(request, io.lengthBytes);
      return;
    }
    queue.callBackend(request);
  }

  onData(queue: TargetQueue, request: TargetRequest): void {
    this.#store(queue, request);
  }

  /** Data of the host is here. */
  #store(queue: TargetQueue, request: TargetRequest): void {
    const { io } = request;
    if (io.isTrim) {
      const ranges = readTrimRanges(dataOf(queue, request), io.namespace as Namespace);
      if (ranges === undefined) {
        queue.answer(request, Status.LBA_OUT_OF_RANGE | DO_NOT_RETRY);
        return;
      }
      io.trimRanges = ranges;
    }
    queue.callBackend(request);
  }

  useBackend(queue: TargetQueue, request: TargetRequest): void | Promise<void> {
    const { io } = request;
    if (io.namespace === null) return flushAll(this.#subsystem);
    const { backend } = io.namespace;
    switch (io.opcode) {
      case IoOpcode.READ:
        return read(io.namespace, io.offsetBytes, dataOf(queue, request));
      case IoOpcode.WRITE:
        return backend.write(io.offsetBytes, dataOf(queue, request), durability(io));
      case IoOpcode.COMPARE:
        return compare(io, io.namespace, dataOf(queue, request));
      case IoOpcode.WRITE_ZEROES:
        return backend.writeZeroes?.(io.offsetBytes, io.lengthBytes, durability(io));
      case IoOpcode.DATASET_MANAGEMENT:
        return trim(backend, io.trimRanges);
      default:
        return backend.flush();
    }
  }

  onBackendDone(queue: TargetQueue, request: TargetRequest): void {
    const { io } = request;
    const { counters } = queue.services;
    if (io.opcode === IoOpcode.READ) {
      request.replyBytes = io.lengthBytes;
      counters.reads++;
      counters.bytesRead += io.lengthBytes;
    } else if (io.opcode === IoOpcode.WRITE) {
      counters.writes++;
      counters.bytesWritten += io.lengthBytes;
    } else if (io.opcode === IoOpcode.FLUSH) counters.flushes++;
    if (io.isDifferent) queue.answer(request, Status.COMPARE_FAILURE | DO_NOT_RETRY);
    else queue.answer(request, Status.SUCCESS);
  }

  onBackendFailed(queue: TargetQueue, request: TargetRequest): void {
    const { opcode } = request.io;
    if (opcode === IoOpcode.READ || opcode === IoOpcode.COMPARE)
      queue.answer(request, Status.UNRECOVERED_READ_ERROR);
    else queue.answer(request, opcode === IoOpcode.WRITE ? Status.WRITE_FAULT : Status.INTERNAL_ERROR);
  }
}

/** Where a request's data lies at this end. */
function dataOf(queue: TargetQueue, request: TargetRequest): Uint8Array {
  const { buffer, io } = request;
  return buffer === null
    ? queue.capsuleData(request, io.lengthBytes)
    : buffer.bytes.subarray(0, io.lengthBytes);
}

/** A buffer holds what another host read or wrote before, which a backend that fills it in part must not give away. */
function read(
  { backend, fillsReads }: Namespace,
  offsetBytes: number,
  into: Uint8Array,
): void | Promise<void> {
  if (!fillsReads) into.fill(0);
  return backend.read(offsetBytes, into);
}

/** Piece by piece, so that the memory for it stays small however much a host compares. */
async function compare(io: IoRequest, namespace: Namespace, wanted: Uint8Array): Promise<void> {
  const piece = new Uint8Array(Math.min(wanted.length, COMPARED_BYTES));
  for (let at = 0; at < wanted.length && !io.isDifferent; at += piece.length) {
    const found = piece.subarray(0, Math.min(piece.length, wanted.length - at));
    await read(namespace, io.offsetBytes + at, found);
    io.isDifferent = Buffer.compare(found, wanted.subarray(at, at + found.length)) !== 0;
  }
}

async function trim(backend: NvmeBackend, ranges: readonly TrimRange[]): Promise<void> {
  for (const { offsetBytes, lengthBytes } of ranges) await backend.trim?.(offsetBytes, lengthBytes);
}

export async function flushAll({ namespaces }: Subsystem): Promise<void> {
  const backends: NvmeBackend[] = namespaces.map(({ backend }) => backend);
  await Promise.all(backends.map((backend) => backend.flush()));
}
