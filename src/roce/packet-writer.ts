/**
 * Puts a packet of a batch together as the bytes of a UDP payload: headers, payload copied from its segments, zero
 * pad, ICRC. For ports that cannot gather, for captures and for simulated links.
 */
import { copyBytes } from './copy.js';
import type { Flow } from './flow.js';
import type { Region } from './memory/region.js';
import { HEADER_STRIDE_BYTES, type TransmitBatch } from './transmit-batch.js';
import { ICRC_LENGTH, packetBytes, padCountOf } from './wire/bth.js';
import { type Icrc, writeIcrc } from './wire/icrc.js';

/** Bytes of packet `index` as a UDP payload, ICRC included. */
export function packetLength(batch: TransmitBatch, index: number): number {
  return packetBytes(batch.headerLength[index] as number, batch.payloadLength[index] as number);
}

/**
 * Writes packet `index` to `out` at `at`, which must have room for `packetLength` bytes, and returns its length.
 * `ipv4Identification` is what the IP header will carry, as far as the sender knows.
 */
export function writePacket(
  batch: TransmitBatch,
  index: number,
  out: Uint8Array,
  at: number,
  icrc: Icrc,
  ipv4Identification = 0,
): number {
  const flow = batch.flow[index] as Flow;
  const end = at + gatherPacket(batch, index, out, at);
  const value = icrc.compute(flow.source, flow.destination, out, at, end - at, ipv4Identification);
  writeIcrc(out, end, value);
  return end + ICRC_LENGTH - at;
}

/** As `writePacket`, without the ICRC: returns the length up to where that would be. */
export function gatherPacket(batch: TransmitBatch, index: number, out: Uint8Array, at: number): number {
  const headerLength = batch.headerLength[index] as number;
  let end = at + headerLength;
  copyBytes(out, at, batch.headers, index * HEADER_STRIDE_BYTES, headerLength);
  const segmentEnd = batch.segmentStart[index + 1] as number;
  for (let i = batch.segmentStart[index] as number; i < segmentEnd; i++) {
    const length = batch.segmentLength[i] as number;
    const region = batch.segmentRegion[i] as Region;
    copyBytes(out, end, region.bytes, batch.segmentOffset[i] as number, length);
    end += length;
  }
  for (let pad = padCountOf(batch.payloadLength[index] as number); pad > 0; pad--) out[end++] = 0;
  return end - at;
}
