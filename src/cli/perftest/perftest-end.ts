/**
 * One end of a measurement: a queue pair with perftest's values, and one region. Its first half is what this end sends
 * and reads into, its second half what comes in and what the peer writes to and reads from.
 */
import type { TakeCompletion } from '../../endpoint/completion-waiter.js';
import { type Endpoint, openEndpoint } from '../../endpoint/endpoint.js';
import { AccessFlags } from '../../verbs/access-flags.js';
import type { Device } from '../../verbs/device.js';
import type { MemoryRegion } from '../../verbs/memory-region.js';
import type { QueuePair } from '../../verbs/queue-pair.js';
import { ROCE_UDP_PORT, silenceHint } from '../stock-tool.js';
import type { PerftestTerms } from './perftest-exchange.js';
import type { PerftestTraits } from './perftest-tests.js';
import type { PerftestRecord } from './perftest-wire.js';

export interface PerftestEndOptions {
  readonly traits: PerftestTraits;
  readonly terms: PerftestTerms;
  readonly sizeBytes: number;
  readonly sendDepth: number;
  readonly receiveDepth: number;
  /** `undefined`: the first RoCE v2 GID that can be routed. */
  readonly gidIndex: number | undefined;
  /** Sleep until the device has something, rather than to look again and again. */
  readonly useEvents: boolean;
  /** Without progress. */
  readonly timeoutMillis: number;
}

const { REMOTE_WRITE, REMOTE_READ } = AccessFlags;

export class PerftestEnd {
  readonly options: PerftestEndOptions;
  readonly qp: QueuePair;
  readonly mr: MemoryRegion;
  readonly endpoint: Endpoint;

  static async open(device: Device, options: PerftestEndOptions): Promise<PerftestEnd> {
    const { traits, terms, sizeBytes, sendDepth, receiveDepth, gidIndex } = options;
    const endpoint = await openEndpoint(device, {
      capacity: { maxSendWr: sendDepth, maxRecvWr: receiveDepth },
      memory: 2 * Math.max(sizeBytes, terms.cycleBytes),
      access: REMOTE_WRITE | REMOTE_READ,
      path: gidIndex === undefined ? {} : { gidIndex },
      mtu: terms.mtu,
      rdAtomic: traits.isRead ? device.attributes.maxQpRdAtom : 1,
      wait: {
        sleeps: options.useEvents,
        timeoutMillis: options.timeoutMillis,
        hint: silenceHint('size and count'),
      },
    });
    return new PerftestEnd(endpoint, options);
  }

  private constructor(endpoint: Endpoint, options: PerftestEndOptions) {
    this.endpoint = endpoint;
    this.options = options;
    this.qp = endpoint.qp;
    this.mr = endpoint.memory;
  }

  /** Where the second half of the region begins. */
  get inbox(): number {
    return this.mr.length / 2;
  }

  get record(): PerftestRecord {
    const { qpn, psn, gid, rdAtomic } = this.endpoint.address;
    const { rkey, addr } = this.mr;
    return { lid: 0, outReads: rdAtomic, qpn, psn, rkey, vaddr: addr + BigInt(this.inbox), gid };
  }

  /** To RTS. */
  connect({ qpn, psn, gid, outReads }: PerftestRecord): Promise<void> {
    const { mtu } = this.options.terms;
    return this.endpoint.connect({ gid, udpPort: ROCE_UDP_PORT, qpn, psn, mtu, rdAtomic: outReads });
  }

  /** As `Endpoint.until`. */
  until(isDone: () => boolean, take: TakeCompletion): Promise<void> | undefined {
    return this.endpoint.until(isDone, take);
  }

  close(): Promise<void> {
    return this.endpoint.close();
  }
}
