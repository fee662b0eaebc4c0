/**
 * Memory that a program gives: any view and any buffer, taken by its bytes. What is no memory, or memory that is gone, is
 * refused before anything else happens.
 */
import { usageError } from '../../verbs/errors.js';
import { nameOf } from '../../verbs/option-check.js';

/** A view of any kind, or a whole buffer. */
export type Memory = ArrayBufferView | ArrayBufferLike;

/**
 * The bytes of `value`; `name` is what the caller calls it.
 *
 * @throws RdmaError ERR_RDMA_INVALID_ARGUMENT when it has none: another thing, a detached buffer, or a view that reaches
 * beyond a buffer that shrank.
 */
export function bytesOf(value: unknown, name: string, others = ''): Uint8Array {
  const isView = ArrayBuffer.isView(value);
  if (!isView && !isBuffer(value)) {
    throw usageError(`${name} must be ${others}a typed array, a DataView or a buffer, not ${nameOf(value)}`);
  }
  try {
    if (!isView) return new Uint8Array(value);
    // Of a view that reaches beyond its buffer only the methods say so; its length is 0.
    if (value.byteLength === 0 && !(value instanceof DataView)) (value as Uint8Array).keys();
    return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof RangeError)) throw error;
    throw usageError(
      `${name} is memory that is gone: its buffer was transferred, detached or resized; give memory that is there`,
    );
  }
}

/** Whether memory of that length may be there no more without its view being replaced. */
export const mayShrink = ({ buffer }: Uint8Array): boolean =>
  buffer instanceof ArrayBuffer &&
  (buffer as ArrayBuffer & { readonly resizable?: boolean }).resizable === true;

const isBuffer = (value: unknown): value is ArrayBufferLike =>
  value instanceof ArrayBuffer || value instanceof SharedArrayBuffer;
