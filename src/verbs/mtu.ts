/** Path MTU: the payload bytes of a full packet. Never negotiated on the wire; both ends must configure the same. */
import { usageError } from './errors.js';

export type PathMtu = 256 | 512 | 1024 | 2048 | 4096;
export const PATH_MTUS: readonly PathMtu[] = [256, 512, 1024, 2048, 4096];

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT unless `bytes` is one of the five values. */
export function toPathMtu(bytes: number): PathMtu {
  const mtu = PATH_MTUS.find((value) => value === bytes);
  if (mtu === undefined) throw usageError(`path MTU must be one of ${PATH_MTUS.join(', ')}, not ${bytes}`);
  return mtu;
}

/** IPv6 (40) + UDP (8) + BTH (12) + largest extension headers (28 AtomicETH) + ICRC (4), rounded as rxe does. */
export const ROCE_OVERHEAD_BYTES = 80;

/** The largest path MTU whose packets fit into `linkMtuBytes` without fragmentation; 256 at the least. */
export function activeMtuFor(linkMtuBytes: number): PathMtu {
  let best: PathMtu = 256;
  for (const mtu of PATH_MTUS) if (mtu + ROCE_OVERHEAD_BYTES <= linkMtuBytes) best = mtu;
  return best;
}

/** `enum ibv_mtu`: 256 → 1 … 4096 → 5, as libibverbs and the stock tools write it. */
export const mtuToEnum = (mtu: PathMtu): number => PATH_MTUS.indexOf(mtu) + 1;

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT for a value outside 1–5. */
export function mtuFromEnum(value: number): PathMtu {
  const mtu = PATH_MTUS[value - 1];
  if (mtu === undefined) throw usageError(`an MTU enum is 1 to 5, not ${value}`);
  return mtu;
}
