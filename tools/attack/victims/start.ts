/** Starts the victims that attacks ask for. */
import type { AttackContext } from '../attack.js';
import { HOSTS } from '../loopback.js';
import type { VerbsVictim, VerbsVictimOptions } from './verbs-victim.js';
import { VictimProcess } from './victim-process.js';

const VICTIM_SEED = 1_000_000_007;

export function startVerbsVictim(
  { seed }: AttackContext,
  options: Partial<VerbsVictimOptions> = {},
): Promise<VictimProcess<VerbsVictim>> {
  // Not the attacker's own numbers, or it would know them.
  const base: VerbsVictimOptions = {
    seed: seed + VICTIM_SEED,
    serverHost: HOSTS.server,
    clientHost: HOSTS.client,
  };
  return VictimProcess.start<VerbsVictim>({ kind: 'verbs', options: { ...base, ...options } });
}
