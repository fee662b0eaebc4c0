/**
 * Hostile datagrams into a live NIC. The first step of an input is the configuration of the world; each other one is a
 * packet, a whole message, or something that the program beside the NIC does.
 */

import { isReadOrAtomic } from '../../../../src/roce/qp/request-opcodes.js';
import type { Requester } from '../../../../src/roce/qp/requester.js';
import type { SendQueue, SendWqe } from '../../../../src/roce/qp/send-queue.js';
import { Opcode } from '../../../../src/roce/wire/opcodes.js';
import { QpState, QpType } from '../../../../src/verbs/qp-state.js';
import { WrOpcode } from '../../../../src/verbs/work-request.js';
import { Choices } from '../../choices.js';
import { must, type Target } from '../../target.js';
import { changeMemory, changeState, passTime, postInitial, postReceive, postSend } from './local-steps.js';
import { MemoryMap } from './memory-map.js';
import { Observer } from './observer.js';
import { PacketCrafter } from './packet-crafter.js';
import { recordedPackets } from './recorded-packets.js';
import { type KnownQp, World } from './world.js';

const STEP_BYTES = 32;
const MAX_STEPS = 96;
const SOAK_DATAGRAMS = 20_000;
const MAX_SOAK_GROWTH_BYTES = 4 * 1024 * 1024;

export class WireTarget implements Target {
  readonly name: string;
  readonly stepBytes = STEP_BYTES;
  readonly maxSteps = MAX_STEPS;
  readonly #checkIcrc: boolean;
  readonly #memory = new MemoryMap();
  readonly #crafter = new PacketCrafter();
  readonly #choices = new Choices();
  readonly #templates = recordedPackets();

  constructor(checkIcrc: boolean) {
    this.#checkIcrc = checkIcrc;
    this.name = checkIcrc ? 'wire' : 'wire-noicrc';
  }

  /** One input a recorded packet, and one for every opcode towards every queue pair. */
  seeds(): Uint8Array[] {
    const seeds = this.#templates.map((_, i) => step([], [200, i]));
    for (let qp = 0; qp < 14; qp++) {
      for (let opcode = 0; opcode < 24; opcode++)
        seeds.push(step([], [0, qp, opcode < 17 ? 0 : 160, opcode % 17]));
      // A READ, and repetitions that ask for more, less or from further on; messages that just fill a receive; a window bound for another queue pair, and WRITEs that name it.
      for (const how of [0, 1, 2, 3])
        seeds.push(step([], [0, qp, 0, 2], [193, how, 1], [194, how, 2], [195, how, 3]));
      for (let i = 0; i < 6; i++) seeds.push(step([], [147, qp, i], [147, qp, i], [147, qp, i], [238]));
      for (const owner of [1, 2]) {
        const name = 13 + owner;
        seeds.push(
          step(
            [],
            [210, owner, 9, 0, owner - 1],
            [2, qp, 0, 1, 0, 4, 0, name],
            [2, owner, 0, 1, 0, 4, 0, name],
          ),
        );
        for (const how of [241, 248]) seeds.push(step([], [210, owner, 9, 0, owner - 1, how], [2, owner]));
      }
      // A READ and a repetition from one byte before; an atomic across eight bytes.
      seeds.push(step([], [0, qp, 0, 2], [194, 3, 0, 3]), step([], [2, qp, 0, 3, 0, 0, 0, 0, 0, 0, 0, 9]));
      // A WRITE that ends one byte behind its region.
      seeds.push(step([], [2, qp, 0, 1, 0, 4, 0, 0, 0, 6]));
      // READs of our own, and their data.
      for (let i = 0; i < 8; i++)
        seeds.push(step([], [210, qp, 2], [210, qp, 2], [168, qp, i], [168, qp, i, 1], [168, qp, i, 2]));
      // A WRITE of two packets, and memory that is deregistered between them.
      seeds.push(step([], [0, qp, 0, 7, 0, 0, 0, 0, 2, 8], [254], [2, qp, 0, 9, 0, 129]));
      seeds.push(step([], [152, qp, 5, 0], [152, qp, 5, 1], [210, qp], [226, qp]));
    }
    return seeds;
  }

  run(input: Uint8Array): number {
    const choices = this.#choices.reset(input, 0, STEP_BYTES);
    const world = new World(this.#memory, choices, this.#checkIcrc);
    const observer = new Observer(world);
    postInitial(world, observer, choices);
    observer.transmit();
    this.#play(world, observer, input);
    this.#end(world, observer);
    return observer.datagrams;
  }

  /** All that was worth keeping, again and again into one world: what it holds must not grow with the packets. */
  finish(corpus: readonly Uint8Array[]): void {
    const world = new World(this.#memory, this.#choices.reset(new Uint8Array(0)), this.#checkIcrc);
    const observer = new Observer(world);
    const soak = (datagrams: number): void => {
      for (let i = 0; observer.datagrams < datagrams && corpus.length > 0 && i < datagrams; i++) {
        this.#play(world, observer, corpus[i % corpus.length] as Uint8Array);
        observer.poll();
      }
    };
    soak(SOAK_DATAGRAMS);
    const before = process.memoryUsage();
    soak(SOAK_DATAGRAMS * 2);
    const after = process.memoryUsage();
    const grown = after.external + after.arrayBuffers - before.external - before.arrayBuffers;
    must(grown < MAX_SOAK_GROWTH_BYTES, `a NIC grew by ${grown} bytes over ${SOAK_DATAGRAMS} datagrams`);
    this.#end(world, observer);
  }

  #play(world: World, observer: Observer, input: Uint8Array): void {
    for (let at = STEP_BYTES; at < input.length; at += STEP_BYTES) {
      this.#step(world, observer, this.#choices.reset(input, at, at + STEP_BYTES));
    }
  }

  #step(world: World, observer: Observer, choices: Choices): void {
    const kind = choices.u8();
    const crafter = this.#crafter;
    if (kind < 144) {
      crafter.craft(world, choices);
      observer.receive(crafter.datagram);
    } else if (kind < 168) {
      this.#message(world, observer, choices);
    } else if (kind < 188) {
      this.#answer(world, observer, choices);
    } else if (kind < 193) {
      crafter.blind(world, choices);
      observer.receive(crafter.datagram);
    } else if (kind < 198) {
      crafter.again(world, choices);
      observer.receive(crafter.datagram);
    } else if (kind < 206) {
      crafter.adopt(world, choices.pick(this.#templates), choices);
      observer.receive(crafter.datagram);
    } else if (kind < 210) {
      crafter.adopt(world, observer.sent.at(-1 - choices.below(8)) ?? new Uint8Array(0), choices);
      observer.receive(crafter.datagram);
    } else {
      this.#localStep(world, observer, kind, choices);
    }
    if ((kind & 3) !== 3) observer.transmit();
  }

  #localStep(world: World, observer: Observer, kind: number, choices: Choices): void {
    const index = choices.below(world.qps.length);
    if (kind < 220) postSend(world, observer, index, choices);
    else if (kind < 228) postReceive(world, observer, index, choices);
    else if (kind < 236) passTime(world, choices);
    else if (kind < 240) observer.poll();
    else if (kind < 244) observer.transmit(true);
    else if (kind < 250) changeState(world, observer, index, choices);
    else changeMemory(world, choices);
    observer.nothingChanged('a local step');
  }

  /** A SEND or WRITE of several packets in order, as a good peer would send it but for one of them. */
  #message(world: World, observer: Observer, choices: Choices): void {
    const known = choices.pick(world.qps);
    const lengths = choices.u8();
    const packets = lengths >= 64 ? 2 + (lengths & 3) : Math.ceil(edge(lengths) / world.mtu);
    const isWrite = choices.u8() & 1;
    const [first, middle, last] = isWrite ? [6, 7, 8] : [0, 1, 2];
    const bits = known.plan.type === QpType.UC ? Opcode.UC_SEND_FIRST : 0;
    const strange = choices.u8();
    for (let i = 0; i < packets; i++) {
      const opcode = packets === 1 ? (isWrite ? 10 : 4) : i === 0 ? first : i === packets - 1 ? last : middle;
      let length: number = world.mtu;
      if (i === packets - 1) {
        length = lengths >= 64 ? choices.below(world.mtu) + 1 : edge(lengths) - i * world.mtu;
      }
      // Where memory is written, a region that holds the whole message.
      this.#crafter.write(world, known, bits | (opcode as number), this.#nextPsn(known), choices, length);
      if (isWrite && i === 0) this.#announceWrite(world, (packets - 1) * world.mtu + 64);
      if (strange % 16 === i + 1) this.#crafter.length = Math.max(0, this.#crafter.length - 4);
      this.#crafter.finish(world, choices);
      observer.receive(this.#crafter.datagram);
    }
  }

  #announceWrite(world: World, length: number): void {
    const grant = world.regions[2]?.grant;
    if (grant === null || grant === undefined) return;
    this.#crafter.setReth(grant.va + 32, grant.rkey, length);
  }

  #nextPsn(known: KnownQp): number {
    return this.#crafter.expectedPsn(known);
  }

  /** What the requester is waiting for: the next READ data or atomic result, or an ACK of all that was sent. */
  #answer(world: World, observer: Observer, choices: Choices): void {
    const known = choices.pick(world.qps);
    const { qp } = known;
    if (qp.type !== QpType.RC) return;
    const requester = qp.requester as Requester;
    const { queue, unackedPsn, nextPsn } = requester;
    const wqe = waiting(queue);
    let opcode: number = Opcode.RC_ACKNOWLEDGE;
    let psn = choices.oneIn(3) ? unackedPsn : nextPsn - 1;
    let length = 0;
    if (wqe?.opcode === WrOpcode.RDMA_READ) {
      const ahead = (unackedPsn - wqe.firstPsn) & 0xffffff;
      psn = ahead < wqe.packets ? unackedPsn : wqe.firstPsn;
      const done = ((psn - wqe.firstPsn) & 0xffffff) * qp.mtu;
      length = Math.min(qp.mtu, Math.max(0, wqe.length - done));
      if (choices.oneIn(3)) length = choices.pick([Math.max(0, length - 1), length + 1, 0, 1]);
      opcode = choices.pick([
        Opcode.RC_READ_RESPONSE_MIDDLE,
        Opcode.RC_READ_RESPONSE_LAST,
        Opcode.RC_READ_RESPONSE_ONLY,
      ]);
    } else if (wqe !== undefined) {
      psn = wqe.firstPsn;
      opcode = Opcode.RC_ATOMIC_ACKNOWLEDGE;
    }
    this.#crafter.write(world, known, opcode, psn, choices, length);
    this.#crafter.finish(world, choices);
    observer.receive(this.#crafter.datagram);
  }

  /** Everything is brought to an end, and nothing may be left. */
  #end(world: World, observer: Observer): void {
    const { nic, qps } = world;
    for (const { qp } of qps) if (qp.state !== QpState.RESET) qp.modify({ state: QpState.ERR });
    observer.transmit();
    observer.poll();
    for (const [index, { plan }] of qps.entries()) {
      if (!plan.tinyCq) must(observer.open(index) === 0, `all requests of ${plan.name} completed`);
    }
    must(!nic.wantsTransmit, 'a NIC that has sent everything wants nothing');
    for (const { qp } of qps) nic.destroyQp(qp, world.now);
    observer.transmit();
    must(nic.qpCount === 0, 'no queue pair is left');
    must(nic.nextDeadline() === Number.POSITIVE_INFINITY, 'no timer is left');
    must(world.cq.users === 0 && world.srq.users === 0, 'nobody uses the queues');
    for (let i = 0; i < world.regions.length; i++) world.kill(i);
    must(nic.regions.regionCount === 0, 'no region is left');
    observer.nothingChanged('the end');
  }
}

/** The oldest READ or atomic that was sent and not answered. */
function waiting(queue: SendQueue): SendWqe | undefined {
  for (let i = queue.head; i !== queue.tail; i++) {
    const wqe = queue.at(i);
    if (wqe.started && isReadOrAtomic(wqe.opcode)) return wqe;
  }
  return undefined;
}

/** Lengths of messages where a receive is full, and one byte beyond. */
const EDGES = [1008, 1009, 808, 809, 200, 201] as const;
const edge = (choice: number): number => EDGES[choice % EDGES.length] as number;

/** An input of these steps, each padded with zeros. */
function step(...steps: number[][]): Uint8Array {
  const input = new Uint8Array(steps.length * STEP_BYTES);
  for (const [i, bytes] of steps.entries()) input.set(bytes, i * STEP_BYTES);
  return input;
}
