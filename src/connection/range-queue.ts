/**
 * Who uses which part of the peer's memory: those who read share it, those who write have it alone, and whoever comes later
 * waits for all before that are in the way.
 */
export interface Claim {
  readonly from: bigint;
  readonly end: bigint;
  readonly isShared: boolean;
  /** Claims in the way. */
  blockers: number;
  readonly blocked: Claim[];
  /** Called once when nothing is in the way any more. */
  onFree: (() => void) | null;
}

export class RangeQueue {
  /** In the order in which they came. */
  readonly #claims = new Set<Claim>();

  /** Claims a range; it may be used at once if it has no `blockers`. */
  claim(from: bigint, length: number, isShared: boolean): Claim {
    const claim = { from, end: from + BigInt(length), isShared, blockers: 0, blocked: [], onFree: null };
    for (const other of this.#claims) {
      if (!areInTheWay(claim, other)) continue;
      other.blocked.push(claim);
      claim.blockers++;
    }
    this.#claims.add(claim);
    return claim;
  }

  /** Gives a claim back, also one that still waits. */
  release(claim: Claim): void {
    if (!this.#claims.delete(claim)) return;
    claim.onFree = null;
    for (const other of claim.blocked) {
      if (--other.blockers === 0) other.onFree?.();
    }
  }
}

const areInTheWay = (one: Claim, other: Claim): boolean =>
  one.from < other.end && other.from < one.end && !(one.isShared && other.isShared);
