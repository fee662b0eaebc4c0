/**
 * What the parts of the machine of a connection's life share: the state, the input that is being handled (its time, and how
 * the rendezvous is), and what is to be done because of it. Each part writes the states that are its own concern.
 */
import type { LifelineOutput, LifelineState, RendezvousState } from './lifeline-events.js';
import { LifelineTimers } from './lifeline-timers.js';

const NOTHING: readonly LifelineOutput[] = [];

export class LifelineCourse {
  readonly timers = new LifelineTimers();
  state: LifelineState = { name: 'establishing' };
  /** The program may have it. */
  hasBeenUp = false;
  now = 0;
  rendezvous: RendezvousState = 'open';
  #outputs: LifelineOutput[] | null = null;

  /** An input is handled from here on. */
  enter(now: number, rendezvous: RendezvousState): void {
    this.now = now;
    this.rendezvous = rendezvous;
  }

  /** In the order in which they shall be done. */
  do(...outputs: LifelineOutput[]): void {
    // Mostly there is one, and an array that grows has room for sixteen more.
    if (this.#outputs === null) this.#outputs = outputs;
    else this.#outputs.push(...outputs);
  }

  /** What came of the input. */
  take(): readonly LifelineOutput[] {
    const outputs = this.#outputs ?? NOTHING;
    this.#outputs = null;
    return outputs;
  }

  /** The end is under way or reached: nothing brings the connection up again, and its token is worth nothing. */
  get isOver(): boolean {
    return this.state.name === 'ending' || this.state.name === 'ended';
  }
}
