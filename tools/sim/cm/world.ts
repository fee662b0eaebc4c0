/**
 * One simulation of communication managers: hosts that meet over a bad network, programs that take their time, give up at
 * any step, end together, hosts that die and come back. Then everything heals, the programs come to their end, and nothing
 * may be left.
 */
import type { CmMachineEvent, CmSend } from '../../../src/roce/cm/cm-outputs.js';
import { cmAttributeName } from '../../../src/roce/cm/wire/attributes.js';
import { parseCmMessage } from '../../../src/roce/cm/wire/message.js';
import { MAD_BYTES, madAttributeId } from '../../../src/roce/mad/mad.js';
import { parseGid, sameGid, type UdpAddress } from '../../../src/verbs/address.js';
import { EventQueue } from '../../../testkit/event-queue.js';
import { Random } from '../../../testkit/random.js';
import { expect } from '../failure.js';
import { Marks } from '../marks.js';
import { BadNetwork } from './bad-network.js';
import { DATAGRAM_SERVICE, isForgotten, Programs, SERVICE, type Stage } from './programs.js';
import type { Scenario } from './scenario.js';
import { type End, SimHost } from './sim-host.js';
import { verifyMeetings, verifyNothingLeft } from './verify.js';

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

export class World implements Stage {
  readonly scenario: Scenario;
  readonly marks = new Marks();
  now = 0;
  packets = 0;
  readonly #trace: (line: string) => void;
  readonly #events = new EventQueue();
  readonly #random: Random;
  readonly network: BadNetwork;
  readonly #addresses: readonly UdpAddress[];
  readonly hosts: SimHost[] = [];
  readonly everyHost: SimHost[] = [];
  readonly #programs = new Programs(this);
  #steps = 0;

  constructor(scenario: Scenario, trace: (line: string) => void = () => {}) {
    this.scenario = scenario;
    this.#trace = trace;
    this.#random = new Random(scenario.seed * 2 + 1);
    this.network = new BadNetwork(scenario, this.#random);
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
    for (const [number, plan] of meetings.entries())
      this.at(plan.at, () => this.#programs.meet(plan, number));
    for (const plan of lookups) this.at(plan.at, () => this.#programs.lookUp(plan));
    for (const { at, host, isOrderly } of restarts) this.at(at, () => this.#restart(host, isOrderly));
    this.at(healAt, () => this.#heal());
    for (;;) {
      const next = Math.min(this.#events.next, ...this.hosts.map(({ machine }) => machine.nextDeadline));
      if (next === Number.POSITIVE_INFINITY) break;
      expect(++this.#steps < MAX_STEPS, 'liveness', () => 'it runs and runs');
      expect(next < healAt + PATIENCE_MILLIS, 'liveness', () => `something is still due at ${next} ms`);
      this.now = Math.max(this.now, next);
      if (this.#events.next <= this.now) this.#events.take()();
      else
        for (const host of this.hosts)
          if (host.machine.nextDeadline <= this.now)
            this.step(host, () => host.machine.handleTimeout(this.now));
      for (const host of this.hosts) host.watch(this.now);
    }
    for (const host of this.hosts) verifyNothingLeft(host, this.#programs.lookupsOf(host));
    verifyMeetings(this.scenario, this.everyHost, this.marks);
    this.#markDrops();
  }

  at(at: number, run: () => void): void {
    this.#events.add(at, run);
  }

  in(host: SimHost, millis: number, run: () => void): void {
    this.at(this.now + millis, () => {
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
    this.hosts[index] = host;
    this.everyHost.push(host);
    host.machine.listen({ serviceId: SERVICE, address: null, forDatagrams: false, backlog });
    host.machine.listen({ serviceId: DATAGRAM_SERVICE, address, forDatagrams: true, backlog });
  }

  #restart(index: number, isOrderly: boolean): void {
    const host = this.hosts[index] as SimHost;
    this.#say(`host ${index} restarts`);
    this.marks.hit(isOrderly ? 'restart with a word' : 'restart without a word');
    if (isOrderly) {
      for (const end of host.ends.values()) end.isClosed = true;
      this.step(host, () => host.machine.end(this.now));
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
    this.network.isHealed = true;
    for (const host of this.hosts) {
      for (const end of host.ends.values()) if (!isForgotten(end)) this.#programs.close(end);
    }
  }

  // --- what machines do -----------------------------------------------------------------------------------------------

  /** The end whose first message is the next that is sent. */
  #claimant: End | null = null;

  claimBy(end: End): void {
    this.#claimant = end;
  }

  step(host: SimHost, run: () => void): CmSend[] {
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
    this.#programs.hear(host, event);
  }

  // --- the network ----------------------------------------------------------------------------------------------------

  #transmit(send: CmSend): void {
    const type = cmAttributeName(madAttributeId(send.mad));
    expect(send.mad.length === MAD_BYTES, 'messages', () => `a ${type} of ${send.mad.length} bytes`);
    expect(++this.packets < MOST_MESSAGES, 'storms', () => `${this.packets} messages`);
    this.#say(`${type} leaves`);
    this.marks.hit(`sent ${type}`);
    const network = this.network;
    for (let copies = network.copiesOf(type, this.now); copies > 0; copies--) {
      this.at(this.now + network.delay(), () => this.#deliver({ send, type }));
    }
  }

  #deliver({ send, type }: Packet): void {
    const { mad, source, destination } = send;
    const host = this.hosts.find(({ address }) => sameGid(address, destination)) as SimHost;
    expect(
      host.address.port === destination.port,
      'agreement',
      () => `a ${type} to port ${destination.port}`,
    );
    this.#say(`${type} arrives at host ${host.index}`);
    const before = host.machine.counters.drops.reduce((sum, count) => sum + count, 0);
    const answers = this.step(host, () => host.machine.receive(mad, source, destination, this.now));
    const [first, second, ...others] = answers.map(({ mad: answer }) =>
      cmAttributeName(madAttributeId(answer)),
    );
    // The peer of an older connection is asked whether it has it still, or disconnected, beside the answer.
    const isBeside = second === undefined || (first === 'REJ' && ['REP', 'DREQ'].includes(second));
    expect(isBeside && others.length === 0, 'storms', () => `${answers.length} answers to one ${type}`);
    const dropped = host.machine.counters.drops.reduce((sum, count) => sum + count, 0) - before;
    expect(dropped <= 1, 'counting', () => `one ${type} was counted under ${dropped} reasons`);
  }

  #markDrops(): void {
    for (const { machine } of this.everyHost) {
      for (const [name, count] of Object.entries(machine.counters.snapshot()))
        if (count > 0) this.marks.hit(name, count);
    }
  }
}
