/**
 * What a run has touched, derived from outside of the engine: counters, drop reasons, packets on the links, states and
 * completions. A mark that no seed of a long run hits means that the simulator has stopped testing something.
 */
import type { Counters } from '../../src/roce/counters.js';
import { Syndrome, SyndromeKind, syndromeKind } from '../../src/roce/wire/aeth.js';
import { bthOpcode, bthPsn, bthSolicited } from '../../src/roce/wire/bth.js';
import { AETH_AT, OpcodeFlag, opcodeFlags, opcodeName } from '../../src/roce/wire/opcodes.js';
import type { Network, Packet } from './network.js';

export class Marks {
  readonly counts = new Map<string, number>();

  hit(name: string, count = 1): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + count);
  }

  add(other: Iterable<readonly [string, number]>): void {
    for (const [name, count] of other) this.hit(name, count);
  }

  counters(counters: Counters): void {
    for (const [name, count] of Object.entries(counters.snapshot()))
      if (count > 0) this.hit(`count ${name}`, count);
  }

  network(network: Network): void {
    const { lost, duplicated, reordered, corrupted, marked, tailDropped, partitioned } = network;
    const all = { lost, duplicated, reordered, corrupted, marked, tailDropped, partitioned };
    for (const [name, count] of Object.entries(all)) if (count > 0) this.hit(`network ${name}`, count);
  }

  packet(packet: Packet): void {
    const opcode = bthOpcode(packet.bytes, 0);
    this.hit(opcodeName(opcode));
    if (bthPsn(packet.bytes, 0) === 0) this.hit('PSN wrap');
    if (bthSolicited(packet.bytes, 0) !== 0) this.hit('solicited');
    if (((opcodeFlags[opcode] as number) & OpcodeFlag.ACK) === 0) return;
    const syndrome = packet.bytes[AETH_AT] as number;
    this.hit(`syndrome ${syndromeKind(syndrome) === SyndromeKind.RNR ? Syndrome.RNR_NAK : syndrome}`);
  }
}
