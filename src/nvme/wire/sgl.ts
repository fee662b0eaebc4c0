/**
 * Scatter gather descriptors, of which a command over RDMA has exactly one: it says where the command's data lies. Layout
 * (little endian): keyed: 0 address u64, 8 length u24, 11 key u32, 15 type; in the capsule: 0 offset u64, 8 length u32, 15 type.
 */

/** The byte at offset 15: kind of descriptor in the upper half, its variant in the lower. */
export const SglType = {
  /** Memory of the host, by key. With length 0: no data. */
  KEYED: 0x40,
  /** The same, and the host asks for its key to be invalidated with the answer. */
  KEYED_INVALIDATE: 0x4f,
  /** Behind the command, in its capsule. */
  IN_CAPSULE: 0x01,
} as const;

/** One descriptor, filled anew by {@link readSgl}. */
export class Sgl {
  type = 0;
  length = 0;
  /** Of the host; a number wherever it fits into one. */
  addr: number | bigint = 0;
  rkey = 0;
  /** In the capsule, behind the command. */
  offset = 0;
}

const MAX_EXACT_HIGH = 0x1f_ffff;
const TWO_32 = 0x1_0000_0000;

/** Returns whether the type is one of {@link SglType}. An offset beyond what numbers hold becomes infinite. */
export function readSgl(view: DataView, at: number, into: Sgl): boolean {
  const type = view.getUint8(at + 15);
  const low = view.getUint32(at, true);
  const high = view.getUint32(at + 4, true);
  into.type = type;
  into.addr = 0;
  into.rkey = 0;
  into.offset = 0;
  if (type === SglType.KEYED || type === SglType.KEYED_INVALIDATE) {
    into.addr = high <= MAX_EXACT_HIGH ? high * TWO_32 + low : view.getBigUint64(at, true);
    into.length = view.getUint16(at + 8, true) | (view.getUint8(at + 10) << 16);
    into.rkey = view.getUint32(at + 11, true);
    return true;
  }
  into.length = view.getUint32(at + 8, true);
  into.offset = high === 0 ? low : Number.POSITIVE_INFINITY;
  return type === SglType.IN_CAPSULE;
}

export function writeKeyedSgl(
  view: DataView,
  at: number,
  { addr, rkey, length, type = SglType.KEYED }: { addr: bigint; rkey: number; length: number; type?: number },
): void {
  view.setBigUint64(at, addr, true);
  view.setUint16(at + 8, length & 0xffff, true);
  view.setUint8(at + 10, length >>> 16);
  view.setUint32(at + 11, rkey, true);
  view.setUint8(at + 15, type);
}

export function writeCapsuleSgl(view: DataView, at: number, length: number): void {
  view.setBigUint64(at, 0n, true);
  view.setUint32(at + 8, length, true);
  view.setUint32(at + 12, SglType.IN_CAPSULE << 24, true);
}
