/** The machine alone: what the other scenarios stand on. */
import { THERE } from '../network.js';
import type { Lab } from '../scenario.js';

export async function boot({ machine, results }: Lab): Promise<void> {
  await results.run('rxe0 is active with path MTU 4096', {}, async () => {
    const text = await machine.runOrThrow('uname -r; ibv_devinfo -v -d rxe0');
    if (!/state:\s+PORT_ACTIVE/.test(text)) throw new Error('the port is not active');
    if (!/active_mtu:\s+4096/.test(text)) throw new Error('the active MTU is not 4096');
    for (const address of [`::ffff:${THERE[4]}`, THERE[6]]) {
      if (!text.includes(address)) throw new Error(`no GID ${address}`);
    }
    return `kernel ${text.split('\n')[0]}`;
  });
  await results.run('ibv_rc_pingpong runs over rxe0 on both sides', {}, async () => {
    const tool = 'ibv_rc_pingpong -d rxe0 -g 1 -n 100';
    const text = await machine.runOrThrow(`${tool} & sleep 1; ${tool} ${THERE[4]}; wait`);
    return text.split('\n').find((line) => line.includes('usec/iter')) ?? '';
  });
}
