/**
 * Bytes of files: hashed as they are read, and written without their zeros.
 *
 * Invariant: what lies side by side is written by one call, so that a disk that is behind costs fewer of them.
 */
import type { Hash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { isZero, ZERO_BLOCK_BYTES } from './zeros.js';

const READ_BYTES = 1024 * 1024;
/** IOV_MAX of the systems there are is 1024. */
const MAX_VECTORS = 512;
/** Hashed in some 60 µs, as long as a window of packets takes. */
const SLICE_BYTES = 128 * 1024;
const ZEROS = new Uint8Array(READ_BYTES);

/** Called amid long work; what it throws ends that. */
export type GoOn = () => void;

/** Of a file. */
export interface Stretch {
  readonly at: number;
  readonly bytes: Uint8Array;
}

/** Adds bytes `from` up to `to` of the file, which go into `copy` as well; whether there were so many. */
export async function hashFile(
  file: FileHandle,
  hash: Hash,
  from: number,
  to: number,
  goOn: GoOn,
  copy?: FileHandle,
): Promise<boolean> {
  const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, Math.max(1, to - from)));
  for (let at = from; at < to; ) {
    const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, to - at), at);
    goOn();
    if (bytesRead === 0) return false;
    const bytes = buffer.subarray(0, bytesRead);
    hash.update(bytes);
    if (copy !== undefined) await writeSparse(copy, [{ at, bytes }]);
    at += bytesRead;
  }
  return true;
}

/**
 * Adds bytes that stay as they are meanwhile, a slice in a turn of the event loop: what a device answers late looks to its peer like
 * a path with a queue, and the peer sends slower.
 */
export async function hashInSlices(hash: Hash, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; at += SLICE_BYTES) {
    if (at > 0) await nextTurn();
    hash.update(bytes.subarray(at, at + SLICE_BYTES));
  }
}

export function hashZeros(hash: Hash, length: number): void {
  for (let left = length; left > 0; left -= ZEROS.length) hash.update(ZEROS.subarray(0, left));
}

/** Blocks of zeros are left out. */
export async function writeSparse(file: FileHandle, stretches: readonly Stretch[]): Promise<void> {
  let run: Uint8Array[] = [];
  let [from, to] = [0, 0];
  for (const { at, bytes } of stretches) {
    for (const { begin, end } of written(bytes)) {
      if (at + begin !== to || run.length === MAX_VECTORS) {
        await writeRun(file, run, from);
        run = [];
      }
      if (run.length === 0) from = at + begin;
      run.push(bytes.subarray(begin, end));
      to = at + end;
    }
  }
  await writeRun(file, run, from);
}

/** What of the bytes is no block of zeros. */
function* written(bytes: Uint8Array): Generator<{ readonly begin: number; readonly end: number }> {
  let at = 0;
  while (at < bytes.length) {
    let end = at;
    while (end < bytes.length && isZero(bytes, end)) end += ZERO_BLOCK_BYTES;
    at = end;
    while (end < bytes.length && !isZero(bytes, end)) end += ZERO_BLOCK_BYTES;
    end = Math.min(end, bytes.length);
    if (at < end) yield { begin: at, end };
    at = end;
  }
}

async function writeRun(file: FileHandle, run: readonly Uint8Array[], position: number): Promise<void> {
  let [left, at] = [run, position];
  while (left.length > 0) {
    const [first] = left;
    const { bytesWritten } =
      left.length === 1 && first !== undefined
        ? await file.write(first, 0, first.length, at)
        : await file.writev(left as Uint8Array[], at);
    at += bytesWritten;
    left = behind(left, bytesWritten);
  }
}

/** What is left of it behind so many bytes: a disk may take, or give, less than it was asked to. */
export function behind(run: readonly Uint8Array[], count: number): Uint8Array[] {
  const rest: Uint8Array[] = [];
  let skip = count;
  for (const bytes of run) {
    if (skip < bytes.length) rest.push(bytes.subarray(skip));
    skip = Math.max(0, skip - bytes.length);
  }
  return rest;
}
