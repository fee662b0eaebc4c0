/**
 * Blocks in a file of fixed size.
 *
 * Invariant: a flush, and a durable write, are done only when the operating system says that the bytes are on the disk
 * (fdatasync). The system tells a failure of that once, and may have lost any bytes by then: from the first one on no flush is done. A
 * write that the file took in part only goes on with the rest.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { RdmaError, usageError } from '../../verbs/errors.js';
import { markFilling, measureFault, type NvmeBackend, type NvmeWriteOptions } from '../backend.js';

const DEFAULT_BLOCK_BYTES = 4096;
const ZEROS = new Uint8Array(1 << 20);

export interface FileBackendOptions {
  /** The file gets this size where it does not exist or is smaller. Default: what it has, down to a whole block. */
  readonly sizeBytes?: number;
  /** Default 4096. */
  readonly blockBytes?: number;
}

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT for sizes that cannot be; and what the file system says. */
export async function fileBackend(path: string, options: FileBackendOptions = {}): Promise<FileBackend> {
  const { blockBytes = DEFAULT_BLOCK_BYTES, sizeBytes: wanted } = options;
  if (wanted !== undefined) checkMeasures(wanted, blockBytes);
  const handle = await open(path, wanted === undefined ? 'r+' : 'a+').then(async (first) => {
    if (wanted === undefined) return first;
    // 'a+' makes the file; every write would go to its end.
    await first.close();
    return open(path, 'r+');
  });
  try {
    const { size } = await handle.stat();
    if (wanted !== undefined && size < wanted) await handle.truncate(wanted);
    if (wanted !== undefined) await syncFolder(path);
    const sizeBytes = wanted ?? size - (size % blockBytes);
    checkMeasures(sizeBytes, blockBytes);
    return new FileBackend(handle, sizeBytes, blockBytes);
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** A file that was made survives a crash only with its name. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function checkMeasures(sizeBytes: number, blockBytes: number): void {
  const fault = measureFault({ sizeBytes, blockBytes });
  if (fault !== undefined) throw usageError(`fileBackend: ${fault}`);
}

export class FileBackend implements NvmeBackend, AsyncDisposable {
  readonly sizeBytes: number;
  readonly blockBytes: number;
  readonly #handle: Pick<FileHandle, 'read' | 'write' | 'datasync' | 'close'>;
  #syncFailure: Error | undefined;

  /** @internal Made by `fileBackend`. */
  constructor(
    handle: Pick<FileHandle, 'read' | 'write' | 'datasync' | 'close'>,
    sizeBytes: number,
    blockBytes: number,
  ) {
    this.#handle = handle;
    this.sizeBytes = sizeBytes;
    this.blockBytes = blockBytes;
    markFilling(this);
  }

  async read(offsetBytes: number, into: Uint8Array): Promise<void> {
    for (let done = 0; done < into.length; ) {
      const { bytesRead } = await this.#handle.read(into, done, into.length - done, offsetBytes + done);
      if (bytesRead === 0) throw shrunk();
      done += bytesRead;
    }
  }

  async write(offsetBytes: number, from: Uint8Array, { durable }: NvmeWriteOptions): Promise<void> {
    await this.#writeAll(offsetBytes, from, from.length);
    if (durable) await this.#sync();
  }

  flush(): Promise<void> {
    return this.#sync();
  }

  async #sync(): Promise<void> {
    if (this.#syncFailure === undefined) {
      try {
        await this.#handle.datasync();
      } catch (error) {
        this.#syncFailure ??= unsynced(error);
      }
    }
    // Also when it was another call that the system told of it.
    if (this.#syncFailure !== undefined) throw this.#syncFailure;
  }

  async writeZeroes(offsetBytes: number, lengthBytes: number, { durable }: NvmeWriteOptions): Promise<void> {
    for (let done = 0; done < lengthBytes; done += ZEROS.length) {
      await this.#writeAll(offsetBytes + done, ZEROS, Math.min(ZEROS.length, lengthBytes - done));
    }
    if (durable) await this.#sync();
  }

  async #writeAll(offsetBytes: number, from: Uint8Array, length: number): Promise<void> {
    for (let done = 0; done < length; ) {
      const { bytesWritten } = await this.#handle.write(from, done, length - done, offsetBytes + done);
      if (bytesWritten === 0) throw new RdmaError('ERR_RDMA_LIMIT', 'the file takes no more bytes');
      done += bytesWritten;
    }
  }

  /** Close the target first: what hosts ask for meanwhile fails. */
  async close(): Promise<void> {
    await this.#handle.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

const shrunk = (): RdmaError =>
  new RdmaError('ERR_RDMA_LIMIT', 'the file became shorter while it was served; nobody else may change it');

const unsynced = (cause: unknown): RdmaError =>
  new RdmaError(
    'ERR_RDMA_LIMIT',
    `the file could not be made durable, and what was written since the last flush may be lost: ${cause instanceof Error ? cause.message : String(cause)}`,
    { cause },
  );
