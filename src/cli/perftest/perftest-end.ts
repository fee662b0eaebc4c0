/**
 * One end of a measurement: a queue pair with perftest's values, and one region. Its first half is what this end sends
 * and reads into, its second half what comes in and what the peer writes to and reads from.
 */
import { randomInt } from 'node:crypto';
import { AccessFlags } from '../../verbs/access-flags.js';
import { toPsn } from '../../verbs/brands.js';
import type { CompletionChannel, CompletionQueue } from '../../verbs/completion-queue.js';
import type { Device, GidEntry, ProtectionDomain } from '../../verbs/device.js';
import { usageError } from '../../verbs/errors.js';
import { chooseOwnGid } from '../../verbs/gid-choice.js';
import type { MemoryRegion } from '../../verbs/memory-region.js';
import { QpState } from '../../verbs/qp-state.js';
import type { QueuePair } from '../../verbs/queue-pair.js';
import { CompletionWait, type Take } from '../completion-wait.js';
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

const REMOTE = AccessFlags.REMOTE_WRITE | AccessFlags.REMOTE_READ;

export class PerftestEnd {
  readonly options: PerftestEndOptions;
  readonly qp: QueuePair;
  readonly mr: MemoryRegion;
  readonly #sgid: GidEntry;
  readonly #maxReads: number;
  readonly #pd: ProtectionDomain;
  readonly #channel: CompletionChannel;
  readonly #cq: CompletionQueue;
  readonly #psn = toPsn(randomInt(2 ** 24));
  readonly #wait: CompletionWait;

  static async open(device: Device, options: PerftestEndOptions): Promise<PerftestEnd> {
    const gids = await device.queryGids();
    const sgid =
      options.gidIndex === undefined
        ? chooseOwnGid(gids)
        : gids.find(({ index }) => index === options.gidIndex);
    if (sgid === undefined) throw usageError(`${device.name} has no such GID; see queuepair devices`);
    const { maxQpRdAtom } = device.attributes;
    const { sendDepth, receiveDepth, sizeBytes, terms, traits } = options;
    const pd = await device.allocPd();
    const channel = await device.createCompletionChannel();
    const cq = await device.createCq({ capacity: sendDepth + receiveDepth, channel });
    const capacity = { maxSendWr: sendDepth, maxRecvWr: receiveDepth };
    const qp = await pd.createQp({ sendCq: cq, recvCq: cq, capacity });
    const half = Math.max(sizeBytes, terms.cycleBytes);
    const mr = await pd.regMr(new Uint8Array(2 * half), AccessFlags.LOCAL_WRITE | REMOTE);
    await qp.modify({ state: QpState.INIT, pkeyIndex: 0, port: 1, accessFlags: REMOTE });
    return new PerftestEnd(
      device.attributes.pollsPerTurn,
      options,
      sgid,
      traits.isRead ? maxQpRdAtom : 1,
      pd,
      channel,
      cq,
      qp,
      mr,
    );
  }

  private constructor(
    pollsPerTurn: number,
    options: PerftestEndOptions,
    sgid: GidEntry,
    maxReads: number,
    pd: ProtectionDomain,
    channel: CompletionChannel,
    cq: CompletionQueue,
    qp: QueuePair,
    mr: MemoryRegion,
  ) {
    this.options = options;
    this.#sgid = sgid;
    this.#maxReads = maxReads;
    this.#pd = pd;
    this.#channel = channel;
    this.#cq = cq;
    this.#wait = new CompletionWait(cq, channel, { ...options, pollsPerTurn, common: 'size and count' });
    this.qp = qp;
    this.mr = mr;
  }

  /** Where the second half of the region begins. */
  get inbox(): number {
    return this.mr.length / 2;
  }

  get record(): PerftestRecord {
    return {
      lid: 0,
      outReads: this.#maxReads,
      qpn: this.qp.qpn,
      psn: this.#psn,
      rkey: this.mr.rkey,
      vaddr: this.mr.addr + BigInt(this.inbox),
      gid: this.#sgid.gid,
    };
  }

  /** To RTS. */
  async connect(remote: PerftestRecord): Promise<void> {
    await this.qp.modify({
      state: QpState.RTR,
      av: { dgid: remote.gid, sgidIndex: this.#sgid.index },
      pathMtu: this.options.terms.mtu,
      destQpn: remote.qpn,
      rqPsn: remote.psn,
      maxDestRdAtomic: this.#maxReads,
      minRnrTimer: 12,
    });
    await this.qp.modify({
      state: QpState.RTS,
      sqPsn: this.#psn,
      timeout: 14,
      retryCount: 7,
      rnrRetry: 7,
      maxRdAtomic: Math.min(this.#maxReads, remote.outReads),
    });
  }

  /** As {@link CompletionWait.until}. */
  until(isDone: () => boolean, take: Take): Promise<void> | undefined {
    return this.#wait.until(isDone, take);
  }

  async close(): Promise<void> {
    this.#wait.close();
    await this.qp.close();
    await this.#cq.close();
    await this.#channel.close();
    await this.mr.close();
    await this.#pd.close();
  }
}
