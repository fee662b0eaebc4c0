/**
 * One end of an RC connection, on whatever device: the same few verbs for rxe0 in the machine (over TCP) and for a
 * device of this process. Scenarios are written once and run in both directions.
 */
import { createHash } from 'node:crypto';
import type { IpVersion } from './network.js';

export interface PeerOptions {
  readonly ip: IpVersion;
  readonly mtu: number;
  readonly bufferBytes: number;
  /** Rights of the queue pair; default all. */
  readonly access?: number;
  readonly timeout?: number;
  readonly retryCount?: number;
  readonly rnrRetry?: number;
  readonly minRnrTimer?: number;
}

/** Both devices get the same. */
export const PEER_DEFAULTS = {
  access: 15,
  timeout: 14,
  retryCount: 7,
  rnrRetry: 7,
  minRnrTimer: 12,
  rdAtomic: 16,
} as const;

/** What the other end must know. */
export interface PeerAddress {
  readonly gid: string;
  readonly qpn: number;
  readonly psn: number;
}

/** Index of the region that covers the whole buffer, and grants everything. */
export const WHOLE_BUFFER = 0;
/** A region whose keys are not valid. */
export const NO_REGION = -1;

export interface PeerSge {
  readonly region?: number;
  /** From the start of the buffer, whatever the region. */
  readonly offset: number;
  readonly length: number;
}

export interface PeerRegion {
  readonly index: number;
  readonly rkey: number;
}

export interface PeerRegionOptions {
  readonly offset: number;
  readonly length: number;
  readonly access: number;
  /** In a protection domain that is not the queue pair's. */
  readonly otherDomain?: boolean;
}

export interface PeerSend {
  readonly wrId: number;
  readonly opcode: number;
  readonly sges?: readonly PeerSge[];
  readonly remoteAddr?: bigint;
  readonly rkey?: number;
  readonly imm?: number;
  readonly compareAdd?: bigint;
  readonly swap?: bigint;
}

export interface PeerCompletion {
  readonly wrId: number;
  readonly status: number;
  readonly opcode: number;
  readonly byteLen: number;
  readonly imm: number;
}

export interface Peer {
  /** `soft` or `rxe`. */
  readonly kind: string;
  readonly address: PeerAddress;
  /** Of the buffer's first byte, as the other end names it. */
  readonly bufferAddr: bigint;
  /** Grants everything on the whole buffer. */
  readonly rkey: number;
  connect(remote: PeerAddress): Promise<void>;
  addRegion(options: PeerRegionOptions): Promise<PeerRegion>;
  /** Fills with the pattern of a seed, see `pattern`. */
  fill(offset: number, length: number, seed: number): Promise<void>;
  /** SHA-256, hexadecimal. */
  hash(offset: number, length: number): Promise<string>;
  /** 64 bits in the host's order. */
  peek(offset: number): Promise<bigint>;
  poke(offset: number, value: bigint): Promise<void>;
  postRecv(wrId: number, sges: readonly PeerSge[]): Promise<void>;
  postSend(send: PeerSend): Promise<void>;
  /** Waits for the first completion, then takes what is there; empty after the timeout. */
  poll(max: number, timeoutMillis: number): Promise<PeerCompletion[]>;
  /** Of `QpState`. */
  state(): Promise<number>;
  /** Names of asynchronous events since the last call. */
  events(): Promise<string[]>;
  close(): Promise<void>;
}

/** xorshift32, four bytes a step, low byte first; the peer in the machine makes the same bytes. */
export function pattern(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let x = seed >>> 0;
  for (let i = 0; i < length; i++) {
    if (i % 4 === 0) {
      x ^= x << 13;
      x ^= x >>> 17;
      x ^= x << 5;
    }
    bytes[i] = x >>> (8 * (i % 4));
  }
  return bytes;
}

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** @throws Error when it takes longer, naming what. */
export async function pollAll(peer: Peer, count: number, timeoutMillis: number): Promise<PeerCompletion[]> {
  const found: PeerCompletion[] = [];
  const deadline = Date.now() + timeoutMillis;
  while (found.length < count && Date.now() < deadline) {
    found.push(...(await peer.poll(count - found.length, deadline - Date.now())));
  }
  if (found.length === count) return found;
  throw new Error(`${peer.kind}: ${found.length} of ${count} completions in ${timeoutMillis / 1000} s`);
}
