/**
 * A soft device on a network in virtual time, whose control verbs take time as on hardware, fail when they are told to, and
 * whose queue pairs fail on demand. The device itself is the one that programs use, with its engine. Where its program is halted, it
 * goes on for it, as an RNIC does: it acknowledges and answers, but nothing that it has is taken, and nothing that it was not given is sent.
 */
import { Icrc } from '../src/roce/wire/icrc.js';
import type { SoftCq } from '../src/soft/soft-cq.js';
import { SoftDevice } from '../src/soft/soft-device.js';
import type { SoftQp } from '../src/soft/soft-qp.js';
import { RdmaError } from '../src/verbs/errors.js';
import { QpState } from '../src/verbs/qp-state.js';
import type { Random } from './random.js';
import type { VirtualNetwork, VirtualPort } from './virtual-network.js';

export const ControlVerb = {
  ALLOC_PD: 'allocPd',
  REG_MR: 'regMr',
  CREATE_CQ: 'createCq',
  CREATE_QP: 'createQp',
  ALLOC_MW: 'allocMw',
  MODIFY_QP: 'modifyQp',
} as const;
export type ControlVerb = (typeof ControlVerb)[keyof typeof ControlVerb];

type AsyncMethod = (...args: never[]) => Promise<unknown>;
type Wrapped = Record<string, AsyncMethod>;
interface Channel {
  onEvent: (() => void) | null;
}

export class VirtualDevice {
  readonly device: SoftDevice;
  readonly port: VirtualPort;
  /** The longest that a control verb takes. */
  verbMillis = 0;
  /** Queue pairs that were made and not closed. */
  readonly queuePairs = new Set<SoftQp>();
  readonly #network: VirtualNetwork;
  readonly #random: Random;
  readonly #failures = new Map<ControlVerb, number>();
  readonly #channels = new Set<Channel>();
  /** How often the program was halted and does not go on. */
  #halts = 0;
  /** What it does when it goes on. */
  #held: (() => void)[] = [];

  constructor(network: VirtualNetwork, ip: string, random: Random) {
    this.#network = network;
    this.#random = random;
    this.port = network.open(ip);
    this.device = new SoftDevice(this.port, new Icrc(), random.u32);
    this.#wrapDevice(this.device);
  }

  /** The next `times` calls of this verb fail for want of memory. */
  failNext(verb: ControlVerb, times = 1): void {
    this.#failures.set(verb, (this.#failures.get(verb) ?? 0) + times);
  }

  get isHalted(): boolean {
    return this.#halts > 0;
  }

  /** The program takes no completions, posts nothing and gets no answer of a verb, until `goOn`. */
  halt(): void {
    this.#halts++;
  }

  goOn(): void {
    if (--this.#halts > 0) return;
    for (const run of this.#held.splice(0)) run();
    for (const channel of this.#channels) channel.onEvent?.();
  }

  /** The verbs work again. */
  heal(): void {
    this.#failures.clear();
  }

  /** Queue pairs that are up fail: with an event first, or by themselves. */
  failQueuePairs(withEvent: boolean): number {
    let failed = 0;
    for (const qp of this.queuePairs) {
      if (qp.closed || qp.state !== QpState.RTS) continue;
      failed++;
      if (withEvent) qp.tell({ type: 'QP_FATAL', qp });
      // As the device does it, without the time that a program's own call takes.
      void Object.getPrototypeOf(qp).modify.call(qp, { state: QpState.ERR });
    }
    return failed;
  }

  #wrapDevice(device: SoftDevice): void {
    this.#slow(device, 'queryPort', null);
    this.#slow(device, 'queryGids', null);
    this.#slow(device, 'createCompletionChannel', null, (channel) => this.#channels.add(channel as Channel));
    this.#slow(device, 'createCq', ControlVerb.CREATE_CQ, (cq) => this.#wrapCq(cq as SoftCq));
    this.#slow(device, 'allocPd', ControlVerb.ALLOC_PD, (pd) => {
      this.#slow(pd, 'close', null);
      this.#slow(pd, 'regMr', ControlVerb.REG_MR, (mr) => this.#slow(mr, 'close', null));
      this.#slow(pd, 'allocMw', ControlVerb.ALLOC_MW, (mw) => this.#slow(mw, 'close', null));
      this.#slow(pd, 'createQp', ControlVerb.CREATE_QP, (qp) => this.#wrapQp(qp as SoftQp));
    });
  }

  #wrapCq(cq: SoftCq): void {
    this.#slow(cq, 'close', null);
    const { poll } = cq;
    cq.poll = (into, max) => (this.isHalted ? 0 : poll.call(cq, into, max));
  }

  #wrapQp(qp: SoftQp): void {
    this.queuePairs.add(qp);
    const { postSend } = qp;
    qp.postSend = (...requests) => {
      if (!this.isHalted) postSend.apply(qp, requests);
      else this.#held.push(() => (qp.closed ? undefined : postSend.apply(qp, requests)));
    };
    this.#slow(qp, 'modify', ControlVerb.MODIFY_QP);
    this.#slow(qp, 'close', null, () => this.queuePairs.delete(qp));
  }

  /** Makes a method take its time, and fail if it can and shall. `then` gets what it made. */
  #slow(
    object: object,
    name: string,
    verb: ControlVerb | null,
    then: (made: object) => void = () => {},
  ): void {
    const methods = object as Wrapped;
    const method = methods[name] as AsyncMethod;
    methods[name] = async (...args: never[]) => {
      if (this.verbMillis > 0) await this.#pass(this.#random.unit() * this.verbMillis);
      while (this.isHalted) await new Promise<void>((resolve) => this.#held.push(resolve));
      if (verb !== null && this.#shallFail(verb, args[0])) {
        throw new RdmaError('ERR_RDMA_NO_MEMORY', `${verb} failed, as the simulation wanted`);
      }
      const made = await method.apply(object, args);
      then(made as object);
      return made;
    };
  }

  #shallFail(verb: ControlVerb, argument: unknown): boolean {
    const left = this.#failures.get(verb) ?? 0;
    // A queue pair always goes to ERR.
    const isToErr = (argument as { state?: unknown } | undefined)?.state === QpState.ERR;
    if (left === 0 || (verb === ControlVerb.MODIFY_QP && isToErr)) return false;
    this.#failures.set(verb, left - 1);
    return true;
  }

  #pass(millis: number): Promise<void> {
    return new Promise((resolve) => this.#network.time.in(millis, resolve));
  }
}
