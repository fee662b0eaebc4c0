/** A life of a connection as its machine has it, for tests: in each state, with its clock and its rendezvous. */
import type { LifelineInput, RendezvousState } from '../../../src/connection/lifeline/lifeline-events.js';
import { LifelineMachine } from '../../../src/connection/lifeline/lifeline-machine.js';
import { RdmaError, type RdmaErrorCode } from '../../../src/verbs/errors.js';
import type { RefusalKind } from '../../../src/verbs/refusal-kind.js';

export const RECOVERY_MILLIS = 1000;
export const KEEP_ALIVE_MILLIS = 100;
export const QUIT_MILLIS = 700;
/** Of the side that waits for the other. */
export const BRIEF = { noticeMillis: 400 };
export const fail = (code: RdmaErrorCode = 'ERR_RDMA_COMPLETION', message = 'it broke'): RdmaError =>
  new RdmaError(code, message);

export const noRendezvous = (code: RdmaErrorCode, refusal: RefusalKind): LifelineInput => ({
  type: 'no-rendezvous',
  error: new RdmaError(code, 'it was refused', { refusal }),
});

/** A machine with its clock and its rendezvous; `does` gives the names of what it wants done. */
export class Life {
  now = 0;
  rendezvous: RendezvousState = 'open';
  readonly machine: LifelineMachine;

  constructor(recoveryMillis = RECOVERY_MILLIS) {
    const limits = { recoveryMillis, keepAliveMillis: KEEP_ALIVE_MILLIS, quitMillis: QUIT_MILLIS };
    this.machine = new LifelineMachine({ limits, random: () => 1 });
  }

  does(input: LifelineInput | LifelineInput['type']): string {
    const given = typeof input === 'string' ? ({ type: input } as LifelineInput) : input;
    return names(this.machine.handle(given, this.now, this.rendezvous));
  }

  /** Lets time pass; returns what the machine does meanwhile. */
  passes(millis: number): string {
    const until = this.now + millis;
    const done: string[] = [];
    while (this.machine.nextDeadline <= until) {
      this.now = this.machine.nextDeadline;
      done.push(names(this.machine.handleTimeout(this.now, this.rendezvous)));
    }
    this.now = until;
    return done.join(' ').trim();
  }

  where(): string {
    const { state } = this.machine;
    return state.name === 'down' ? `down ${state.phase}` : state.name;
  }
}

export const names = (outputs: readonly { type: string }[]): string =>
  outputs.map(({ type }) => type).join(' ');

export const linkFailed = (error = fail()): LifelineInput => ({ type: 'link-failed', error });
export const notMet = (error = fail('ERR_RDMA_CONNECTION_LOST')): LifelineInput => ({
  type: 'not-met',
  error,
});
export const rendezvousEnded = (error = fail('ERR_RDMA_CONNECTION_LOST')): LifelineInput => ({
  type: 'rendezvous-ended',
  error,
});
export const ABORT: LifelineInput = { type: 'abort', error: fail('ERR_RDMA_ABORTED') };

/** A life in each state. */
export const SITUATIONS: Readonly<Record<string, () => Life>> = {
  establishing: () => after(new Life(), 'start'),
  'establishing, its peer may be up': () => after(new Life(), 'start', 'peer-may-be-up'),
  'down disconnecting, never up': () => {
    const life = SITUATIONS['establishing, its peer may be up']?.() as Life;
    life.rendezvous = 'lost';
    return after(life, notMet());
  },
  'down rendezvous, never up': () =>
    after(SITUATIONS['down disconnecting, never up']?.() as Life, 'disconnected'),
  'down meeting, never up': () => {
    const life = SITUATIONS['down rendezvous, never up']?.() as Life;
    life.rendezvous = 'open';
    return after(life, 'new-rendezvous');
  },
  up: () => after(new Life(), 'start', 'met'),
  'up briefly': () => {
    const life = after(new Life(), 'start', { type: 'met', brief: BRIEF });
    life.rendezvous = 'parted';
    return after(life, 'parted');
  },
  'up, before the last answers': () => after(SITUATIONS['up']?.() as Life, rendezvousEnded()),
  'down disconnecting': () => after(SITUATIONS['up']?.() as Life, linkFailed()),
  'down meeting': () => after(SITUATIONS['down disconnecting']?.() as Life, 'disconnected'),
  'down pausing': () => after(SITUATIONS['down meeting']?.() as Life, notMet(), 'disconnected'),
  'down rendezvous': () => {
    const life = SITUATIONS['down disconnecting']?.() as Life;
    life.rendezvous = 'lost';
    return after(life, 'disconnected');
  },
  ending: () => after(SITUATIONS['up']?.() as Life, ABORT),
  ended: () => after(SITUATIONS['ending']?.() as Life, 'destroyed', 'finished'),
};

export function after(life: Life, ...inputs: readonly (LifelineInput | LifelineInput['type'])[]): Life {
  for (const input of inputs) life.does(input);
  return life;
}
