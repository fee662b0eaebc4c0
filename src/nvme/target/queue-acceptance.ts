/**
 * Takes the queues that hosts ask for by rdma_cm, or refuses them with the reason in the private data.
 *
 * Invariants: a queue that is accepted lies within the limits, which count those that are being opened too; one that fails while it is
 * met leaves nothing behind.
 */
import type { CmIncoming } from '../../cm/cm-server.js';
import { openEndpoint } from '../../endpoint/endpoint.js';
import { type CmAddress, RejectReason } from '../../verbs/connection-manager.js';
import type { Device, ProtectionDomain } from '../../verbs/device.js';
import {
  type QueueRequest,
  queueReject,
  queueReply,
  RejectStatus,
  readQueueRequest,
} from '../wire/private-data.js';
import { ConnectWork } from './admin-work.js';
import type { TargetLimits } from './limits.js';
import type { HostQueue, TargetServices } from './services.js';
import { CAPSULE_BYTES, sendRequestsFor, TargetQueue } from './target-queue.js';

export interface AcceptanceOptions {
  readonly device: Device;
  readonly pd: ProtectionDomain;
  readonly limits: TargetLimits;
  readonly services: TargetServices;
  /** Those that are there; accepted ones are added. */
  readonly queues: Set<HostQueue>;
  onRefused(address: CmAddress, reason: string): void;
}

export class QueueAcceptance {
  readonly #options: AcceptanceOptions;
  /** Places that requests have whose queue is not there yet. */
  #expected = 0;
  readonly #accepting = new Set<Promise<void>>();
  #isClosed = false;

  constructor(options: AcceptanceOptions) {
    this.#options = options;
  }

  /** No further queue; those that are being accepted come to their end. */
  close(): void {
    this.#isClosed = true;
  }

  async settled(): Promise<void> {
    await Promise.all(this.#accepting);
  }

  onRequest(request: CmIncoming): void {
    const accepting = this.#accept(request)
      .catch(() => {})
      .finally(() => this.#accepting.delete(accepting));
    this.#accepting.add(accepting);
  }

  async #accept(request: CmIncoming): Promise<void> {
    const wanted = this.#wantedQueue(request);
    if (typeof wanted === 'number') return this.#reject(request, wanted);
    const { queues, services } = this.#options;
    this.#expected++;
    let queue: TargetQueue;
    try {
      queue = await this.#openQueue(wanted);
      queues.add(queue);
    } catch {
      return await this.#reject(request, RejectStatus.NO_RESOURCES);
    } finally {
      this.#expected--;
    }
    try {
      const connection = await request.accept({
        qp: queue.endpoint,
        privateData: queueReply(wanted.entries),
      });
      services.counters.queuesAccepted++;
      await queue.start(connection);
    } catch {
      await queue.end('the host did not come');
    }
  }

  #wantedQueue(request: CmIncoming): QueueRequest | RejectStatus {
    const { limits, queues } = this.#options;
    const wanted = readQueueRequest(request.privateData, {
      maxQid: limits.ioQueues,
      maxEntries: limits.queueEntries,
    });
    if (typeof wanted === 'number') return wanted;
    if (request.peer.responderResources === 0) return RejectStatus.READ_DEPTH;
    const isFull = queues.size + this.#expected >= limits.queues || this.#isClosed;
    return isFull ? RejectStatus.NO_RESOURCES : wanted;
  }

  async #reject(request: CmIncoming, status: RejectStatus): Promise<void> {
    this.#options.services.counters.queuesRefused++;
    const name = Object.entries(RejectStatus).find(([, value]) => value === status)?.[0] ?? 'LENGTH';
    this.#options.onRefused(request.remote, `a queue was refused: ${name}`);
    await request.reject({ reason: RejectReason.CONSUMER, privateData: queueReject(status) });
  }

  async #openQueue({ qid, entries }: QueueRequest): Promise<TargetQueue> {
    const { device, pd, services } = this.#options;
    const endpoint = await openEndpoint(device, {
      pd,
      capacity: {
        maxSendWr: sendRequestsFor(entries),
        maxRecvWr: entries,
        maxSendSge: 1,
        maxRecvSge: 1,
      },
      memory: entries * CAPSULE_BYTES,
    });
    return new TargetQueue({ qid, entries, endpoint, services, work: new ConnectWork() });
  }
}
