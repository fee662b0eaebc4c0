/**
 * Where the blocks of a namespace are: what a target needs of it. Offsets and lengths are bytes, multiples of `blockBytes` and
 * inside of `sizeBytes`, because the target has checked them.
 *
 * A function may return nothing when it is done at once, or a promise. One that throws or rejects makes the host's command fail, and
 * nothing else. The memory that it gets belongs to the target again as soon as it is done. Several may run at a time.
 */
export interface NvmeBackend {
  readonly sizeBytes: number;
  /** 512 or 4096, or a power of two between. */
  readonly blockBytes: number;
  /** Fills all of `into`: what it leaves out reads as zeros. */
  read(offsetBytes: number, into: Uint8Array): void | Promise<void>;
  /** `options.durable`: done only when the bytes survive a crash (FUA). */
  write(offsetBytes: number, from: Uint8Array, options: NvmeWriteOptions): void | Promise<void>;
  /** Done when every write that was done before survives a crash. */
  flush(): void | Promise<void>;
  /** Left out: hosts write zeroes themselves. */
  writeZeroes?(offsetBytes: number, lengthBytes: number, options: NvmeWriteOptions): void | Promise<void>;
  /** The host does not need these bytes any more; they read as zeros or as before. Left out: hosts do not tell. */
  trim?(offsetBytes: number, lengthBytes: number): void | Promise<void>;
}

export interface NvmeWriteOptions {
  readonly durable: boolean;
}

const FILLING = new WeakSet<NvmeBackend>();

/** Backends of this project, which fill every read: their buffers need not be cleared before. */
export function markFilling<Backend extends NvmeBackend>(backend: Backend): Backend {
  FILLING.add(backend);
  return backend;
}

export const fillsReads = (backend: NvmeBackend): boolean => FILLING.has(backend);

/** Of every backend. */
export const BLOCK_BYTES = [512, 1024, 2048, 4096] as const;

/** What is wrong with the measures of a backend, as the end of a sentence. */
export function measureFault({
  sizeBytes,
  blockBytes,
}: Pick<NvmeBackend, 'sizeBytes' | 'blockBytes'>): string | undefined {
  if (!BLOCK_BYTES.some((size) => size === blockBytes))
    return `blockBytes must be one of ${BLOCK_BYTES.join(', ')}`;
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes < blockBytes || sizeBytes % blockBytes !== 0) {
    return 'sizeBytes must be a multiple of blockBytes, and not 0';
  }
  return undefined;
}
