/** What rping's two ends tell each other: the pattern of a ping, and the 16 bytes that name a buffer. */

/** `struct rping_rdma_info`: address u64, rkey u32, size u32, all big-endian. */
export const BUFFER_INFO_BYTES = 16;

export interface BufferInfo {
  readonly addr: bigint;
  readonly rkey: number;
  readonly sizeBytes: number;
}

const RKEY_AT = 8;
const SIZE_AT = 12;

export function writeBufferInfo(into: Uint8Array, { addr, rkey, sizeBytes }: BufferInfo): void {
  const view = new DataView(into.buffer, into.byteOffset, BUFFER_INFO_BYTES);
  view.setBigUint64(0, addr);
  view.setUint32(RKEY_AT, rkey);
  view.setUint32(SIZE_AT, sizeBytes);
}

export function readBufferInfo(bytes: Uint8Array): BufferInfo {
  const view = new DataView(bytes.buffer, bytes.byteOffset, BUFFER_INFO_BYTES);
  return { addr: view.getBigUint64(0), rkey: view.getUint32(RKEY_AT), sizeBytes: view.getUint32(SIZE_AT) };
}

const FIRST_LETTER = 65;
const LAST_LETTER = 122;
const LETTERS = LAST_LETTER - FIRST_LETTER + 1;

/** `rdma-ping-N: ` and letters up to the size, another first letter each time; ended by a zero byte, as text of C is. */
export function writePing(into: Uint8Array, round: number): void {
  const head = `rdma-ping-${round}: `;
  for (let i = 0; i < into.length; i++) {
    into[i] = i < head.length ? head.charCodeAt(i) : FIRST_LETTER + ((round + i - head.length) % LETTERS);
  }
  into[into.length - 1] = 0;
}

/** Up to the zero byte. */
export function readPing(bytes: Uint8Array): string {
  return Buffer.from(bytes.subarray(0, pingBytes(bytes) - 1)).toString('latin1');
}

/** With the zero byte. Where there is none, all of it. */
export function pingBytes(bytes: Uint8Array): number {
  const end = bytes.indexOf(0);
  return end === -1 ? bytes.length : end + 1;
}
