/**
 * Communication managers of a few hosts in virtual time: what one sends is handed to the other at once, unless a test
 * takes it away, and time jumps from deadline to deadline.
 */
import { CmMachine } from '../src/roce/cm/cm-machine.js';
import type {
  CmConnectOptions,
  CmHandle,
  CmListenerOptions,
  CmMachineEvent,
  CmMachineOptions,
  CmSend,
} from '../src/roce/cm/cm-outputs.js';
import { cmAttributeName } from '../src/roce/cm/wire/attributes.js';
import { type CmMessage, parseCmMessage } from '../src/roce/cm/wire/message.js';
import { serviceIdOf } from '../src/roce/cm/wire/service-id.js';
import { madAttributeId } from '../src/roce/mad/mad.js';
import { parseGid, type UdpAddress } from '../src/verbs/address.js';
import { toQpn } from '../src/verbs/brands.js';
import { type OwnCmParameters, PortSpace } from '../src/verbs/connection-manager.js';
import { Random } from './random.js';

export const CM_PORT = 7174;
export const CM_SERVICE: bigint = serviceIdOf(PortSpace.TCP, CM_PORT);

export function cmAddress(ip: string, port = 4791): UdpAddress {
  const address = parseGid(ip);
  if (address === undefined) throw new Error(`no address: ${ip}`);
  address.port = port;
  return address;
}

/** What an end says of its queue pair. */
export const cmParameters = (qpn: number, privateData = ''): OwnCmParameters => ({
  qpn: toQpn(qpn),
  responderResources: 4,
  initiatorDepth: 4,
  retryCount: 7,
  rnrRetryCount: 7,
  flowControl: false,
  srq: false,
  privateData: new TextEncoder().encode(privateData),
});

type EventOf<T extends CmMachineEvent['type']> = Extract<CmMachineEvent, { type: T }>;

/** A message on its way. */
export interface CmTransit {
  readonly from: CmTestHost;
  readonly send: CmSend;
  /** `REQ` and so on. */
  readonly type: string;
}

export class CmTestHost {
  readonly ip: string;
  readonly address: UdpAddress;
  readonly machine: CmMachine;
  readonly events: CmMachineEvent[] = [];
  readonly #hosts: CmHosts;

  constructor(hosts: CmHosts, ip: string, seed: number, options: Partial<CmMachineOptions> = {}) {
    this.#hosts = hosts;
    this.ip = ip;
    this.address = options.addresses?.[0] ?? cmAddress(ip);
    const addresses = [this.address];
    this.machine = new CmMachine({ random: new Random(seed).u32, addresses, maxMtu: 4096, ...options });
  }

  connectTo(peer: CmTestHost, qpn: number, options: Partial<CmConnectOptions> = {}): CmHandle {
    const base = { serviceId: CM_SERVICE, remote: peer.address, local: this.address, mtu: 1024 as const };
    const wanted = { ...cmParameters(qpn), ...base, timeoutMillis: 20_000, ...options };
    return this.run(() => this.machine.connect(wanted, this.#hosts.now));
  }

  listen(options: Partial<CmListenerOptions> = {}): CmHandle {
    const base = { serviceId: CM_SERVICE, address: null, forDatagrams: false, backlog: 16 };
    return this.machine.listen({ ...base, ...options });
  }

  accept(id: CmHandle, qpn: number, privateData = ''): boolean {
    return this.run(() => this.machine.accept(id, cmParameters(qpn, privateData), this.#hosts.now));
  }

  establish(id: CmHandle): boolean {
    return this.run(() => this.machine.establish(id, this.#hosts.now));
  }

  reject(id: CmHandle, privateData = ''): boolean {
    const data = new TextEncoder().encode(privateData);
    return this.run(() => this.machine.reject(id, 28, data, this.#hosts.now));
  }

  disconnect(id: CmHandle): boolean {
    return this.run(() => this.machine.disconnect(id, this.#hosts.now));
  }

  close(id: CmHandle): boolean {
    return this.run(() => this.machine.close(id, this.#hosts.now));
  }

  run<T>(action: () => T): T {
    const result = action();
    this.#hosts.settle();
    return result;
  }

  /** A message of nobody in particular. */
  hear(mad: Uint8Array, from: UdpAddress = this.#hosts.stranger): void {
    this.run(() => this.machine.receive(mad, from, this.address, this.#hosts.now));
  }

  /** The only event of this type so far, taken out. */
  take<T extends CmMachineEvent['type']>(type: T): EventOf<T> {
    const found = this.events.filter((event): event is EventOf<T> => event.type === type);
    const [first] = found;
    if (first === undefined || found.length > 1) {
      throw new Error(`${found.length} events '${type}' of ${this.events.map((event) => event.type)}`);
    }
    this.events.splice(this.events.indexOf(first), 1);
    return first;
  }

  drops(name: string): number {
    return this.machine.counters.snapshot()[`drop_cm_${name}`] ?? Number.NaN;
  }
}

export class CmHosts {
  now = 1000;
  readonly stranger: UdpAddress = cmAddress('10.0.0.99');
  readonly hosts: CmTestHost[] = [];
  /** All that was sent, in order. */
  sent: CmTransit[] = [];
  /** Says of each message whether it arrives. */
  arrives: (transit: CmTransit) => boolean = () => true;
  readonly #under: CmTransit[] = [];

  add(ip: string, options?: Partial<CmMachineOptions>): CmTestHost {
    const host = new CmTestHost(this, ip, this.hosts.length + 1, options);
    this.hosts.push(host);
    return host;
  }

  /** The types of what was sent since the last call. */
  types(): string[] {
    const types = this.sent.map(({ type }) => type);
    this.sent = [];
    return types;
  }

  last(type: CmMessage['type']): Uint8Array {
    const found = this.sent.filter((transit) => transit.type === type).at(-1);
    if (found === undefined) throw new Error(`no ${type} was sent`);
    return found.send.mad;
  }

  /** Takes what machines have to tell until there is nothing left. */
  settle(): void {
    for (let idle = false; !idle; ) {
      for (const host of this.hosts) this.#drain(host);
      idle = this.#under.length === 0;
      for (const transit of this.#under.splice(0)) this.#deliver(transit);
    }
  }

  #drain(host: CmTestHost): void {
    for (let output = host.machine.takeOutput(); output !== undefined; output = host.machine.takeOutput()) {
      if (output.type !== 'send') host.events.push(output);
      else {
        const transit = { from: host, send: output, type: cmAttributeName(madAttributeId(output.mad)) };
        this.sent.push(transit);
        if (this.arrives(transit)) this.#under.push(transit);
      }
    }
  }

  #deliver({ send }: CmTransit): void {
    const { mad, source, destination } = send;
    const host = this.hosts.find(
      ({ address }) => address.w3 === destination.w3 && address.w0 === destination.w0,
    );
    host?.machine.receive(mad, source, destination, this.now);
  }

  /** Lets time pass, from deadline to deadline. */
  pass(millis: number): void {
    const end = this.now + millis;
    for (;;) {
      const next = Math.min(...this.hosts.map(({ machine }) => machine.nextDeadline));
      if (next > end) break;
      this.now = Math.max(next, this.now);
      for (const { machine } of this.hosts) machine.handleTimeout(this.now);
      this.settle();
    }
    this.now = end;
  }
}

/** The message in these bytes. */
export function cmMessage(mad: Uint8Array): CmMessage {
  const message = parseCmMessage(mad);
  if (typeof message === 'number') throw new Error(`no message: reason ${message}`);
  return message;
}
