/** The victims by name. */
import type { VictimSetup } from './calls.js';
import { CmVictim, type CmVictimOptions } from './cm-victim.js';
import { ServerVictim, type ServerVictimOptions } from './server-victim.js';
import { VerbsVictim, type VerbsVictimOptions } from './verbs-victim.js';

export function createVictim({ kind, options }: VictimSetup): object {
  switch (kind) {
    case 'verbs':
      return new VerbsVictim(options as VerbsVictimOptions);
    case 'cm':
      return new CmVictim(options as CmVictimOptions);
    case 'server':
      return new ServerVictim(options as ServerVictimOptions);
    default:
      throw new Error(`there is no victim "${kind}"`);
  }
}
