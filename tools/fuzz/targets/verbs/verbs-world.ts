/**
 * Two soft devices that are joined in memory, and a program that uses both. It begins with a queue pair of every
 * service on both sides, connected; from there the calls of the input take over.
 */
import { Icrc } from '../../../../src/roce/wire/icrc.js';
import { SoftDevice } from '../../../../src/soft/soft-device.js';
import { fastCrc32 } from '../../../../src/soft/zlib-crc.js';
import { AccessFlags } from '../../../../src/verbs/access-flags.js';
import type { CompletionQueue } from '../../../../src/verbs/completion-queue.js';
import { QpState, QpType } from '../../../../src/verbs/qp-state.js';
import { createCompletions } from '../../../../src/verbs/work-completion.js';
import type { Choices } from '../../choices.js';
import { must } from '../../target.js';
import { nextStep } from './arguments.js';
import { isRefusal } from './call.js';
import { Ledger, type RequestQueue } from './ledger.js';
import { MemoryPort } from './memory-port.js';
import { type CqEntry, Entry, type PdEntry, type QpEntry, Registry, type SrqEntry } from './registry.js';
import type { VerbsMemory } from './verbs-memory.js';

export const ADDRESSES = ['10.0.0.1', '10.0.0.2'] as const;
export const GIDS = ['::ffff:10.0.0.1', '::ffff:10.0.0.2'] as const;
export const QKEY = 0x1111;
const { LOCAL_WRITE, REMOTE_WRITE, REMOTE_READ, REMOTE_ATOMIC, MW_BIND } = AccessFlags;
const ALL = LOCAL_WRITE | REMOTE_WRITE | REMOTE_READ | REMOTE_ATOMIC | MW_BIND;
const ACCESSES = [ALL, LOCAL_WRITE, 0, LOCAL_WRITE | REMOTE_READ];
const SERVICES = [QpType.RC, QpType.UC, QpType.UD, QpType.RC] as const;
const MAX_EVENTS = 4096;

export class VerbsWorld {
  readonly devices: readonly SoftDevice[];
  readonly ports: readonly MemoryPort[];
  readonly objects = new Registry();
  readonly ledger = new Ledger();
  readonly memory: VerbsMemory;
  readonly closedDevices = [false, false];
  calls = 0;
  #events = 0;
  readonly #completions = createCompletions(8);

  constructor(memory: VerbsMemory) {
    this.memory = memory;
    memory.reset();
    const icrc = new Icrc(fastCrc32);
    const [a, b] = ADDRESSES.map((address) => new MemoryPort(address, icrc)) as [MemoryPort, MemoryPort];
    a.peer = b;
    b.peer = a;
    this.ports = [a, b];
    this.devices = this.ports.map((port) => new SoftDevice(port, icrc));
    for (const device of this.devices) {
      device.onAsyncEvent((event) => {
        this.#events++;
        must(this.#events < MAX_EVENTS, 'events are bounded');
        if (event.type === 'CQ_ERR') this.#onOverrun(event.cq);
      });
    }
  }

  async setUp(choices: Choices): Promise<void> {
    const connected = choices.below(5);
    for (const device of [0, 1]) await this.#setUpDevice(device, choices);
    for (const [i, qp] of this.objects.qps.entries()) {
      qp.peer = this.objects.qps[(i + SERVICES.length) % (2 * SERVICES.length)] as QpEntry;
      for (let step = 0; step < 3 && i % SERVICES.length >= connected - 1; step++) await this.advance(qp);
    }
  }

  /** One state on, by the book. */
  async advance(entry: QpEntry): Promise<void> {
    const { object: qp, peer } = entry;
    if (peer === undefined) return;
    const attributes = nextStep(qp.state, {
      type: qp.type,
      dgid: GIDS[1 - entry.device] as string,
      destQpn: peer.object.qpn,
      mtu: 1024,
      qkey: QKEY,
      depth: entry.depth ?? 2,
    });
    if (attributes === null) return;
    if (attributes.state === QpState.RESET) this.beforeReset(entry);
    const done = qp.modify(attributes);
    // A completion queue that overran takes its queue pairs into ERR at once.
    must(qp.state === attributes.state || qp.state === QpState.ERR, 'a right call changes the state');
    await done;
  }

  /** What completed so far is still there; what did not never will. */
  beforeReset(entry: QpEntry): void {
    this.pollAll();
    if (entry.sends !== undefined) this.ledger.forget(entry.sends);
    if (entry.receives !== undefined) this.ledger.forget(entry.receives);
  }

  async addQp(pd: PdEntry, sendCq: CqEntry, recvCq: CqEntry, type: QpType, srq?: SrqEntry): Promise<QpEntry> {
    const capacity = { maxSendWr: 8, maxRecvWr: 8, maxSendSge: 3, maxRecvSge: 3, maxInlineData: 64 };
    const options = { type, sendCq: sendCq.object, recvCq: recvCq.object, capacity };
    const qp = await pd.object.createQp(srq === undefined ? options : { ...options, srq: srq.object });
    const uses = [pd, sendCq, recvCq, ...(srq === undefined ? [] : [srq])];
    const entry: QpEntry = this.objects.add('qps', new Entry('qps', pd.device, qp, uses));
    const number = this.objects.qps.length;
    entry.sends = this.ledger.newQueue(`send queue ${number}`, true);
    if (srq === undefined) entry.receives = this.ledger.newQueue(`receive queue ${number}`, true);
    return entry;
  }

  async addMr(pd: PdEntry, length: number, access: number): Promise<void> {
    const carved = this.memory.carve(length);
    if (carved === null) return;
    const mr = await pd.object.regMr(carved.bytes, access);
    const entry = this.objects.add('mrs', new Entry('mrs', pd.device, mr, [pd]));
    Object.assign(entry, { piece: carved.piece });
    this.memory.grant(carved.piece, access);
  }

  /** Until all are empty: one that was looked at may get completions from what the look at another one makes happen. */
  pollAll(): void {
    let taken: number;
    do {
      taken = 0;
      for (const cq of this.objects.cqs) if (!cq.closed) taken += this.poll(cq);
    } while (taken > 0 || this.devices.some(({ nic }) => nic.completions > 0));
  }

  /** Returns how many completions it took. */
  poll(entry: CqEntry, max = 8): number {
    let taken = 0;
    try {
      for (let rounds = 0; ; rounds++) {
        must(rounds < 1000, 'a completion queue becomes empty');
        const count = entry.object.poll(this.#completions, max);
        must(Number.isInteger(count) && count >= 0 && count <= 8, 'poll fills what it was given');
        for (let i = 0; i < count; i++) this.ledger.completed(this.#completions[i] as never);
        if (count === 0) return taken;
        taken += count;
      }
    } catch (error) {
      if (!isRefusal(error)) throw error;
      return taken;
    }
  }

  /** Lets the devices send, receive and report. */
  async turn(): Promise<void> {
    for (let i = 0; i < 40; i++) await null;
    this.memory.check('the devices');
    for (const { sentBeyond } of this.ports) must(!sentBeyond, 'what is sent lies in its region');
  }

  async end(): Promise<void> {
    for (const entry of this.objects.qps) {
      if (entry.closed || entry.object.state === QpState.RESET) continue;
      await entry.object.modify({ state: QpState.ERR });
    }
    await this.turn();
    this.pollAll();
    for (const { closed, object, sends, receives } of this.objects.qps) {
      if (closed || object.state === QpState.RESET) continue;
      for (const queue of [sends, receives]) if (queue !== undefined) this.ledger.checkFlushed(queue);
    }
    for (const entry of this.objects.closingOrder()) await this.objects.close(entry);
    this.objects.checkCensus(this.devices);
    for (const [i, device] of this.devices.entries()) {
      must(
        device.nic.qpCount === 0 && device.nic.regions.regionCount === 0,
        'a device without objects is empty',
      );
      must(device.nic.nextDeadline() === Number.POSITIVE_INFINITY, 'a device without objects has no timer');
      if (this.closedDevices[i] === false) await device.close();
    }
    await this.turn();
  }

  async #setUpDevice(index: number, choices: Choices): Promise<void> {
    const device = this.devices[index] as SoftDevice;
    const { objects } = this;
    const pd = objects.add('pds', new Entry('pds', index, await device.allocPd(), []));
    const channel = objects.add(
      'channels',
      new Entry('channels', index, await device.createCompletionChannel(), []),
    );
    const cqs: CqEntry[] = [];
    for (const capacity of [64, choices.pick([64, 2, 5])]) {
      const cq = await device.createCq({ capacity, channel: channel.object });
      cqs.push(objects.add('cqs', new Entry('cqs', index, cq, [channel])));
    }
    const srq: SrqEntry = objects.add(
      'srqs',
      new Entry('srqs', index, await pd.object.createSrq({ maxWr: 8, maxSge: 2 }), [pd]),
    );
    srq.queue = this.ledger.newQueue('shared receive queue', false);
    for (const [i, type] of SERVICES.entries()) {
      const [first, second] = cqs as [CqEntry, CqEntry];
      await this.addQp(pd, first, i === 3 ? second : first, type, i === 3 ? srq : undefined);
    }
    for (const access of ACCESSES) await this.addMr(pd, 2048, access);
    const ah = await pd.object.createAh({ dgid: GIDS[1 - index] as string });
    objects.add('ahs', new Entry('ahs', index, ah, [pd]));
    objects.add('mws', new Entry('mws', index, await pd.object.allocMw(), [pd]));
    channel.object.onEvent = (cq) => this.#onEvent(cq);
  }

  /** As a program does it: arm, then take what is there. */
  #onEvent(cq: CompletionQueue): void {
    const entry = this.objects.cqs.find(({ object }) => object === cq);
    must(entry !== undefined && !entry.closed, 'an event is about an open queue');
    cq.reqNotify();
    this.poll(entry);
  }

  /** Completions were lost, and the device said so. */
  #onOverrun(cq: CompletionQueue): void {
    const lose = (queue: RequestQueue | undefined): void => {
      if (queue !== undefined) queue.lossy = true;
    };
    for (const { object, sends, receives } of this.objects.qps) {
      if (object.sendCq === cq) lose(sends);
      if (object.recvCq === cq) lose(receives);
    }
    for (const { queue } of this.objects.srqs) lose(queue);
  }
}
