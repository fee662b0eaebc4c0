/**
 * In which order servers are tried: by priority, by chance within the shares of their weights (RFC 2782), and those that have
 * failed lately after all others. Time (ms) and randomness (0 to 1) are arguments.
 *
 * Invariants: every server is in the order once, so that one that rests is still tried before nobody is; each failure of a
 * server that does not rest makes its rest longer, up to a minute, and a success ends it. At most `MAX_KNOWN` are remembered.
 */
import { backOffMillis } from '../common/back-off.js';

const FIRST_REST_MILLIS = 1000;
const LONGEST_REST_MILLIS = 60_000;
const MAX_KNOWN = 4096;

export interface Share {
  readonly priority: number;
  readonly weight: number;
}

/** Which servers have failed lately, by name. */
export class ServerHealth {
  readonly #failed = new Map<string, { failures: number; restsUntil: number }>();

  /** When its rest ends; 0 for one that never failed since it worked. */
  restsUntil(server: string): number {
    return this.#failed.get(server)?.restsUntil ?? 0;
  }

  /** It did not take a connection, or lost one. What many connections see at once is one failure. */
  noteFailure(server: string, now: number, random: () => number): void {
    const known = this.#failed.get(server) ?? { failures: 0, restsUntil: 0 };
    if (known.restsUntil > now) return;
    const restMillis = backOffMillis(FIRST_REST_MILLIS, LONGEST_REST_MILLIS, known.failures, random);
    this.#failed.delete(server);
    this.#failed.set(server, {
      failures: known.failures + 1,
      restsUntil: now + restMillis,
    });
    if (this.#failed.size <= MAX_KNOWN) return;
    for (const oldest of this.#failed.keys()) {
      this.#failed.delete(oldest);
      break;
    }
  }

  noteSuccess(server: string): void {
    this.#failed.delete(server);
  }
}

/** All of them, in the order in which to try them. `restsUntil`: as `ServerHealth` has it. */
export function orderServers<S extends Share>(
  servers: readonly S[],
  restsUntil: (server: S) => number,
  now: number,
  random: () => number,
): S[] {
  const resting = servers.filter((server) => restsUntil(server) > now);
  const ready = servers.filter((server) => restsUntil(server) <= now);
  return [...byPriority(ready, random), ...resting.sort((a, b) => restsUntil(a) - restsUntil(b))];
}

function byPriority<S extends Share>(servers: readonly S[], random: () => number): S[] {
  const priorities = [...new Set(servers.map(({ priority }) => priority))].sort((a, b) => a - b);
  return priorities.flatMap((wanted) =>
    byWeight(
      servers.filter(({ priority }) => priority === wanted),
      random,
    ),
  );
}

/** One after the other is drawn, each with the share that its weight is of those that are left. */
function byWeight<S extends Share>(servers: readonly S[], random: () => number): S[] {
  const left = [...servers];
  const order: S[] = [];
  while (left.length > 0) order.push(...left.splice(drawn(left, random), 1));
  return order;
}

function drawn(servers: readonly Share[], random: () => number): number {
  const total = servers.reduce((sum, { weight }) => sum + weight, 0);
  // RFC 2782 draws from 0 to the sum, both included: those of weight 0 share the 0.
  let point = Math.floor(random() * (total + 1)) - 1;
  if (point < 0) {
    const idle = servers.flatMap(({ weight }, index) => (weight === 0 ? [index] : []));
    if (idle.length > 0) return idle[Math.floor(random() * idle.length)] ?? 0;
    point = Math.floor(random() * total);
  }
  for (const [index, { weight }] of servers.entries()) {
    if (point < weight) return index;
    point -= weight;
  }
  return servers.length - 1;
}
