/**
 * What the programs of the simulated hosts do: they ask, answer, take their time, give up and end, as their plans say, and judge
 * what their communication manager tells them.
 */
import type { CmMachineEvent, CmRequestEvent, CmSend } from '../../../src/roce/cm/cm-outputs.js';
import { serviceIdOf } from '../../../src/roce/cm/wire/service-id.js';
import type { Qpn } from '../../../src/verbs/brands.js';
import { PortSpace } from '../../../src/verbs/connection-manager.js';
import { expect } from '../failure.js';
import type { Marks } from '../marks.js';
import type { BadNetwork } from './bad-network.js';
import type { LookupPlan, MeetingPlan, Scenario } from './scenario.js';
import type { End, SimHost } from './sim-host.js';
import { mayLose, verifyAgreement } from './verify.js';

export const SERVICE = serviceIdOf(PortSpace.TCP, 7174);
export const DATAGRAM_SERVICE = serviceIdOf(PortSpace.UDP, 7174);
const QKEY = 0x01234567;

/** Where they act. */
export interface Stage {
  readonly scenario: Scenario;
  readonly marks: Marks;
  readonly network: BadNetwork;
  readonly now: number;
  /** Those that live. */
  readonly hosts: readonly SimHost[];
  /** All that ever lived. */
  readonly everyHost: readonly SimHost[];
  at(at: number, run: () => void): void;
  /** Later, unless the host has died meanwhile. */
  in(host: SimHost, millis: number, run: () => void): void;
  /** Runs a call of a machine, sends what it sends and tells what it tells. */
  step(host: SimHost, run: () => void): CmSend[];
  /** The end whose first message is the next that is sent. */
  claimBy(end: End): void;
}

export class Programs {
  readonly #stage: Stage;
  /** Lookups that wait: by host and handle. */
  readonly #lookups = new Map<SimHost, Map<number, LookupPlan>>();

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  lookupsOf(host: SimHost): number {
    return this.#waitingOf(host).size;
  }

  #waitingOf(host: SimHost): Map<number, LookupPlan> {
    const waiting = this.#lookups.get(host) ?? new Map<number, LookupPlan>();
    this.#lookups.set(host, waiting);
    return waiting;
  }

  meet(plan: MeetingPlan, planNumber: number): void {
    const [host, peer] = [this.#stage.hosts[plan.from] as SimHost, this.#stage.hosts[plan.to] as SimHost];
    const qpn = host.takeQpn();
    if (qpn === undefined) return;
    const options = {
      ...parametersOf(qpn, Uint8Array.of(planNumber)),
      serviceId: SERVICE,
      remote: peer.address,
      local: host.address,
      mtu: 1024 as const,
      timeoutMillis: plan.timeoutMillis,
    };
    this.#stage.step(host, () => {
      const id = host.machine.connect(options, this.#stage.now);
      const beganAt = this.#stage.now;
      const end = host.begin({
        id,
        side: 'active',
        plan,
        planNumber,
        beganAt,
        qpn,
        peerQpn: 0,
        psnOut: -1,
        psnIn: -1,
      });
      this.#stage.claimBy(end);
      this.#watchSettling(end);
      if (plan.abortAfter !== null) this.#stage.in(host, plan.abortAfter, () => this.close(end));
    });
  }

  #watchSettling(end: End): void {
    const { host, plan } = end;
    this.#stage.in(host, (plan?.timeoutMillis ?? 0) + 1, () => {
      expect(
        end.isSettled || end.isClosed,
        'settling',
        () => `${host.nameOf(end)} is not settled in its time`,
      );
    });
  }

  close(end: End): void {
    if (end.isClosed) return;
    end.isClosed = true;
    this.#stage.marks.hit(`close in ${end.state}`);
    this.#stage.step(end.host, () => end.host.machine.close(end.id, this.#stage.now));
  }

  lookUp(plan: LookupPlan): void {
    const [host, peer] = [this.#stage.hosts[plan.from] as SimHost, this.#stage.hosts[plan.to] as SimHost];
    const { timeoutMillis } = plan;
    const privateData = Uint8Array.of(this.#stage.scenario.lookups.indexOf(plan));
    const options = {
      serviceId: DATAGRAM_SERVICE,
      remote: peer.address,
      local: host.address,
      privateData,
      timeoutMillis,
    };
    this.#stage.step(host, () => {
      const id = host.machine.lookUp(options, this.#stage.now);
      const waiting = this.#waitingOf(host);
      waiting.set(id, plan);
      this.#stage.in(host, timeoutMillis + 1, () =>
        expect(!waiting.has(id), 'settling', () => `lookup ${id} is not settled`),
      );
    });
  }

  hear(host: SimHost, event: CmMachineEvent): void {
    this.#stage.marks.hit(`event ${event.type}`);
    if (host.isDead) return;
    switch (event.type) {
      case 'request':
        this.#onRequest(host, event);
        break;
      case 'lookup-request':
        this.#onLookupRequest(host, event.id, event.privateData[0] as number);
        break;
      case 'lookup-answer':
      case 'lookup-unreachable': {
        const isKnown = this.#waitingOf(host).delete(event.id);
        expect(isKnown, 'settling', () => `lookup ${event.id} was settled twice`);
        if (event.type === 'lookup-answer' && event.status === 0)
          expect(event.qkey === QKEY, 'agreement', () => 'a lookup found another Q_Key than was answered');
        break;
      }
      case 'response':
        this.#onResponse(host, event);
        break;
      case 'established':
        this.#onEstablished(host.hear(event, this.#stage.now));
        break;
      case 'rejected':
        this.#stage.marks.hit(`rejected with ${event.reason}`);
        host.hear(event, this.#stage.now);
        break;
      case 'disconnected':
        expect(
          event.answered || mayLose(this.#stage.scenario),
          'answering',
          () => `a DREQ of ${event.id} was not answered`,
        );
        this.#stage.marks.hit(
          `disconnected by ${event.byPeer ? 'peer' : 'self'}${event.answered ? '' : ', unanswered'}`,
        );
        host.hear(event, this.#stage.now);
        break;
      case 'unreachable':
      case 'released':
        host.hear(event, this.#stage.now);
        break;
    }
  }

  #onRequest(host: SimHost, { id, path, peer }: CmRequestEvent): void {
    const planNumber = peer.privateData[0] as number;
    const plan = this.#stage.scenario.meetings[planNumber] as MeetingPlan;
    const beganAt = this.#stage.now;
    const { psn: psnOut } = path.own;
    const { psn: psnIn } = path.peer;
    const end = host.begin({
      id,
      side: 'passive',
      plan,
      planNumber,
      beganAt,
      qpn: 0,
      peerQpn: peer.qpn,
      psnOut,
      psnIn,
    });
    const asked = this.#stage.everyHost
      .flatMap(({ ends }) => [...ends.values()])
      .find((other) => other.planNumber === planNumber && other.side === 'active');
    expect(
      asked?.qpn === peer.qpn,
      'agreement',
      () => `${host.nameOf(end)} was asked by queue pair ${peer.qpn}`,
    );
    if (this.#stage.network.isHealed && !isForgotten(end)) this.#stage.in(host, 0, () => this.close(end));
    if (plan.abortByPassiveAfter !== null)
      this.#stage.in(host, plan.abortByPassiveAfter, () => this.close(end));
    if (plan.answerAfter !== null) this.#stage.in(host, plan.answerAfter, () => this.#answer(end));
  }

  #answer(end: End): void {
    if (end.isClosed || end.ending !== null) return;
    const { host, plan } = end;
    const { machine } = host;
    if (plan?.isAccepted === false) {
      end.isClosed = true;
      this.#stage.step(host, () => machine.reject(end.id, 28, Uint8Array.of(1), this.#stage.now));
      return;
    }
    const qpn = host.takeQpn();
    if (qpn === undefined) return;
    end.qpn = qpn;
    this.#stage.claimBy(end);
    this.#stage.step(host, () => {
      const isTaken = machine.accept(
        end.id,
        parametersOf(qpn, Uint8Array.of(end.planNumber)),
        this.#stage.now,
      );
      expect(isTaken, 'settling', () => `${host.nameOf(end)} is over, and was not told`);
    });
  }

  #onResponse(host: SimHost, event: Extract<CmMachineEvent, { type: 'response' }>): void {
    const end = host.hear(event, this.#stage.now);
    const { path, peer } = event;
    end.peerQpn = peer.qpn;
    end.psnOut = path.own.psn;
    end.psnIn = path.peer.psn;
    const { plan } = end;
    expect(
      peer.privateData[0] === end.planNumber,
      'agreement',
      () => `${host.nameOf(end)} got an answer for another`,
    );
    if (plan?.establishAfter === null || plan === null) return;
    this.#stage.in(host, plan.establishAfter, () => {
      if (end.isClosed || end.ending !== null) return;
      if (plan.isRefusedByActive) {
        end.isClosed = true;
        this.#stage.step(host, () => host.machine.reject(end.id, 28, new Uint8Array(0), this.#stage.now));
        return;
      }
      this.#stage.step(host, () => {
        const isTaken = host.machine.establish(end.id, this.#stage.now);
        expect(isTaken, 'settling', () => `${host.nameOf(end)} is over, and was not told`);
      });
      if (plan.sendsData) this.#sendData(end);
      this.#onEstablished(end);
    });
  }

  #onEstablished(end: End): void {
    expect(!end.isEstablished, 'settling', () => `${end.host.nameOf(end)} is established twice`);
    end.isEstablished = true;
    if (verifyAgreement(end, this.#stage.everyHost)) this.#stage.marks.hit('both ends established');
    const { plan, host, side } = end;
    if (plan === null || plan.end === 'vanish' || (plan.enders !== 'both' && plan.enders !== side)) return;
    this.#stage.in(host, plan.endAfter, () => {
      if (end.isClosed || end.ending !== null) return;
      if (plan.end === 'close') this.close(end);
      else
        this.#stage.step(host, () => {
          const isTaken = host.machine.disconnect(end.id, this.#stage.now);
          expect(isTaken, 'settling', () => `${host.nameOf(end)} cannot disconnect`);
        });
    });
  }

  #onLookupRequest(host: SimHost, id: number, number: number): void {
    const { answerAfter, status } = this.#stage.scenario.lookups[number] as LookupPlan;
    if (answerAfter === null) return;
    const found = status === 0 ? { qpn: 0x50, qkey: QKEY } : { qpn: 0, qkey: 0 };
    const answer = { status, ...found, privateData: new Uint8Array(0) };
    this.#stage.in(
      host,
      answerAfter,
      () => void this.#stage.step(host, () => host.machine.answerLookup(id, answer, this.#stage.now)),
    );
  }

  /** A packet on the data path, which may overtake the RTU. */
  #sendData(end: End): void {
    const peer = this.#stage.hosts[end.plan?.to ?? 0] as SimHost;
    if (this.#stage.network.loses('data', this.#stage.now)) return;
    this.#stage.at(this.#stage.now + this.#stage.network.delay(), () => {
      const other = [...peer.ends.values()].find(
        ({ side, planNumber, qpn }) =>
          side === 'passive' && planNumber === end.planNumber && qpn === end.peerQpn,
      );
      if (peer.isDead || other === undefined || peer.machine.stateOf(other.id) !== 'rep-sent') return;
      this.#stage.marks.hit('established by a packet');
      this.#stage.step(peer, () => peer.machine.establish(other.id, this.#stage.now));
    });
  }
}

/** Its program neither answers nor closes: the manager has to end it. */
export const isForgotten = ({ side, plan, isEstablished }: End): boolean =>
  !isEstablished && (side === 'active' ? plan?.establishAfter : plan?.answerAfter) === null;

const parametersOf = (qpn: number, privateData: Uint8Array) => ({
  qpn: qpn as Qpn,
  responderResources: 4,
  initiatorDepth: 4,
  retryCount: 7,
  rnrRetryCount: 7,
  flowControl: false,
  srq: false,
  privateData,
});
