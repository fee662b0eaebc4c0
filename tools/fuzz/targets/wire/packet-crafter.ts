/**
 * Makes hostile packets out of choices. Each field is right by default and wrong by choice, near its bounds rather than
 * anywhere: PSNs around what is expected and around the half of the circle, addresses and lengths around the ends of
 * regions. Behind that, bytes are flipped and packets cut or lengthened blindly.
 */
import { Datagram } from '../../../../src/roce/datagram.js';
import type { Requester } from '../../../../src/roce/qp/requester.js';
import type { Responder } from '../../../../src/roce/qp/responder.js';
import { writeAeth } from '../../../../src/roce/wire/aeth.js';
import { writeAtomicEth } from '../../../../src/roce/wire/atomic-eth.js';
import { ICRC_LENGTH, padCountOf, writeBth } from '../../../../src/roce/wire/bth.js';
import { readU24, writeU16, writeU24, writeU32, writeVa } from '../../../../src/roce/wire/bytes.js';
import { writeDeth } from '../../../../src/roce/wire/deth.js';
import { Icrc, writeIcrc } from '../../../../src/roce/wire/icrc.js';
import {
  AETH_AT,
  ATOMIC_ETH_AT,
  DETH_AT,
  IETH_AT,
  Opcode,
  OpcodeFlag,
  opcodeFlags,
  opcodeHeaderLength,
  opcodeImmOffset,
  RETH_AT,
} from '../../../../src/roce/wire/opcodes.js';
import { RETH_LENGTH, rethLength, rethVa, writeReth } from '../../../../src/roce/wire/reth.js';
import { copyAddress } from '../../../../src/verbs/address.js';
import { QpType } from '../../../../src/verbs/qp-state.js';
import type { Choices } from '../../choices.js';
import { QKEY } from './bring-up.js';
import { pickAnnouncedLength, pickMemory, pickPayloadLength, pickVa } from './crafted-fields.js';
import type { KnownQp, World } from './world.js';

const MAX_PACKET_BYTES = 8192;
const PSN_STEPS = [
  0, 0, 0, 0, 0, 1, -1, 2, -2, 3, -3, 16, -16, 255, 256, -256, 0x7fffff, 0x800000, -0x7fffff,
];
const RC_REQUESTS = [4, 10, 12, 20, 0, 1, 2, 6, 7, 8, 19, 5, 3, 9, 11, 23, 22];
const RC_RESPONSES = [17, 13, 14, 15, 16, 18];
const SYNDROMES = [0x1f, 0, 0x20, 0x21, 0x60, 0x61, 0x62, 0x63, 0x64, 0x7f, 0x80, 0xff];

export class PacketCrafter {
  readonly bytes = new Uint8Array(MAX_PACKET_BYTES);
  readonly datagram = new Datagram();
  length = 0;
  readonly #icrc = new Icrc();
  /** The newest packet that named memory: a READ or WRITE. */
  #lastReth = new Uint8Array(0);
  /** So that two payloads are never alike, and every write shows. */
  #serial = 0;

  /** A packet for a queue pair of the world, wholly by choice. */
  craft(world: World, choices: Choices): void {
    const known = choices.pick(world.qps);
    const opcode = this.#pickOpcode(known, choices);
    this.write(world, known, opcode, this.#pickPsn(known, opcode, choices), choices);
    this.finish(world, choices);
  }

  /** Headers and payload, without ICRC. `payloadLength` < 0: by choice. */
  write(
    world: World,
    known: KnownQp,
    opcode: number,
    psn: number,
    choices: Choices,
    payloadLength = -1,
  ): void {
    const flags = opcodeFlags[opcode] as number;
    const at = opcodeHeaderLength[opcode] || 12;
    const { bytes } = this;
    const carries = (flags & OpcodeFlag.PAYLOAD) !== 0 || choices.oneIn(32);
    let length = payloadLength;
    if (length < 0) length = carries ? pickPayloadLength(world, flags, choices) : 0;
    const qualifiers = choices.u8();
    const pad = (qualifiers & 0xe0) === 0xe0 ? choices.below(4) : padCountOf(length);
    bytes.fill(0, 0, at);
    writeBth(bytes, 0, opcode, qualifiers & 1, pad, known.qp.qpn, ((qualifiers >> 1) & 1) ^ 1, psn);
    if ((flags & OpcodeFlag.RETH) !== 0) this.#writeReth(world, length, choices);
    if ((flags & OpcodeFlag.ATOMIC_ETH) !== 0) this.#writeAtomic(world, choices);
    if ((flags & OpcodeFlag.AETH) !== 0) {
      writeAeth(bytes, AETH_AT, choices.oneIn(16) ? choices.u8() : choices.pick(SYNDROMES), choices.u8());
    }
    if ((flags & OpcodeFlag.DETH) !== 0)
      writeDeth(bytes, DETH_AT, choices.oneIn(12) ? choices.u32() : QKEY, 77);
    if ((flags & OpcodeFlag.IETH) !== 0) writeU32(bytes, IETH_AT, pickMemory(world, choices).rkey);
    if ((flags & OpcodeFlag.IMM) !== 0) writeU32(bytes, opcodeImmOffset[opcode] as number, choices.u16());
    this.#serial++;
    for (let i = 0; i < length; i++) bytes[at + i] = (this.#serial * 31 + i * 7) ^ (i >> 8);
    bytes.fill(0, at + length, at + length + pad);
    this.length = at + length + pad;
    if ((flags & OpcodeFlag.RETH) !== 0) this.#lastReth = bytes.slice(0, this.length);
    known.lastPsn = psn & 0xffffff;
  }

  /** Makes the RETH of the packet that was written last name this memory. */
  setReth(va: number, rkey: number, length: number): void {
    writeReth(this.bytes, RETH_AT, va, rkey, length);
  }

  /** Blind damage, ICRC, addresses: the packet becomes the datagram. */
  finish(world: World, choices: Choices): void {
    const damage = choices.u8();
    if (damage >= 224) this.#damage(damage & 3, choices);
    const { datagram } = this;
    copyAddress(world.peer, datagram.source);
    copyAddress(world.own, datagram.destination);
    const path = choices.u8();
    if (path >= 248) this.#misdirect(path & 7);
    const check = choices.u8();
    const id = check >= 232 && check < 240 ? choices.u16() : 0;
    const end = Math.max(0, this.length);
    if (end >= 12) {
      const icrc = this.#icrc.compute(datagram.source, datagram.destination, this.bytes, 0, end, id);
      writeIcrc(this.bytes, end, check >= 240 && check < 250 ? icrc ^ (1 << choices.below(32)) : icrc);
    }
    datagram.bytes = this.bytes;
    datagram.at = 0;
    datagram.length = end + ICRC_LENGTH;
    if (check >= 254) datagram.length = choices.u16();
    datagram.icrcVerified = check === 250;
    datagram.congestionExperienced = (path & 7) === 7;
  }

  /** Takes over a packet as it was, ICRC cut off, for the queue pair that it is for or for another one. */
  adopt(world: World, packet: Uint8Array, choices: Choices): void {
    this.length = Math.max(0, Math.min(packet.length, 4096) - ICRC_LENGTH);
    this.bytes.set(packet.subarray(0, this.length));
    const how = choices.u8();
    const known = choices.pick(world.qps);
    if ((how & 3) !== 3) writeU24(this.bytes, 5, known.qp.qpn);
    if ((how & 12) !== 12)
      writeU24(this.bytes, 9, this.#pickPsn(known, this.bytes[0] as number, choices) & 0xffffff);
    const flags = opcodeFlags[this.bytes[0] as number] as number;
    if ((flags & OpcodeFlag.RETH) !== 0 && how < 200) {
      this.#writeReth(
        world,
        Math.max(0, this.length - (opcodeHeaderLength[this.bytes[0] as number] as number)),
        choices,
      );
    }
    this.finish(world, choices);
  }

  /** The newest packet that named memory, once more: as it was, of another length, or from a later packet on. */
  again(world: World, choices: Choices): void {
    const { bytes } = this;
    this.length = this.#lastReth.length;
    bytes.set(this.#lastReth);
    if (this.length >= RETH_AT + RETH_LENGTH) {
      const how = choices.u8() & 3;
      const length = rethLength(bytes, RETH_AT);
      if (how === 1) writeU32(bytes, RETH_AT + 12, pickAnnouncedLength(world, choices));
      else if (how === 2)
        writeU32(bytes, RETH_AT + 12, length + choices.pick([1, -1, 4, world.mtu, -world.mtu]));
      else if (how === 3) this.#resume(world.mtu, length, choices);
    }
    this.finish(world, choices);
  }

  /** Makes the READ or WRITE in `bytes` begin some packets later, as after a loss; sometimes it ends too late then. */
  #resume(mtu: number, length: number, choices: Choices): void {
    const packets = choices.below(4);
    const { bytes } = this;
    writeU24(bytes, 9, (readU24(bytes, 9) + packets) & 0xffffff);
    writeVa(bytes, RETH_AT, Math.max(0, rethVa(bytes, RETH_AT)) + packets * mtu - (choices.oneIn(4) ? 1 : 0));
    writeU32(bytes, RETH_AT + 12, length - (choices.oneIn(4) ? 0 : packets * mtu));
  }

  /** Nothing but bytes. */
  blind(world: World, choices: Choices): void {
    this.length = choices.below(48);
    for (let i = 0; i < this.length; i++) this.bytes[i] = choices.u8();
    if (choices.oneIn(2)) writeU24(this.bytes, 5, choices.pick(world.qps).qp.qpn);
    this.finish(world, choices);
  }

  #pickOpcode(known: KnownQp, choices: Choices): number {
    const mode = choices.u8();
    if (mode >= 248) return choices.u8();
    const bits = known.plan.type === QpType.UC ? Opcode.UC_SEND_FIRST : 0;
    if (mode >= 244) return Opcode.CNP;
    if (known.plan.type === QpType.UD) return Opcode.UD_SEND_ONLY + (mode & 1);
    return mode < 150 ? bits | choices.pick(RC_REQUESTS) : bits | choices.pick(RC_RESPONSES);
  }

  #pickPsn(known: KnownQp, opcode: number, choices: Choices): number {
    const isResponse = ((opcodeFlags[opcode] as number) & OpcodeFlag.RESPONSE) !== 0;
    const base = isResponse ? this.#responsePsn(known, choices) : this.expectedPsn(known);
    return base + choices.pick(PSN_STEPS);
  }

  /** The PSN of the next request in order. */
  expectedPsn({ qp, lastPsn }: KnownQp): number {
    return qp.type === QpType.RC ? (qp.responder as Responder).expectedPsn : lastPsn + 1;
  }

  #responsePsn({ qp }: KnownQp, choices: Choices): number {
    if (qp.type !== QpType.RC) return 0;
    const { unackedPsn, sendPsn, nextPsn, reads } = qp.requester as Requester;
    switch (choices.below(6)) {
      case 0:
        return unackedPsn;
      case 1:
        return nextPsn - 1;
      case 2:
        return sendPsn;
      case 3:
        return reads.count > 0 ? reads.oldestPsn : unackedPsn;
      case 4:
        return nextPsn;
      default:
        return unackedPsn + choices.below(16);
    }
  }

  #writeReth(world: World, payloadLength: number, choices: Choices): void {
    const memory = pickMemory(world, choices);
    const length = choices.oneIn(3) ? pickAnnouncedLength(world, choices) : payloadLength || memory.length;
    pickVa(this.bytes, RETH_AT, memory, length, choices);
    writeU32(this.bytes, RETH_AT + 8, memory.rkey);
    writeU32(this.bytes, RETH_AT + 12, length);
  }

  #writeAtomic(world: World, choices: Choices): void {
    const memory = pickMemory(world, choices);
    writeAtomicEth(this.bytes, ATOMIC_ETH_AT, 0, memory.rkey, choices.u8(), 1, choices.u8(), choices.u8());
    pickVa(this.bytes, ATOMIC_ETH_AT, memory, 8, choices);
  }

  #damage(kind: number, choices: Choices): void {
    if (kind === 0) this.length = Math.max(0, this.length - 1 - choices.below(40));
    else if (kind === 1) this.length = Math.min(MAX_PACKET_BYTES - 64, this.length + 1 + choices.below(4200));
    else if (kind === 2) writeU16(this.bytes, 2, choices.u16());
    else {
      for (let i = 1 + choices.below(3); i > 0; i--) {
        const at = choices.below(Math.min(Math.max(1, this.length), 48));
        this.bytes[at] = (this.bytes[at] as number) ^ (1 << choices.below(8));
      }
    }
  }

  #misdirect(how: number): void {
    const { source, destination } = this.datagram;
    if (how === 0) source.w3 ^= 1;
    else if (how === 1) source.port ^= 1;
    else if (how === 2) destination.w3 ^= 1;
    else if (how === 3) destination.port ^= 1;
    else if (how === 4) source.w0 ^= 1;
  }
}
