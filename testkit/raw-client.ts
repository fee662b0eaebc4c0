/**
 * A client that goes through the whole session and then holds the bare queue pair, to post what a `Connection` never
 * would.
 */

import type { Server } from '../src/connection/server/server.js';
import { openDevice } from '../src/open-device.js';
import type { ControlChannel } from '../src/session/control-channel.js';
import { establishSession } from '../src/session/establish-session.js';
import type { Terms } from '../src/session/terms.js';
import { connectTls } from '../src/session/tls-client.js';
import { AccessFlags } from '../src/verbs/access-flags.js';
import { toInit, toRtr, toRts } from '../src/verbs/bring-up.js';
import type { CompletionQueue } from '../src/verbs/completion-queue.js';
import type { Device, ProtectionDomain } from '../src/verbs/device.js';
import type { MemoryRegion } from '../src/verbs/memory-region.js';
import type { QueuePair } from '../src/verbs/queue-pair.js';
import { createCompletions, statusName } from '../src/verbs/work-completion.js';
import { WrOpcode } from '../src/verbs/work-request.js';
import { FREE_DEVICE, testCertificates } from './session-pair.js';

const RECEIVES = 16;
const RECEIVE_BYTES = 16 * 1024;

/** PEM: what a client shows to a server that asks, and whom it trusts; by default nothing and the test authority. */
export interface ClientIdentity {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

export class RawClient {
  readonly device: Device;
  readonly channel: ControlChannel;
  readonly pd: ProtectionDomain;
  readonly cq: CompletionQueue;
  readonly qp: QueuePair;
  /** What the server promises. */
  readonly terms: Terms;
  readonly #regions: MemoryRegion[];

  static async connect(server: Server, identity: ClientIdentity = {}): Promise<RawClient> {
    const channel = await openChannel(server, identity);
    const device = await openDevice(FREE_DEVICE);
    const pd = await device.allocPd();
    const cq = await device.createCq({ capacity: 64 });
    const qp = await pd.createQp({ sendCq: cq, recvCq: cq });
    const port = await device.queryPort();
    const gid = (await device.queryGids())[0]?.gid ?? '';
    const regions: MemoryRegion[] = [];
    const { terms } = await establishSession(channel, {
      createObjects: async () => ({
        path: {
          qpn: qp.qpn,
          gid,
          lid: 0,
          udpPort: port.udpPort,
          mtu: port.activeMtu,
          rdAtomic: 4,
        },
        terms: {
          receive: { slots: RECEIVES, slotBytes: RECEIVE_BYTES },
          messages: { maxBytes: 16 * 1024 * 1024, windowBytes: 1024 * 1024 },
          streams: { open: 0, windowBytes: 65_536 },
          buffer: null,
          received: 0,
          device: 'raw',
        },
      }),
      async transition({ own, peer }) {
        await toInit(qp, 0);
        await toRtr(qp, own, peer);
        await toRts(qp, own, peer);
        const mr = await pd.regMr(new Uint8Array(RECEIVES * RECEIVE_BYTES), AccessFlags.LOCAL_WRITE);
        regions.push(mr);
        for (let i = 0; i < RECEIVES; i++) {
          qp.postRecv({ wrId: 1000 + i, sges: [{ mr, offset: i * RECEIVE_BYTES, length: RECEIVE_BYTES }] });
        }
      },
      // What the server sends is proof enough: it has come through.
      prove: async () => {},
    });
    return new RawClient(device, channel, pd, cq, qp, terms, regions);
  }

  private constructor(
    device: Device,
    channel: ControlChannel,
    pd: ProtectionDomain,
    cq: CompletionQueue,
    qp: QueuePair,
    terms: Terms,
    regions: MemoryRegion[],
  ) {
    this.#regions = regions;
    this.device = device;
    this.channel = channel;
    this.pd = pd;
    this.cq = cq;
    this.qp = qp;
    this.terms = terms;
  }

  /** Polls until the request `wrId` has completed; returns its status. */
  async statusOf(wrId: number): Promise<string> {
    const completions = createCompletions(1);
    for (;;) {
      while (this.cq.poll(completions) > 0) {
        if (completions[0]?.wrId === wrId) return statusName(completions[0].status);
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Posts a SEND of `bytes`, with 1 as its wrId. */
  async send(bytes: Uint8Array): Promise<void> {
    const mr = await this.pd.regMr(bytes, 0);
    this.#regions.push(mr);
    this.qp.postSend({ wrId: 1, opcode: WrOpcode.SEND, sges: [{ mr }] });
  }

  /** Goes away without a word to the peer's queue pair. */
  async vanish(): Promise<void> {
    await this.qp.close();
    await this.channel.close();
    for (const mr of this.#regions) await mr.close();
    await this.cq.close();
    await this.pd.close();
    await this.device.close();
  }
}

/** A control channel to the server, with nothing said on it yet. */
export async function openChannel(server: Server, identity: ClientIdentity = {}): Promise<ControlChannel> {
  const { caPem } = await testCertificates();
  return connectTls({ ...server.address, ca: caPem, ...identity });
}
