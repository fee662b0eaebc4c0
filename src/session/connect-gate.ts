/**
 * Who may begin a TLS handshake: so many connections of one address at a time, and so many new ones a second. The limits
 * are those of a neighbour who behaves; a flood of one address then costs that address its places, and nobody else's.
 *
 * Invariants: an address that holds nothing and has not come lately is forgotten, and never more than `MAX_KNOWN` are
 * known; IPv6 counts by /64, because that is what one host can have.
 */
import { usageError } from '../verbs/errors.js';
import { networkOf } from './network-of.js';

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
  /** Connects that it may make at `at`; grows with time, up to the burst. */
  tokens: number;
  atMillis: number;
}

export class ConnectGate {
  readonly #limits: Required<AdmissionLimits>;
  readonly #now: () => number;
  /** In the order of their last visit. */
  readonly #visitors = new Map<string, Visitor>();

  constructor(limits: Required<AdmissionLimits>, now: () => number = () => performance.now()) {
    this.#limits = limits;
    this.#now = now;
  }

  /** Addresses that are remembered. */
  get known(): number {
    return this.#visitors.size;
  }

  /** Counts a connection in; returns why it may not stay, or `undefined`. Either way `leave` must follow its end. */
  enter(address: string): string | undefined {
    const { maxPerAddress, connectsPerSecond } = this.#limits;
    const visitor = this.#visit(networkOf(address));
    visitor.open++;
    if (visitor.tokens < 1) return `more than ${connectsPerSecond} connections a second from this address`;
    visitor.tokens--;
    if (visitor.open > maxPerAddress)
      return `more than ${maxPerAddress} connections at once from this address`;
    return undefined;
  }

  leave(address: string): void {
    const visitor = this.#visitors.get(networkOf(address));
    if (visitor !== undefined && visitor.open > 0) visitor.open--;
  }

  #visit(network: string): Visitor {
    const { connectsPerSecond, burst } = this.#limits;
    const now = this.#now();
    const known = this.#visitors.get(network) ?? { open: 0, tokens: burst, atMillis: now };
    known.tokens = Math.min(burst, known.tokens + ((now - known.atMillis) / 1000) * connectsPerSecond);
    known.atMillis = now;
    this.#visitors.delete(network);
    this.#forget(now);
    this.#visitors.set(network, known);
    return known;
  }

  /** Those who would be treated as new ones anyway; and, if there are too many, whoever came longest ago. */
  #forget(now: number): void {
    const { connectsPerSecond, burst } = this.#limits;
    const forgottenMillis = (burst / connectsPerSecond) * 1000;
    for (const [network, visitor] of this.#visitors) {
      const isStranger = visitor.open === 0 && now - visitor.atMillis >= forgottenMillis;
      if (!isStranger && this.#visitors.size < MAX_KNOWN) return;
      this.#visitors.delete(network);
    }
  }
}
