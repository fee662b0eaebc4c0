/**
 * PSNs as `ibv_rc_pingpong` makes them, to have something to predict: `srand48(getpid() * time(NULL))`, then
 * `lrand48() & 0xffffff` for every queue pair. Who has seen one of them searches the few seeds that there are.
 */
const MULTIPLIER = 0x5deece66dn;
const ADDEND = 0xbn;
const MASK_48 = (1n << 48n) - 1n;

const advance = (state: bigint): bigint => (state * MULTIPLIER + ADDEND) & MASK_48;
const psnOf = (state: bigint): number => Number((state >> 17n) & 0xffffffn);
const seeded = (seed: number): bigint => (BigInt.asUintN(32, BigInt(seed)) << 16n) | 0x330en;

/** The PSNs of one process, in their order. */
export function* pidTimePsns(pid: number, unixSeconds: number): Generator<number, never, void> {
  let state = seeded(pid * unixSeconds);
  for (;;) {
    state = advance(state);
    yield psnOf(state);
  }
}

/**
 * The PSN that comes next, after `seen` and about `unixSeconds`: all seeds that fit what was seen, each with its
 * next PSN. `searched` counts seeds.
 */
export function predictPidTime(
  seen: readonly number[],
  unixSeconds: number,
  slackSeconds: number,
  highestPid: number,
): { candidates: number[]; searched: number } {
  const candidates = new Set<number>();
  let searched = 0;
  for (let time = unixSeconds - slackSeconds; time <= unixSeconds + slackSeconds; time++) {
    for (let pid = 1; pid <= highestPid; pid++) {
      searched++;
      let state = advance(seeded(pid * time));
      if (psnOf(state) !== seen[0]) continue;
      let fits = true;
      for (let i = 1; i < seen.length && fits; i++) {
        state = advance(state);
        fits = psnOf(state) === seen[i];
      }
      if (fits) candidates.add(psnOf(advance(state)));
    }
  }
  return { candidates: [...candidates], searched };
}
