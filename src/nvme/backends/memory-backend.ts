/**
 * Blocks in memory, gone with the process. The memory is shared, so that other threads of the program can look at it.
 */
import { usageError } from '../../verbs/errors.js';
import { measureFault, type NvmeBackend } from '../backend.js';

const DEFAULT_BLOCK_BYTES = 4096;

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
  const clear = (offset: number, length: number): void => void bytes.fill(0, offset, offset + length);
  return {
    sizeBytes,
    blockBytes,
    read: (offset, into) => into.set(bytes.subarray(offset, offset + into.length)),
    write: (offset, from) => bytes.set(from, offset),
    flush: () => {},
    writeZeroes: clear,
    trim: clear,
  };
}
