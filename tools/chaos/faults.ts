/** The faults of a chaos run. Each strikes, lasts for a while, and leaves the world able to go on. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Random } from '../../testkit/random.js';
import type { Actor } from './actor.js';
import { CLIENTS, VETERAN, type World } from './world.js';

export interface Blow {
  readonly world: World;
  readonly random: Random;
}

type Fault = (blow: Blow) => Promise<void>;

const anyone = ({ world, random }: Blow): Actor => random.pick([world.server, ...world.clients]);
const anyClient = ({ random }: Blow): number => random.int(0, CLIENTS - 1);

/** For `millis`, then back. */
async function during(millis: number, begin: () => void, end: () => void): Promise<void> {
  begin();
  await delay(millis);
  end();
}

function stop(actor: Actor, millis: number): Promise<void> {
  return during(
    millis,
    () => actor.signal('SIGSTOP'),
    () => actor.signal('SIGCONT'),
  );
}

export const FAULTS = {
  'fail-queue-pairs': async (blow) => anyone(blow).order({ order: 'fail-queue-pairs' }),
  'fail-queue-pairs-of-both': async (blow) => {
    blow.world.server.order({ order: 'fail-queue-pairs' });
    blow.world.clients[anyClient(blow)]?.order({ order: 'fail-queue-pairs' });
  },
  'cut-session': async (blow) => void blow.world.proxies[anyClient(blow)]?.cut(),
  'refuse-sessions': async (blow) => {
    const proxy = blow.world.proxies[anyClient(blow)];
    if (proxy === undefined) return;
    proxy.refuses = true;
    proxy.cut();
    await delay(blow.random.int(10, 400));
    proxy.refuses = false;
  },
  'stall-session': async (blow) => {
    const proxy = blow.world.proxies[anyClient(blow)];
    if (proxy === undefined) return;
    await during(
      blow.random.int(10, 1200),
      () => {
        proxy.isStalled = true;
      },
      () => {
        proxy.isStalled = false;
      },
    );
  },
  'go-dark': async (blow) => {
    const actor = anyone(blow);
    await during(
      blow.random.int(5, 900),
      () => actor.order({ order: 'dark', isDark: true }),
      () => actor.order({ order: 'dark', isDark: false }),
    );
  },
  'lose-packets': async (blow) => {
    const actor = anyone(blow);
    const loss = blow.random.pick([0.01, 0.05, 0.2]);
    await during(
      blow.random.int(20, 300),
      () => actor.order({ order: 'loss', loss }),
      () => actor.order({ order: 'loss', loss: 0 }),
    );
  },
  'stop-client': async (blow) => {
    const actor = blow.world.clients[anyClient(blow)];
    if (actor !== undefined) await stop(actor, blow.random.int(5, 1200));
  },
  'stop-server': (blow) => stop(blow.world.server, blow.random.int(5, 600)),
  'kill-client': async (blow) => {
    await delay(blow.random.int(0, 50));
    const victims = blow.world.clients.map((_, client) => client).filter((client) => client !== VETERAN);
    await blow.world.killClient(blow.random.pick(victims));
  },
  'kill-server': (blow) => blow.world.killServer(),
} as const satisfies Readonly<Record<string, Fault>>;
export type FaultName = keyof typeof FAULTS;

/** How often each strikes, relative to the others. */
export const WEIGHTS: Readonly<Record<FaultName, number>> = {
  'fail-queue-pairs': 20,
  'fail-queue-pairs-of-both': 8,
  'cut-session': 20,
  'refuse-sessions': 6,
  'stall-session': 6,
  'go-dark': 8,
  'lose-packets': 10,
  'stop-client': 6,
  'stop-server': 6,
  'kill-client': 7,
  'kill-server': 3,
};

/** Without the end of the server, whose memory is being watched. */
export const WEIGHTS_OF_THE_SECOND_HALF: Readonly<Record<FaultName, number>> = {
  ...WEIGHTS,
  'kill-server': 0,
};
