/** One end of a victim's link: a queue pair with its queues and memory, and the completions that it has had. */
import type { SoftDevice } from '../../../src/soft/soft-device.js';
import type { SoftQp } from '../../../src/soft/soft-qp.js';
import { AccessFlags } from '../../../src/verbs/access-flags.js';
import { toPsn, toQpn } from '../../../src/verbs/brands.js';
import type { CompletionQueue } from '../../../src/verbs/completion-queue.js';
import type { ProtectionDomain } from '../../../src/verbs/device.js';
import type { MemoryRegion } from '../../../src/verbs/memory-region.js';
import { QpState } from '../../../src/verbs/qp-state.js';
import { createCompletions, statusName, WcStatus } from '../../../src/verbs/work-completion.js';
import { SendFlags, WrOpcode } from '../../../src/verbs/work-request.js';

export const SLOTS = 64;
export const SLOT_BYTES = 4096;
export const WINDOW_BYTES = 64 * 1024;
const RD_ATOMIC = 4;

export interface PeerParameters {
  readonly gid: string;
  readonly udpPort: number;
  readonly qpn: number;
  /** The first PSN that the peer sends. */
  readonly psn: number;
}

export class LinkEnd {
  readonly device: SoftDevice;
  readonly qp: SoftQp;
  /** What the other end may write and read. */
  readonly window: MemoryRegion;
  sent = 0;
  received = 0;
  /** The beginning of each message that came, until `takeReceived`. */
  readonly #messages: Uint8Array[] = [];
  readonly failures: string[] = [];
  readonly #pd: ProtectionDomain;
  readonly #cqs: readonly [CompletionQueue, CompletionQueue];
  readonly #buffer: MemoryRegion;
  readonly #completions = createCompletions(32);
  #posted = 0;

  static async create(device: SoftDevice): Promise<LinkEnd> {
    const pd = await device.allocPd();
    const cqs = [
      await device.createCq({ capacity: 4 * SLOTS }),
      await device.createCq({ capacity: 4 * SLOTS }),
    ] as const;
    const qp = await pd.createQp({ sendCq: cqs[0], recvCq: cqs[1] });
    const { LOCAL_WRITE, REMOTE_READ, REMOTE_WRITE } = AccessFlags;
    const buffer = await pd.regMr(new Uint8Array(2 * SLOTS * SLOT_BYTES), LOCAL_WRITE);
    const window = await pd.regMr(new Uint8Array(WINDOW_BYTES), LOCAL_WRITE | REMOTE_READ | REMOTE_WRITE);
    return new LinkEnd(device, pd, cqs, qp as SoftQp, buffer, window);
  }

  private constructor(
    device: SoftDevice,
    pd: ProtectionDomain,
    cqs: readonly [CompletionQueue, CompletionQueue],
    qp: SoftQp,
    buffer: MemoryRegion,
    window: MemoryRegion,
  ) {
    this.device = device;
    this.#pd = pd;
    this.#cqs = cqs;
    this.qp = qp;
    this.#buffer = buffer;
    this.window = window;
  }

  /** To RTS, with receives posted. `timeout` as in `QpAttributes`. */
  async connect(ownPsn: number, peer: PeerParameters, timeout: number): Promise<void> {
    const { REMOTE_READ, REMOTE_WRITE } = AccessFlags;
    const accessFlags = REMOTE_READ | REMOTE_WRITE;
    await this.qp.modify({ state: QpState.INIT, pkeyIndex: 0, port: 1, accessFlags });
    await this.qp.modify({
      state: QpState.RTR,
      av: { dgid: peer.gid, udpPort: peer.udpPort },
      pathMtu: 4096,
      destQpn: toQpn(peer.qpn),
      rqPsn: toPsn(peer.psn),
      maxDestRdAtomic: RD_ATOMIC,
      minRnrTimer: 1,
    });
    await this.qp.modify({
      state: QpState.RTS,
      sqPsn: toPsn(ownPsn),
      timeout,
      retryCount: 7,
      rnrRetry: 7,
      maxRdAtomic: RD_ATOMIC,
    });
    for (let slot = 0; slot < SLOTS; slot++) this.#postRecv(slot);
  }

  /** Posts a SEND of `bytes`, 4 KiB at most. */
  send(bytes: Uint8Array): void {
    const slot = this.#posted++ % SLOTS;
    const offset = (SLOTS + slot) * SLOT_BYTES;
    this.#buffer.bytes.set(bytes, offset);
    this.qp.postSend({
      wrId: slot,
      opcode: WrOpcode.SEND,
      flags: SendFlags.SIGNALED,
      sges: [{ mr: this.#buffer, offset, length: bytes.length }],
    });
  }

  /** Requests that have not completed. */
  get pending(): number {
    return this.#posted - this.sent - this.failures.length;
  }

  /** Takes completions; receives are posted again at once. */
  poll(): void {
    for (const [index, cq] of this.#cqs.entries()) {
      for (let count = cq.poll(this.#completions); count > 0; count = cq.poll(this.#completions)) {
        for (let i = 0; i < count; i++) this.#onCompletion(index === 0, i);
      }
    }
  }

  takeReceived(): Uint8Array[] {
    this.poll();
    return this.#messages.splice(0);
  }

  async close(): Promise<void> {
    await this.qp.close();
    await this.#buffer.close();
    await this.window.close();
    for (const cq of this.#cqs) await cq.close();
    await this.#pd.close();
  }

  #onCompletion(isSend: boolean, index: number): void {
    const completion = this.#completions[index];
    if (completion === undefined || completion.status === WcStatus.WR_FLUSH_ERR) return;
    if (completion.status !== WcStatus.SUCCESS) {
      this.failures.push(statusName(completion.status));
    } else if (isSend) {
      this.sent++;
    } else {
      this.received++;
      const at = completion.wrId * SLOT_BYTES;
      this.#messages.push(this.#buffer.bytes.slice(at, at + completion.byteLen));
      this.#postRecv(completion.wrId);
    }
  }

  #postRecv(slot: number): void {
    this.qp.postRecv({
      wrId: slot,
      sges: [{ mr: this.#buffer, offset: slot * SLOT_BYTES, length: SLOT_BYTES }],
    });
  }
}
