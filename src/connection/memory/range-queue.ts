/**
 * Which transfer uses which part of the peer's memory: reads share it, a write has it alone, and each waits for all before it
 * that are in its way.
 *
 * Invariants: a claim that was given back is held by nobody. What a claim costs has a bound: it is compared with
 * MAX_COMPARED others at most, and further ones wait in a line until it is their turn to be compared.
 */
export interface Claim {
  readonly from: number;
  readonly end: number;
  readonly isShared: boolean;
  /** Nothing is in its way. */
  isFree: boolean;
  /** Claims in its way, and those in whose way it is. */
  readonly blockers: Set<Claim>;
  readonly blocked: Set<Claim>;
  /** Called once when nothing is in the way any more. */
  onFree: (() => void) | null;
}

/** More than can be under way, so that those in line miss nothing. */
export const MAX_COMPARED = 512;

export class RangeQueue {
  readonly #compared = new Set<Claim>();
  /** In the order in which they came. */
  readonly #line = new Set<Claim>();
  /** The first address: what lies near it needs no BigInt to be compared. */
  #base: bigint | null = null;

  /** Claims that were not given back. */
  get size(): number {
    return this.#compared.size + this.#line.size;
  }

  /** Claims a range; it may be used at once if it `isFree`. */
  claim(from: bigint, length: number, isShared: boolean): Claim {
    this.#base ??= from;
    const claim = claimOf(Number(from - this.#base), length, isShared);
    if (this.#compared.size < MAX_COMPARED) this.#compare(claim);
    else this.#line.add(claim);
    return claim;
  }

  /** Gives a claim back, also one that still waits. */
  release(claim: Claim): void {
    claim.onFree = null;
    if (this.#line.delete(claim) || !this.#compared.delete(claim)) return;
    for (const other of claim.blockers) other.blocked.delete(claim);
    for (const other of claim.blocked) {
      other.blockers.delete(claim);
      if (other.blockers.size === 0) setFree(other);
    }
    this.#callNext();
  }

  #compare(claim: Claim): void {
    for (const other of this.#compared) {
      if (!areInTheWay(claim, other)) continue;
      other.blocked.add(claim);
      claim.blockers.add(other);
    }
    this.#compared.add(claim);
    if (claim.blockers.size === 0) setFree(claim);
  }

  #callNext(): void {
    for (const claim of this.#line) {
      if (this.#compared.size >= MAX_COMPARED) return;
      this.#line.delete(claim);
      this.#compare(claim);
    }
  }
}

function claimOf(from: number, length: number, isShared: boolean): Claim {
  const end = from + length;
  const isExact = Number.isSafeInteger(from) && Number.isSafeInteger(end);
  return {
    // What cannot be told apart is taken to be in the way of everything.
    from: isExact ? from : Number.NEGATIVE_INFINITY,
    end: isExact ? end : Number.POSITIVE_INFINITY,
    isShared,
    isFree: false,
    blockers: new Set(),
    blocked: new Set(),
    onFree: null,
  };
}

function setFree(claim: Claim): void {
  claim.isFree = true;
  claim.onFree?.();
}

const areInTheWay = (one: Claim, other: Claim): boolean =>
  one.from < other.end && other.from < one.end && !(one.isShared && other.isShared);
