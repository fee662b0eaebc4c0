/**
 * Forged packets with a right ICRC, as somebody could send them who knows addresses, QPNs and, for the deadly ones, the
 * PSN. The harmless ones must have no effect but to be counted; whoever survives them, survives in order.
 */
import { psnAdd, psnDiff } from '../../src/roce/psn.js';
import { Syndrome, writeAeth } from '../../src/roce/wire/aeth.js';
import { BTH_LENGTH, ICRC_LENGTH, writeBth } from '../../src/roce/wire/bth.js';
import { Icrc, writeIcrc } from '../../src/roce/wire/icrc.js';
import { Opcode, opcodeHeaderLength } from '../../src/roce/wire/opcodes.js';
import { writeReth } from '../../src/roce/wire/reth.js';
import { copyAddress, UdpAddress } from '../../src/verbs/address.js';
import type { Endpoint } from './endpoint.js';
import type { Packet } from './network.js';
import type { Injection } from './scenario.js';
import type { World } from './world.js';

const icrc = new Icrc();
const RESERVED_SYNDROME = 0x9f;
/** PSNs that nobody waits for. */
const FAR_AHEAD = 5000;
/** Above every path MTU. */
const TOO_LONG = 4100;

type Edit = (bytes: Uint8Array) => void;
/** Returns the packet's bytes, or `null` where it would not be what it is meant to be. */
type Recipe = (forge: Forgery) => Uint8Array | null;

const fill =
  (value: number, from: number, to: number): Edit =>
  (bytes) => {
    bytes.fill(value, from, to);
  };
const aeth =
  (syndrome: number): Edit =>
  (bytes) =>
    writeAeth(bytes, BTH_LENGTH, syndrome, 0);
const reth =
  (length: number): Edit =>
  (bytes) =>
    writeReth(bytes, BTH_LENGTH, 4096, 1, length);

const RECIPES: Readonly<Record<Injection, Recipe>> = {
  tooShort: () => new Uint8Array(10),
  truncated: (forge) => forge.build(Opcode.RC_SEND_ONLY, forge.expected, 8),
  badVersion: (forge) => forge.build(Opcode.RC_SEND_ONLY, forge.expected, 8, fill(3, 1, 2)),
  unknownOpcode: (forge) => forge.build(0x1f, forge.expected, 8),
  badPad: (forge) => forge.build(Opcode.RC_SEND_ONLY, forge.expected, 6),
  badLength: (forge) => forge.build(Opcode.RC_ACKNOWLEDGE, forge.ahead, 8),
  badPkey: (forge) => forge.build(Opcode.RC_SEND_ONLY, forge.expected, 8, fill(0x12, 2, 4)),
  unknownQpn: (forge) => forge.build(Opcode.RC_SEND_ONLY, forge.expected, 8, fill(0, 5, 8)),
  wrongService: (forge) => forge.build(Opcode.UD_SEND_ONLY, forge.expected, 8),
  wrongSource: (forge) => {
    forge.source.w3 ^= 0x55;
    return forge.build(Opcode.RC_SEND_ONLY, forge.expected, 8);
  },
  ghostAck: (forge) => forge.build(Opcode.RC_ACKNOWLEDGE, forge.ahead, 0, aeth(Syndrome.ACK)),
  ghostData: (forge) => forge.build(Opcode.RC_READ_RESPONSE_ONLY, forge.ahead, 8, aeth(Syndrome.ACK)),
  strayData: (forge) => {
    const { reads, unackedPsn } = forge.victim.requester;
    if (reads.count > 0) return null;
    return forge.build(Opcode.RC_READ_RESPONSE_ONLY, unackedPsn, 8, aeth(Syndrome.ACK));
  },
  badSyndrome: (forge) =>
    forge.build(Opcode.RC_ACKNOWLEDGE, forge.victim.requester.unackedPsn, 0, aeth(RESERVED_SYNDROME)),
  unknownDuplicate: (forge) =>
    forge.build(Opcode.RC_READ_REQUEST, psnAdd(forge.expected, -FAR_AHEAD), 0, reth(8)),
  cnp: (forge) => forge.build(Opcode.CNP, 0, 16),
  badSequence: (forge) => forge.build(Opcode.RC_SEND_MIDDLE, forge.expected, 8),
  badReth: (forge) => forge.build(Opcode.RC_READ_REQUEST, forge.expected, 0, reth(0xffffffff)),
  badPayload: (forge) => forge.build(Opcode.RC_SEND_FIRST, forge.expected, 8),
  badResponse: (forge) => {
    // Data that is due right now: data further ahead says that everything before it was carried out.
    const { random, requester } = forge.victim;
    const { reads, unackedPsn } = requester;
    if (reads.count === 0 || psnDiff(reads.oldestPsn, unackedPsn) > 0) return null;
    const edit = aeth(random.pick([Syndrome.ACK, Syndrome.RNR_NAK]));
    return random.chance(0.6)
      ? forge.build(Opcode.RC_READ_RESPONSE_ONLY, unackedPsn, TOO_LONG, edit)
      : forge.build(Opcode.RC_ATOMIC_ACKNOWLEDGE, unackedPsn, 0, aeth(Syndrome.RNR_NAK));
  },
};

/** Sends one forged packet to `victim`, as if from its peer. */
export function inject(world: World, victim: Endpoint, injection: Injection): void {
  const forge = new Forgery(victim);
  const bytes = RECIPES[injection](forge);
  if (bytes === null) return;
  const packet = forge.packet(bytes);
  if (injection === 'truncated') world.deliverTruncated(packet);
  // At once, before anything can begin that it would be an answer to.
  else if (injection === 'strayData' || injection === 'badResponse') world.deliver(packet);
  else world.network.inject(packet, world.now);
}

class Forgery {
  readonly source = new UdpAddress();
  readonly victim: Endpoint;

  constructor(victim: Endpoint) {
    this.victim = victim;
    copyAddress(victim.qp.flow.destination, this.source);
  }

  /** The PSN of the next request. */
  get expected(): number {
    return this.victim.responder.expectedPsn;
  }

  get ahead(): number {
    return psnAdd(this.victim.requester.nextPsn, FAR_AHEAD);
  }

  build(opcode: number, psn: number, payload: number, edit?: Edit): Uint8Array {
    const { qp } = this.victim;
    const length = (opcodeHeaderLength[opcode] || BTH_LENGTH) + payload;
    const bytes = new Uint8Array(length + ICRC_LENGTH);
    writeBth(bytes, 0, opcode, 0, 0, qp.qpn, 0, psn);
    edit?.(bytes);
    writeIcrc(bytes, length, icrc.compute(this.source, qp.flow.source, bytes, 0, length));
    return bytes;
  }

  packet(bytes: Uint8Array): Packet {
    const { qp, host, peer } = this.victim;
    return {
      from: peer.host.index,
      to: host.index,
      bytes,
      source: this.source,
      destination: qp.flow.source,
      corrupted: false,
      marked: false,
    };
  }
}
