/**
 * Where the queue pair at the other end is: all that one end must know of the other to bring its queue pair up. Plain
 * data without a hint of how it came here: over TLS, through rdma_cm, or by any other way that two programs have.
 */
import { parseGid } from './address.js';
import { type Psn, type Qpn, toPsn, toQpn } from './brands.js';
import { usageError } from './errors.js';
import { type PathMtu, toPathMtu } from './mtu.js';

export interface PeerPath {
  /** IPv6 text; `::ffff:192.0.2.7` for IPv4. */
  readonly gid: string;
  /** Where its device takes packets: 4791, but for soft devices that share a host. */
  readonly udpPort: number;
  readonly qpn: Qpn;
  /** The first PSN that it sends. Whoever knows it can forge packets: keep it off channels that others can read. */
  readonly psn: Psn;
  /** Payload bytes of its largest packets. Both ends use the smaller of the two. */
  readonly mtu: PathMtu;
  /** READs and atomics that it can hold as responder: as many may be under way to it. 0 = none. */
  readonly rdAtomic: number;
}

const MAX_RD_ATOMIC = 255;

/**
 * Reads a path out of what a peer sent, as `JSON.parse` returns it. Properties that a path does not have are left out.
 *
 * @throws RdmaError ERR_RDMA_INVALID_ARGUMENT, naming the property that is missing or wrong.
 */
export function toPeerPath(value: unknown): PeerPath {
  if (typeof value !== 'object' || value === null) throw usageError('a peer path must be an object');
  const { gid, udpPort, qpn, psn, mtu, rdAtomic } = value as Record<string, unknown>;
  if (typeof gid !== 'string' || parseGid(gid) === undefined) {
    throw usageError('gid of a peer path must be an IPv6 address, or ::ffff:a.b.c.d for IPv4');
  }
  return {
    gid,
    udpPort: integer('udpPort', udpPort, 1, 65_535),
    qpn: toQpn(qpn as number),
    psn: toPsn(psn as number),
    mtu: toPathMtu(mtu as number),
    rdAtomic: integer('rdAtomic', rdAtomic, 0, MAX_RD_ATOMIC),
  };
}

function integer(name: string, value: unknown, min: number, max: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value;
  throw usageError(`${name} of a peer path must be an integer from ${min} to ${max}`);
}
