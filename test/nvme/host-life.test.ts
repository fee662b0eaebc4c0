/** Hosts whose targets crash and whose networks are cut, in virtual time. */
import { test } from 'node:test';
import { liveNvmeHost } from '../../testkit/nvme-host-life.js';

const SEEDS = 400;

test('whatever happens to target and network, a host tells the truth about its disk', async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    try {
      await liveNvmeHost(seed);
    } catch (error) {
      throw new Error(`npm run sim -- --nvme --seed ${seed} --shrink`, { cause: error });
    }
  }
});
