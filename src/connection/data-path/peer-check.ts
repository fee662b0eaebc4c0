/**
 * Whether a queue pair may be tied to the path that a peer tells: a peer that lies could tie this side to itself, to
 * another connection of this process, or send its packets to third parties.
 *
 * A peer may well be in this process, and even on the same device. Then it names a queue pair of this device, and it is
 * the right one only if the other end of the same session told it: each end notes its queue pair here, under a secret
 * that the two ends of one TLS connection share and nobody else has, before it tells its path.
 */
import { timingSafeEqual } from 'node:crypto';
import type { PeerFault } from '../../session/session-data.js';
import { formatGid, parseGid } from '../../verbs/address.js';
import type { PeerPath } from '../../verbs/peer-path.js';
import type { SessionEnd } from './data-plane.js';

const RESERVED_QPNS: readonly number[] = [0, 1, 0xffffff];

type Told = Pick<PeerPath, 'qpn' | 'udpPort'>;

/** Where a queue pair of this process is. */
interface LocalEnd extends Told, Pick<SessionEnd, 'role'> {
  /** The bytes of the secret as a text of Latin-1: an array of bytes takes five times as much. */
  readonly secret: string;
  /** All addresses of its port. */
  readonly gids: ReadonlySet<string>;
  /** Another of the same number, on another device. */
  next: LocalEnd | null;
}

/** By queue pair number: thousands of them, each of which is almost always the only one. */
const localEnds = new Map<number, LocalEnd>();

/** The addresses that were noted last: those of one port are the same for all of its connections. */
let lastGids: ReadonlySet<string> = new Set();

function sharedGids(gids: readonly string[]): ReadonlySet<string> {
  const all = new Set(gids.map(canonical));
  const isSame = all.size === lastGids.size && [...all].every((gid) => lastGids.has(gid));
  if (!isSame) lastGids = all;
  return lastGids;
}

export interface OwnEnd {
  readonly path: Told;
  /** All addresses of the port. */
  readonly gids: readonly string[];
  /** Nobody but this process has queue pairs at these addresses and this UDP port. */
  readonly isExclusive: boolean;
}

export class PeerCheck {
  #end: LocalEnd | undefined;
  #isExclusive = false;

  /** Queue pair numbers that are noted: of connections that are there, and of no others. */
  static get noted(): number {
    return localEnds.size;
  }

  /** Call it before the path is told: the peer may be here, too. */
  note(own: OwnEnd, end: SessionEnd): void {
    this.release();
    const { qpn, udpPort } = own.path;
    const next = localEnds.get(qpn) ?? null;
    const secret = Buffer.from(end.secret).toString('latin1');
    this.#end = { qpn, udpPort, gids: sharedGids(own.gids), role: end.role, secret, next };
    this.#isExclusive = own.isExclusive;
    localEnds.set(qpn, this.#end);
  }

  /** `sessionAddress`: where the peer's end of the session is; `null` when its device may be elsewhere. */
  fault(peer: PeerPath, sessionAddress: string | null): PeerFault | undefined {
    if (RESERVED_QPNS.includes(peer.qpn))
      return fault('reserved_qpn', `no connection can have the queue pair number ${peer.qpn}`);
    const gid = canonical(peer.gid);
    if (!isUnicast(gid)) return fault('impossible_gid', 'the GID is not the address of one machine');
    const end = this.#end;
    if (end !== undefined && peer.udpPort === end.udpPort && end.gids.has(gid)) {
      const ends = endsOf(peer.qpn);
      for (const other of ends) if (isOtherEnd(end, other, gid)) return undefined;
      const isOurs = ends.some(({ gids }) => gids.has(gid));
      if (isOurs || this.#isExclusive)
        return fault('own_queue_pair', 'the queue pair belongs to the side that was told of it');
    }
    if (sessionAddress === null || isOneHost(canonical(sessionAddress), gid)) return undefined;
    const hint =
      "path.peerAddress: 'any' (--peer-address any) at the side that refuses allows a device with another address";
    return fault('foreign_gid', `the GID is not the address of its end of the session; ${hint}`);
  }

  /** The queue pair is gone. */
  release(): void {
    const end = this.#end;
    if (end === undefined) return;
    this.#end = undefined;
    const { qpn } = end;
    const first = localEnds.get(qpn);
    if (first !== end) {
      for (let other = first ?? null; other !== null; other = other.next)
        if (other.next === end) other.next = end.next;
    } else if (end.next === null) localEnds.delete(qpn);
    else localEnds.set(qpn, end.next);
  }
}

function endsOf(qpn: number): LocalEnd[] {
  const ends: LocalEnd[] = [];
  for (let end = localEnds.get(qpn) ?? null; end !== null; end = end.next) ends.push(end);
  return ends;
}

const isOtherEnd = (end: LocalEnd, other: LocalEnd, gid: string): boolean =>
  other !== end &&
  other.role !== end.role &&
  other.udpPort === end.udpPort &&
  other.gids.has(gid) &&
  timingSafeEqual(Buffer.from(other.secret, 'latin1'), Buffer.from(end.secret, 'latin1'));

const fault = (reason: string, message: string): PeerFault => ({ reason, message });

/** One text for each address. A zone says how this machine reaches it and is no part of it. */
function canonical(address: string): string {
  const [text = ''] = address.split('%');
  const parsed = parseGid(text);
  return parsed === undefined ? text : formatGid(parsed);
}

/** Loopback addresses are all of this machine. */
const isOneHost = (a: string, b: string): boolean => a === b || (isLoopback(a) && isLoopback(b));

const isLoopback = (gid: string): boolean => gid === '::1' || gid.startsWith('::ffff:127.');

/** Neither unspecified, nor multicast, nor broadcast. */
function isUnicast(gid: string): boolean {
  if (gid === '::' || /^ff/.test(gid)) return false;
  const ipv4 = /^::ffff:(\d+)\./.exec(gid);
  if (ipv4 === null) return true;
  const first = Number(ipv4[1]);
  return first !== 0 && first < 224;
}
