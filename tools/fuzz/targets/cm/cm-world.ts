/**
 * A communication manager with listeners, connections and lookups, and what the fuzzer knows of it: all that it sent, and
 * every end that its programs have. It insists on what the manager promises, whatever arrives.
 */
import { CmMachine } from '../../../../src/roce/cm/cm-machine.js';
import type {
  CmHandle,
  CmLimits,
  CmMachineEvent,
  CmOutput,
  CmSend,
} from '../../../../src/roce/cm/cm-outputs.js';
import { type CmMessage, parseCmMessage } from '../../../../src/roce/cm/wire/message.js';
import { serviceIdOf } from '../../../../src/roce/cm/wire/service-id.js';
import { MAD_BYTES } from '../../../../src/roce/mad/mad.js';
import { isIpv4, type UdpAddress } from '../../../../src/verbs/address.js';
import { PortSpace } from '../../../../src/verbs/connection-manager.js';
import { cmAddress, cmParameters } from '../../../../testkit/cm-hosts.js';
import { Random } from '../../../../testkit/random.js';
import { must } from '../../target.js';
import { GsiDevice, HEADER_FAULTS } from './gsi-device.js';

export const OWN: UdpAddress = cmAddress('10.88.0.1');
const OWN_IPV6 = cmAddress('fd88::1');
export const PEERS: readonly UdpAddress[] = ['10.88.0.2', 'fd88::2', '10.88.0.3', '224.0.0.1', '0.0.0.0'].map(
  (ip) => cmAddress(ip),
);
/** Of programs without rdma_cm: its requests have no CMA header. */
const NATIVE_SERVICE = 0x0002_c903_0042_1770n;
export const SERVICES: readonly bigint[] = [
  serviceIdOf(PortSpace.TCP, 7174),
  serviceIdOf(PortSpace.UDP, 7174),
  serviceIdOf(PortSpace.IB, 7),
  NATIVE_SERVICE,
  serviceIdOf(PortSpace.TCP, 9),
];
const LIMITS: CmLimits = { maxConnections: 24, maxHalfOpen: 3, maxHalfOpenOfSource: 2, maxRemembered: 4 };
/** Of messages that were sent, the fuzzer answers these. */
const REMEMBERED = 24;
/** Everything has its deadline before. */
const LONGEST_LIFE_MILLIS = 400_000;
const START_MILLIS = 1000;
/** A manager of its own numbers, the same in every run. */
const SEED = 7;

interface Known {
  readonly kind: 'connection' | 'lookup' | 'asked';
  isEnded: boolean;
  isClosed: boolean;
  isReleased: boolean;
}

export class CmWorld {
  readonly machine: CmMachine;
  readonly #device: GsiDevice;
  now = START_MILLIS;
  hostile = 0;
  readonly sent: CmMessage[] = [];
  readonly handles: CmHandle[] = [];
  readonly #known = new Map<CmHandle, Known>();
  #qpns = 0x100;

  constructor(backlog: number) {
    const addresses = [OWN, OWN_IPV6];
    this.machine = new CmMachine({ random: new Random(SEED).u32, addresses, maxMtu: 4096, limits: LIMITS });
    this.#device = new GsiDevice(this.machine, addresses);
    const [tcp, udp, ib, native] = SERVICES as [bigint, bigint, bigint, bigint];
    this.machine.listen({ serviceId: tcp, address: null, forDatagrams: false, backlog });
    this.machine.listen({ serviceId: udp, address: null, forDatagrams: true, backlog });
    this.machine.listen({ serviceId: ib, address: null, forDatagrams: false, backlog });
    this.machine.listen({ serviceId: native, address: OWN, forDatagrams: false, backlog });
  }

  connect(peer: UdpAddress, service: bigint, timeoutMillis: number): void {
    if (this.machine.census.connections >= LIMITS.maxConnections) return;
    const options = {
      ...cmParameters(this.#qpns++),
      serviceId: service,
      remote: peer,
      local: OWN,
      mtu: 1024 as const,
    };
    this.#know(this.machine.connect({ ...options, timeoutMillis }, this.now), 'connection');
    this.#settle();
  }

  lookUp(peer: UdpAddress, service: bigint, timeoutMillis: number): void {
    const options = {
      serviceId: service,
      remote: peer,
      local: OWN,
      privateData: new Uint8Array(3),
      timeoutMillis,
    };
    this.#know(this.machine.lookUp(options, this.now), 'lookup');
    this.#settle();
  }

  accept(id: CmHandle): void {
    this.machine.accept(id, cmParameters(this.#qpns++, 'hello'), this.now);
    this.#settle();
  }

  answer(id: CmHandle, status: number): void {
    const found = status === 0 ? { qpn: 9, qkey: 1 } : { qpn: 0, qkey: 0 };
    this.machine.answerLookup(id, { status, ...found, privateData: new Uint8Array(0) }, this.now);
    this.#settle();
  }

  reject(id: CmHandle): void {
    const known = this.#known.get(id);
    const isDone = this.machine.reject(id, 28, new Uint8Array(9), this.now);
    if (isDone && known !== undefined) known.isClosed = true;
    this.#settle();
  }

  establish(id: CmHandle): void {
    this.machine.establish(id, this.now);
    this.#settle();
  }

  disconnect(id: CmHandle): void {
    this.machine.disconnect(id, this.now);
    this.#settle();
  }

  close(id: CmHandle): void {
    const known = this.#known.get(id);
    if (known !== undefined) known.isClosed = true;
    this.machine.close(id, this.now);
    this.#settle();
  }

  /** Something arrives, in a packet whose headers are as `fault` says; 0 = right. */
  hear(mad: Uint8Array, from: UdpAddress, fault = 0): void {
    this.hostile++;
    const before = this.#picture();
    const dropsBefore = this.#drops();
    const to = isIpv4(from) ? OWN : OWN_IPV6;
    const headers = HEADER_FAULTS[fault % HEADER_FAULTS.length] as (typeof HEADER_FAULTS)[number];
    const isBadIcrc = fault >= 2 * HEADER_FAULTS.length;
    const told = this.#device.receive(mad, from, to, headers, isBadIcrc, this.now);
    const outputs = this.#settle();
    const dropped = this.#drops() - dropsBefore;
    must(dropped <= 1, 'a message is counted under one reason at most');
    if (told === null || typeof parseCmMessage(told) === 'number') {
      must(dropped === (told === null ? 0 : 1), 'what is no message is counted');
      must(
        outputs.length === 0 && this.#picture() === before,
        'nothing but messages of 256 bytes has an effect',
      );
    }
    const sends = outputs.flatMap((output) => (output.type === 'send' ? [this.#typeOf(output.mad)] : []));
    // The peer of an older connection is asked whether it has it still, or disconnected, beside the answer.
    const isBeside = sends.length === 2 && sends[0] === 'REJ' && ['REP', 'DREQ'].includes(sends[1] as string);
    must(sends.length <= 1 || isBeside, 'a message has one answer at most, and asks about one leftover');
  }

  /** Time passes; what is due runs, each at its time. */
  pass(millis: number): void {
    const end = this.now + millis;
    for (let runs = 0; this.machine.nextDeadline <= end; runs++) {
      must(runs < 10_000, 'timers do not run again and again');
      this.now = Math.max(this.now, this.machine.nextDeadline);
      this.machine.handleTimeout(this.now);
      must(this.machine.nextDeadline > this.now, 'what is due has run');
      this.#settle();
    }
    this.now = end;
  }

  /** All programs close, nobody answers any more: nothing may be left. */
  end(): void {
    for (const [id, { kind }] of this.#known) if (kind !== 'asked') this.close(id);
    this.pass(LONGEST_LIFE_MILLIS);
    const { connections, halfOpen, lookups } = this.machine.census;
    must(connections === 0 && halfOpen === 0 && lookups === 0, 'what is closed is gone in its time');
    must(this.machine.nextDeadline === Number.POSITIVE_INFINITY, 'nothing waits then');
  }

  #know(id: CmHandle, kind: Known['kind']): void {
    must(!this.#known.has(id), 'a handle is given out once');
    this.#known.set(id, { kind, isEnded: false, isClosed: false, isReleased: false });
    this.handles.push(id);
  }

  #settle(): CmOutput[] {
    const outputs: CmOutput[] = [];
    for (let next = this.machine.takeOutput(); next !== undefined; next = this.machine.takeOutput()) {
      outputs.push(next);
      if (next.type === 'send') this.#noteSent(next);
      else this.#noteEvent(next);
    }
    const { connections, halfOpen, lookups } = this.machine.census;
    must(connections <= LIMITS.maxConnections, 'connections are bounded');
    must(halfOpen <= LIMITS.maxHalfOpen, 'unfinished requests are bounded');
    const own = [...this.#known.values()].filter(({ kind, isEnded }) => kind === 'lookup' && !isEnded).length;
    must(lookups <= own + LIMITS.maxHalfOpen + LIMITS.maxRemembered, 'lookups of peers are bounded');
    return outputs;
  }

  #noteSent(send: CmSend): void {
    const { mad, destination } = send;
    must(mad.length === MAD_BYTES, 'nothing but 256 bytes is sent');
    must(destination.port > 0, 'an answer has a port to go to');
    const message = parseCmMessage(mad);
    must(typeof message === 'object', 'what is sent is a message');
    this.#device.send(send, this.now);
    this.sent.push(message);
    if (this.sent.length > REMEMBERED) this.sent.shift();
  }

  #noteEvent(event: CmMachineEvent): void {
    if (event.type === 'request' || event.type === 'lookup-request') {
      this.#know(event.id, event.type === 'request' ? 'connection' : 'asked');
      return;
    }
    const known = this.#known.get(event.id);
    must(known !== undefined, 'events are of what programs know');
    if (event.type === 'released') {
      must(!known.isReleased, 'a queue pair is released once');
      known.isReleased = true;
      return;
    }
    must(!known.isClosed, `nothing is told of what was closed, not '${event.type}'`);
    must(!known.isEnded, `nothing is told after the end, not '${event.type}'`);
    known.isEnded = event.type !== 'response' && event.type !== 'established';
  }

  #drops(): number {
    return this.machine.counters.drops.reduce((sum, count) => sum + count, 0);
  }

  #picture(): string {
    const states = this.handles.map((id) => this.machine.stateOf(id) ?? '-');
    return JSON.stringify([this.machine.census, states, this.machine.nextDeadline]);
  }

  #typeOf(mad: Uint8Array): string {
    const message = parseCmMessage(mad);
    return typeof message === 'number' ? 'none' : message.type;
  }
}
