/**
 * Blocks in memory, gone with the process. The memory is shared, so that other threads of the program can look at it.
 *
 * Invariant: what clears much lets the program go on after every piece, however many hosts ask for it.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { usageError } from '../../verbs/errors.js';
import { markFilling, measureFault, type NvmeBackend } from '../backend.js';

const DEFAULT_BLOCK_BYTES = 4096;
const PIECE_BYTES = 1 << 20;

export interface MemoryBackendOptions {
  /** Default 4096. */
  readonly blockBytes?: number;
}

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT for a size that is no multiple of the blocks'. */
export function memoryBackend(
  memory: number | SharedArrayBuffer,
  { blockBytes = DEFAULT_BLOCK_BYTES }: MemoryBackendOptions = {},
): NvmeBackend {
  const sizeBytes = typeof memory === 'number' ? memory : memory.byteLength;
  const fault = measureFault({ sizeBytes, blockBytes });
  if (fault !== undefined) throw usageError(`memoryBackend: ${fault}`);
  const bytes = new Uint8Array(typeof memory === 'number' ? new SharedArrayBuffer(memory) : memory);
  let clearing = Promise.resolve();
  const clearPieces = async (offset: number, length: number): Promise<void> => {
    for (let at = offset; at < offset + length; at += PIECE_BYTES) {
      bytes.fill(0, at, Math.min(at + PIECE_BYTES, offset + length));
      await nextTurn();
    }
  };
  const clear = (offset: number, length: number): void | Promise<void> => {
    if (length <= PIECE_BYTES) {
      bytes.fill(0, offset, offset + length);
      return;
    }
    clearing = clearing.then(() => clearPieces(offset, length));
    return clearing;
  };
  return markFilling({
    sizeBytes,
    blockBytes,
    read: (offset, into) => into.set(bytes.subarray(offset, offset + into.length)),
    write: (offset, from) => bytes.set(from, offset),
    flush: () => {},
    writeZeroes: clear,
    trim: clear,
  });
}
