/**
 * Completion queues fire once for each time that they are armed: not before a completion of the wanted kind is there,
 * and not without one. The simulated programs arm again after every event, alternating between both kinds.
 */
import { CqArm } from '../../../src/roce/completion/cq.js';
import { WcStatus, type WorkCompletion } from '../../../src/verbs/work-completion.js';
import type { Endpoint, Host } from '../endpoint.js';
import { expect } from '../failure.js';
import type { Marks } from '../marks.js';

const CHECKER = 'notifications';

export class NotificationChecker {
  readonly #marks: Marks;
  /** Completions since the queue was armed, and those of them that must make a queue fire that waits for solicited ones. */
  readonly #seen = new Map<Host, { any: number; urgent: number; arm: CqArm }>();

  constructor(marks: Marks) {
    this.#marks = marks;
  }

  onCompletion(host: Host, endpoint: Endpoint, wc: WorkCompletion): void {
    const seen = this.#seen.get(host);
    if (seen === undefined) return;
    seen.any++;
    // Success of a receive is judged by the message that it took.
    const message = endpoint.peer.messages[endpoint.receivedMessages];
    const isReceive = wc.wrId >= 1_000_000;
    const isSolicited = isReceive && message?.operation.solicited === true;
    if (wc.status !== WcStatus.SUCCESS || isSolicited) seen.urgent++;
  }

  /** To be called before the completions of a host are polled. */
  take(host: Host): void {
    const { nic, cq } = host;
    const before = this.#seen.get(host);
    let fired = 0;
    for (let queue = nic.takeFiredCq(); queue !== undefined; queue = nic.takeFiredCq())
      if (queue === cq) fired++;
    if (before !== undefined) this.#check(host, before, fired);
    if (before === undefined || fired > 0) {
      const arm = before?.arm === CqArm.ALL ? CqArm.SOLICITED : CqArm.ALL;
      if (cq.count > 0 && before === undefined) return;
      cq.arm = arm;
      this.#seen.set(host, { any: -cq.count, urgent: Number.NEGATIVE_INFINITY, arm });
      if (cq.count === 0) this.#seen.set(host, { any: 0, urgent: 0, arm });
    }
  }

  #check(host: Host, seen: { any: number; urgent: number; arm: CqArm }, fired: number): void {
    expect(fired <= 1, CHECKER, () => `the queue of NIC ${host.index} fired ${fired} times, armed once`);
    if (fired > 0) {
      this.#marks.hit(seen.arm === CqArm.ALL ? 'fired' : 'fired for solicited');
      const arrived = host.cq.count + seen.any;
      expect(arrived > 0, CHECKER, () => `the queue of NIC ${host.index} fired without a completion`);
      return;
    }
    const missed = seen.arm === CqArm.ALL ? seen.any > 0 || host.cq.count > 0 : seen.urgent > 0;
    expect(!missed, CHECKER, () => `the queue of NIC ${host.index} did not fire`);
  }
}
