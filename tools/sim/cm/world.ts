/**
 * One simulation of communication managers: hosts that meet over a bad network, programs that take their time, give up at
 * any step, end together, hosts that die and come back. Then everything heals, the programs come to their end, and nothing
 * may be left.
 */
import type { CmMachineEvent, CmRequestEvent, CmSend } from '../../../src/roce/cm/cm-outputs.js';
import { cmAttributeName } from '../../../src/roce/cm/wire/attributes.js';
import { parseCmMessage } from '../../../src/roce/cm/wire/message.js';
import { serviceIdOf } from '../../../src/roce/cm/wire/service-id.js';
import { MAD_BYTES, madAttributeId } from '../../../src/roce/mad/mad.js';
import { parseGid, sameGid, type UdpAddress } from '../../../src/verbs/address.js';
import type { Qpn } from '../../../src/verbs/brands.js';
import { PortSpace } from '../../../src/verbs/connection-manager.js';
import { EventQueue } from '../../../testkit/event-queue.js';
import { Random } from '../../../testkit/random.js';
import { expect } from '../failure.js';
import { Marks } from '../marks.js';
import { BadNetwork } from './bad-network.js';
import type { LookupPlan, MeetingPlan, Scenario } from './scenario.js';
import { type End, SimHost } from './sim-host.js';
import { mayLose, verifyAgreement, verifyMeetings, verifyNothingLeft } from './verify.js';

const SERVICE = serviceIdOf(PortSpace.TCP, 7174);
const DATAGRAM_SERVICE = serviceIdOf(PortSpace.UDP, 7174);
const QKEY = 0x01234567;
const LIMITS = { maxConnections: 60, maxRemembered: 24 };
/** All comes to its end within this, whatever happened before. */
const PATIENCE_MILLIS = 400_000;
const MAX_STEPS = 100_000;
/** A meeting of the worst kind takes about a hundred messages; beyond this, messages beget messages. */
const MOST_MESSAGES = 1500;

interface Packet {
  readonly send: CmSend;
  readonly type: string;
}

export class World {
  readonly scenario: Scenario;
  readonly marks = new Marks();
  now = 0;
  packets = 0;
  readonly #trace: (line: string) => void;
  readonly #events = new EventQueue();
  readonly #random: Random;
  readonly #network: BadNetwork;
  readonly #addresses: readonly UdpAddress[];
  readonly #hosts: SimHost[] = [];
  /** All that ever lived. */
  readonly #everyHost: SimHost[] = [];
  /** Lookups that wait: by host and handle. */
  readonly #lookups = new Map<SimHost, Map<number, LookupPlan>>();
  #steps = 0;

  constructor(scenario: Scenario, trace: (line: string) => void = () => {}) {
    this.scenario = scenario;
    this.#trace = trace;
    this.#random = new Random(scenario.seed * 2 + 1);
    this.#network = new BadNetwork(scenario, this.#random);
    this.#addresses = Array.from({ length: scenario.hosts }, (_, i) => {
      const address = parseGid(scenario.isIpv6 ? `fd00::${i + 1}` : `10.0.0.${i + 1}`) as UdpAddress;
      address.port = scenario.udpPort;
      return address;
    });
    for (let i = 0; i < scenario.hosts; i++) this.#start(i, 0);
  }

  /** @throws SimFailure, or whatever the code under test threw. */
  run(): void {
    const { meetings, lookups, restarts, healAt } = this.scenario;
    for (const [number, plan] of meetings.entries()) this.#at(plan.at, () => this.#meet(plan, number));
    for (const plan of lookups) this.#at(plan.at, () => this.#lookUp(plan));
    for (const { at, host, isOrderly } of restarts) this.#at(at, () => this.#restart(host, isOrderly));
    this.#at(healAt, () => this.#heal());
    for (;;) {
      const next = Math.min(this.#events.next, ...this.#hosts.map(({ machine }) => machine.nextDeadline));
      if (next === Number.POSITIVE_INFINITY) break;
      expect(++this.#steps < MAX_STEPS, 'liveness', () => 'it runs and runs');
      expect(next < healAt + PATIENCE_MILLIS, 'liveness', () => `something is still due at ${next} ms`);
      this.now = Math.max(this.now, next);
      if (this.#events.next <= this.now) this.#events.take()();
      else
        for (const host of this.#hosts)
          if (host.machine.nextDeadline <= this.now)
            this.#step(host, () => host.machine.handleTimeout(this.now));
      for (const host of this.#hosts) host.watch(this.now);
    }
    for (const host of this.#hosts) verifyNothingLeft(host, this.#lookups.get(host)?.size ?? 0);
    verifyMeetings(this.scenario, this.#everyHost, this.marks);
    this.#markDrops();
  }

  #at(at: number, run: () => void): void {
    this.#events.add(at, run);
  }

  /** Later, unless the host has died meanwhile. */
  #in(host: SimHost, millis: number, run: () => void): void {
    this.#at(this.now + millis, () => {
      if (!host.isDead) run();
    });
  }

  #say(line: string): void {
    this.#trace(`${this.now.toFixed(2)} ${line}`);
  }

  // --- hosts ----------------------------------------------------------------------------------------------------------

  #start(index: number, generation: number): void {
    const { maxHalfOpen, maxHalfOpenOfSource, backlog, qpns, randomBits } = this.scenario;
    const own = this.#random.fork();
    const random = randomBits === 32 ? own.u32 : (): number => own.u32() & (2 ** randomBits - 1);
    const address = this.#addresses[index] as UdpAddress;
    const limits = { ...LIMITS, maxHalfOpen, maxHalfOpenOfSource };
    const host = new SimHost({ index, generation, address, random, limits, qpns, marks: this.marks });
    this.#hosts[index] = host;
    this.#everyHost.push(host);
    this.#lookups.set(host, new Map());
    host.machine.listen({ serviceId: SERVICE, address: null, forDatagrams: false, backlog });
    host.machine.listen({ serviceId: DATAGRAM_SERVICE, address, forDatagrams: true, backlog });
  }

  #restart(index: number, isOrderly: boolean): void {
    const host = this.#hosts[index] as SimHost;
    this.#say(`host ${index} restarts`);
    this.marks.hit(isOrderly ? 'restart with a word' : 'restart without a word');
    if (isOrderly) {
      for (const end of host.ends.values()) end.isClosed = true;
      this.#step(host, () => host.machine.end(this.now));
      const { connections, halfOpen, lookups } = host.machine.census;
      expect(
        connections + halfOpen + lookups === 0,
        'bounds',
        () => 'a manager that has ended keeps something',
      );
      expect(
        host.machine.nextDeadline === Number.POSITIVE_INFINITY,
        'liveness',
        () => 'a manager that has ended waits',
      );
    }
    host.isDead = true;
    this.#start(index, host.generation + 1);
  }

  #heal(): void {
    this.#network.isHealed = true;
    for (const host of this.#hosts) {
      for (const end of host.ends.values()) if (!isForgotten(end)) this.#close(end);
    }
  }

  // --- what programs do -----------------------------------------------------------------------------------------------

  #meet(plan: MeetingPlan, planNumber: number): void {
    const [host, peer] = [this.#hosts[plan.from] as SimHost, this.#hosts[plan.to] as SimHost];
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
    this.#step(host, () => {
      const id = host.machine.connect(options, this.now);
      const beganAt = this.now;
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
      this.#claimBy(end);
      this.#watchSettling(end);
      if (plan.abortAfter !== null) this.#in(host, plan.abortAfter, () => this.#close(end));
    });
  }

  #watchSettling(end: End): void {
    const { host, plan } = end;
    this.#in(host, (plan?.timeoutMillis ?? 0) + 1, () => {
      expect(
        end.isSettled || end.isClosed,
        'settling',
        () => `${host.nameOf(end)} is not settled in its time`,
      );
    });
  }

  #close(end: End): void {
    if (end.isClosed) return;
    end.isClosed = true;
    this.marks.hit(`close in ${end.state}`);
    this.#step(end.host, () => end.host.machine.close(end.id, this.now));
  }

  #lookUp(plan: LookupPlan): void {
    const [host, peer] = [this.#hosts[plan.from] as SimHost, this.#hosts[plan.to] as SimHost];
    const { timeoutMillis } = plan;
    const privateData = Uint8Array.of(this.scenario.lookups.indexOf(plan));
    const options = {
      serviceId: DATAGRAM_SERVICE,
      remote: peer.address,
      local: host.address,
      privateData,
      timeoutMillis,
    };
    this.#step(host, () => {
      const id = host.machine.lookUp(options, this.now);
      const waiting = this.#lookups.get(host) as Map<number, LookupPlan>;
      waiting.set(id, plan);
      this.#in(host, timeoutMillis + 1, () =>
        expect(!waiting.has(id), 'settling', () => `lookup ${id} is not settled`),
      );
    });
  }

  // --- what machines do -----------------------------------------------------------------------------------------------

  /** The end whose first message is the next that is sent. */
  #claimant: End | null = null;

  #claimBy(end: End): void {
    this.#claimant = end;
  }

  /** Runs a call of a machine, sends what it sends and tells what it tells. */
  #step(host: SimHost, run: () => void): CmSend[] {
    run();
    const sends: CmSend[] = [];
    const outputs = host.takeAll();
    const claimant = this.#claimant;
    this.#claimant = null;
    for (const output of outputs) {
      if (output.type !== 'send') continue;
      sends.push(output);
      if (claimant?.commId === 0) this.#claim(claimant, output.mad);
      this.#transmit(output);
    }
    host.watch(this.now);
    for (const output of outputs) if (output.type !== 'send') this.#hear(host, output);
    return sends;
  }

  #claim(end: End, mad: Uint8Array): void {
    const message = parseCmMessage(mad);
    expect(typeof message === 'object', 'messages', () => 'what was sent is no message');
    if (message.type === 'REQ' || message.type === 'REP') end.host.claim(end, message.localCommId);
  }

  #hear(host: SimHost, event: CmMachineEvent): void {
    this.#say(`host ${host.index} hears ${event.type} of ${event.id}`);
    this.marks.hit(`event ${event.type}`);
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
        const isKnown = this.#lookups.get(host)?.delete(event.id) === true;
        expect(isKnown, 'settling', () => `lookup ${event.id} was settled twice`);
        if (event.type === 'lookup-answer' && event.status === 0)
          expect(event.qkey === QKEY, 'agreement', () => 'a lookup found another Q_Key than was answered');
        break;
      }
      case 'response':
        this.#onResponse(host, event);
        break;
      case 'established':
        this.#onEstablished(host.hear(event, this.now));
        break;
      case 'rejected':
        this.marks.hit(`rejected with ${event.reason}`);
        host.hear(event, this.now);
        break;
      case 'disconnected':
        expect(
          event.answered || mayLose(this.scenario),
          'answering',
          () => `a DREQ of ${event.id} was not answered`,
        );
        this.marks.hit(
          `disconnected by ${event.byPeer ? 'peer' : 'self'}${event.answered ? '' : ', unanswered'}`,
        );
        host.hear(event, this.now);
        break;
      case 'unreachable':
      case 'released':
        host.hear(event, this.now);
        break;
    }
  }

  #onRequest(host: SimHost, { id, path, peer }: CmRequestEvent): void {
    const planNumber = peer.privateData[0] as number;
    const plan = this.scenario.meetings[planNumber] as MeetingPlan;
    const beganAt = this.now;
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
    const asked = this.#everyHost
      .flatMap(({ ends }) => [...ends.values()])
      .find((other) => other.planNumber === planNumber && other.side === 'active');
    expect(
      asked?.qpn === peer.qpn,
      'agreement',
      () => `${host.nameOf(end)} was asked by queue pair ${peer.qpn}`,
    );
    if (this.#network.isHealed && !isForgotten(end)) this.#in(host, 0, () => this.#close(end));
    if (plan.abortByPassiveAfter !== null) this.#in(host, plan.abortByPassiveAfter, () => this.#close(end));
    if (plan.answerAfter !== null) this.#in(host, plan.answerAfter, () => this.#answer(end));
  }

  #answer(end: End): void {
    if (end.isClosed || end.ending !== null) return;
    const { host, plan } = end;
    const { machine } = host;
    if (plan?.isAccepted === false) {
      end.isClosed = true;
      this.#step(host, () => machine.reject(end.id, 28, Uint8Array.of(1), this.now));
      return;
    }
    const qpn = host.takeQpn();
    if (qpn === undefined) return;
    end.qpn = qpn;
    this.#claimBy(end);
    this.#step(host, () => {
      const isTaken = machine.accept(end.id, parametersOf(qpn, Uint8Array.of(end.planNumber)), this.now);
      expect(isTaken, 'settling', () => `${host.nameOf(end)} is over, and was not told`);
    });
  }

  #onResponse(host: SimHost, event: Extract<CmMachineEvent, { type: 'response' }>): void {
    const end = host.hear(event, this.now);
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
    this.#in(host, plan.establishAfter, () => {
      if (end.isClosed || end.ending !== null) return;
      if (plan.isRefusedByActive) {
        end.isClosed = true;
        this.#step(host, () => host.machine.reject(end.id, 28, new Uint8Array(0), this.now));
        return;
      }
      this.#step(host, () => {
        const isTaken = host.machine.establish(end.id, this.now);
        expect(isTaken, 'settling', () => `${host.nameOf(end)} is over, and was not told`);
      });
      if (plan.sendsData) this.#sendData(end);
      this.#onEstablished(end);
    });
  }

  #onEstablished(end: End): void {
    expect(!end.isEstablished, 'settling', () => `${end.host.nameOf(end)} is established twice`);
    end.isEstablished = true;
    if (verifyAgreement(end, this.#everyHost)) this.marks.hit('both ends established');
    const { plan, host, side } = end;
    if (plan === null || plan.end === 'vanish' || (plan.enders !== 'both' && plan.enders !== side)) return;
    this.#in(host, plan.endAfter, () => {
      if (end.isClosed || end.ending !== null) return;
      if (plan.end === 'close') this.#close(end);
      else
        this.#step(host, () => {
          const isTaken = host.machine.disconnect(end.id, this.now);
          expect(isTaken, 'settling', () => `${host.nameOf(end)} cannot disconnect`);
        });
    });
  }

  #onLookupRequest(host: SimHost, id: number, number: number): void {
    const { answerAfter, status } = this.scenario.lookups[number] as LookupPlan;
    if (answerAfter === null) return;
    const found = status === 0 ? { qpn: 0x50, qkey: QKEY } : { qpn: 0, qkey: 0 };
    const answer = { status, ...found, privateData: new Uint8Array(0) };
    this.#in(
      host,
      answerAfter,
      () => void this.#step(host, () => host.machine.answerLookup(id, answer, this.now)),
    );
  }

  // --- the network ----------------------------------------------------------------------------------------------------

  #transmit(send: CmSend): void {
    const type = cmAttributeName(madAttributeId(send.mad));
    expect(send.mad.length === MAD_BYTES, 'messages', () => `a ${type} of ${send.mad.length} bytes`);
    expect(++this.packets < MOST_MESSAGES, 'storms', () => `${this.packets} messages`);
    this.#say(`${type} leaves`);
    this.marks.hit(`sent ${type}`);
    const network = this.#network;
    for (let copies = network.copiesOf(type, this.now); copies > 0; copies--) {
      this.#at(this.now + network.delay(), () => this.#deliver({ send, type }));
    }
  }

  #deliver({ send, type }: Packet): void {
    const { mad, source, destination } = send;
    const host = this.#hosts.find(({ address }) => sameGid(address, destination)) as SimHost;
    expect(
      host.address.port === destination.port,
      'agreement',
      () => `a ${type} to port ${destination.port}`,
    );
    this.#say(`${type} arrives at host ${host.index}`);
    const before = host.machine.counters.drops.reduce((sum, count) => sum + count, 0);
    const answers = this.#step(host, () => host.machine.receive(mad, source, destination, this.now));
    const [first, second, ...others] = answers.map(({ mad: answer }) =>
      cmAttributeName(madAttributeId(answer)),
    );
    // The peer of an older connection is asked whether it has it still, or disconnected, beside the answer.
    const isBeside = second === undefined || (first === 'REJ' && ['REP', 'DREQ'].includes(second));
    expect(isBeside && others.length === 0, 'storms', () => `${answers.length} answers to one ${type}`);
    const dropped = host.machine.counters.drops.reduce((sum, count) => sum + count, 0) - before;
    expect(dropped <= 1, 'counting', () => `one ${type} was counted under ${dropped} reasons`);
  }

  /** A packet on the data path, which may overtake the RTU. */
  #sendData(end: End): void {
    const peer = this.#hosts[end.plan?.to ?? 0] as SimHost;
    if (this.#network.loses('data', this.now)) return;
    this.#at(this.now + this.#network.delay(), () => {
      const other = [...peer.ends.values()].find(
        ({ side, planNumber, qpn }) =>
          side === 'passive' && planNumber === end.planNumber && qpn === end.peerQpn,
      );
      if (peer.isDead || other === undefined || peer.machine.stateOf(other.id) !== 'rep-sent') return;
      this.marks.hit('established by a packet');
      this.#step(peer, () => peer.machine.establish(other.id, this.now));
    });
  }

  #markDrops(): void {
    for (const { machine } of this.#everyHost) {
      for (const [name, count] of Object.entries(machine.counters.snapshot()))
        if (count > 0) this.marks.hit(name, count);
    }
  }
}

/** Its program neither answers nor closes: the manager has to end it. */
const isForgotten = ({ side, plan, isEstablished }: End): boolean =>
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
