/**
 * Who may begin a TLS handshake: so many connections of one address at a time, and so many new ones a second. The limits
 * are those of a neighbour who behaves; a flood of one address then costs that address its places, and nobody else's.
 *
 * Invariants: an address that holds nothing and has not come lately is forgotten, whoever else stays; never more than `MAX_KNOWN` are
 * known, and one that holds something is forgotten last; IPv6 counts by /64, because that is what one host can have.
 */
import { usageError } from '../verbs/errors.js';
import { networkOf } from './network-of.js';
import { BUCKET_WORDS, MOST_BURST, TokenBucket } from './token-bucket.js';

export interface AdmissionLimits {
  /** TCP connections of one address at a time, in TLS or established. Default 128. */
  readonly maxPerAddress?: number;
  /** New TCP connections of one address a second, in the long run. Default 100. */
  readonly connectsPerSecond?: number;
  /** New TCP connections of one address at once, after a while without any. Default 300. */
  readonly burst?: number;
  /** Connections in TLS at a time, of all addresses; when full, the oldest gives way. Default 128. */
  readonly maxHandshakes?: number;
  /** Connections of one verified certificate at a time. Default: as many as there are slots. */
  readonly maxPerIdentity?: number;
  /** Connections that the operating system keeps until the server takes them. Default 511. */
  readonly backlog?: number;
}

const DEFAULTS: Required<AdmissionLimits> = {
  maxPerAddress: 128,
  connectsPerSecond: 100,
  burst: 300,
  maxHandshakes: 128,
  maxPerIdentity: Number.MAX_SAFE_INTEGER,
  backlog: 511,
};

const MAX_KNOWN = 65_536;

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT for a limit that is not an integer above 0. */
export function admissionLimits(limits: AdmissionLimits = {}): Required<AdmissionLimits> {
  const all = { ...DEFAULTS, ...limits };
  for (const [name, value] of Object.entries(all)) {
    if (!Number.isInteger(value) || value < 1) {
      throw usageError(`admission.${name} must be an integer of 1 or more, not ${value}`);
    }
  }
  return all;
}

interface Visitor {
  open: number;
  /** Connects that it may make. */
  readonly bucket: TokenBucket;
}

export class ConnectGate {
  readonly #limits: Required<AdmissionLimits>;
  readonly #now: () => number;
  /** Those with connections, in the order of their last visit. */
  readonly #present = new Map<string, Visitor>();
  /** Those without, in the order in which they left: one that stays keeps none of them from being forgotten. */
  readonly #gone = new Map<string, Visitor>();

  constructor(limits: Required<AdmissionLimits>, now: () => number = () => performance.now()) {
    this.#limits = limits;
    this.#now = now;
  }

  /** Addresses that are remembered. */
  get known(): number {
    return this.#present.size + this.#gone.size;
  }

  /** Counts a connection in; returns why it may not stay, or `undefined`. Either way `leave` must follow its end. */
  enter(address: string): string | undefined {
    const { maxPerAddress, connectsPerSecond } = this.#limits;
    const now = this.#now();
    const visitor = this.#visit(networkOf(address), now);
    visitor.open++;
    if (!visitor.bucket.refill(now))
      return `more than ${connectsPerSecond} connections a second from this address`;
    visitor.bucket.take(1, now);
    if (visitor.open > maxPerAddress)
      return `more than ${maxPerAddress} connections at once from this address`;
    return undefined;
  }

  leave(address: string): void {
    const network = networkOf(address);
    const visitor = this.#present.get(network);
    if (visitor === undefined || --visitor.open > 0) return;
    this.#present.delete(network);
    this.#gone.set(network, visitor);
  }

  #visit(network: string, now: number): Visitor {
    const visitor = this.#present.get(network) ?? this.#gone.get(network) ?? this.#stranger(now);
    this.#present.delete(network);
    this.#gone.delete(network);
    this.#forget(now);
    this.#present.set(network, visitor);
    return visitor;
  }

  #stranger(now: number): Visitor {
    const { connectsPerSecond: perSecond, burst } = this.#limits;
    const rate = { perSecond, burst: Math.min(burst, MOST_BURST) };
    const bucket = new TokenBucket(new Int32Array(BUCKET_WORDS), 0, rate);
    bucket.fill(now);
    return { open: 0, bucket };
  }

  /** Those who would be treated as new ones anyway; and, if there are too many, whoever left, or else came, longest ago. */
  #forget(now: number): void {
    for (const [network, { bucket }] of this.#gone) {
      bucket.refill(now);
      if (!bucket.isFull && this.known < MAX_KNOWN) return;
      this.#gone.delete(network);
    }
    if (this.known < MAX_KNOWN) return;
    const [longestThere] = this.#present.keys();
    if (longestThere !== undefined) this.#present.delete(longestThere);
  }
}
