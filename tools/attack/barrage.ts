/** A sequence of forged packets that waits for its victim, so that none is lost in a socket buffer and each is a try. */
import type { Injector } from './injector.js';
import type { VerbsVictim } from './victims/verbs-victim.js';
import type { VictimProcess } from './victims/victim-process.js';

/** Packets of this many fit into the socket's buffer with room to spare. */
export const BATCH = 1024;
/** How long the last packet of a batch may take before the rest counts as lost. */
const ARRIVAL_MILLIS = 1000;

type Which = 'server' | 'client';

export interface Aim {
  readonly victim: {
    /** Datagrams that a device has had so far. */
    call(method: 'arrived', which: Which): Promise<number>;
  };
  readonly which: Which;
  readonly injector: Injector;
}

export interface Barrage extends Aim {
  readonly victim: VictimProcess<VerbsVictim>;
}

/**
 * Sends up to `count` packets of `next`, in batches; ends after the batch for which `isOver` says so. Returns how many
 * packets the victim's device has had.
 */
export async function fire(
  { victim, which, injector }: Aim,
  count: number,
  next: (index: number) => Uint8Array,
  isOver: (sent: number) => boolean | Promise<boolean> = () => false,
): Promise<number> {
  let sent = 0;
  const first = await victim.call('arrived', which);
  let arrived = 0;
  while (sent < count) {
    const until = Math.min(count, sent + BATCH);
    for (; sent < until; sent++) injector.send(next(sent));
    await injector.flush();
    const deadline = performance.now() + ARRIVAL_MILLIS;
    do arrived = (await victim.call('arrived', which)) - first;
    while (arrived < sent && performance.now() < deadline);
    if (await isOver(sent)) break;
  }
  return arrived;
}
