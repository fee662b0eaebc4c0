/** One end of a victim's link: a queue pair with its queues and memory, and the completions that it has had. */
import { type Endpoint, openEndpoint } from '../../../src/endpoint/endpoint.js';
import type { SoftDevice } from '../../../src/soft/soft-device.js';
import type { SoftQp } from '../../../src/soft/soft-qp.js';
import { AccessFlags } from '../../../src/verbs/access-flags.js';
import { toPsn } from '../../../src/verbs/brands.js';
import type { MemoryRegion } from '../../../src/verbs/memory-region.js';
import type { PeerPath } from '../../../src/verbs/peer-path.js';
import { createCompletions, statusName, WcStatus } from '../../../src/verbs/work-completion.js';
import { SendFlags, WrOpcode } from '../../../src/verbs/work-request.js';

export const SLOTS = 64;
export const SLOT_BYTES = 4096;
export const WINDOW_BYTES = 64 * 1024;
const RD_ATOMIC = 4;
const MIN_RNR_TIMER = 1;
const { REMOTE_READ, REMOTE_WRITE } = AccessFlags;

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
  readonly #endpoint: Endpoint;
  readonly #buffer: MemoryRegion;
  readonly #completions = createCompletions(32);
  #posted = 0;

  /** `psn`: the first that it sends. */
  static async create(device: SoftDevice, psn: number): Promise<LinkEnd> {
    const endpoint = await openEndpoint(device, {
      memory: WINDOW_BYTES,
      access: REMOTE_READ | REMOTE_WRITE,
      separateCqs: true,
      psn: toPsn(psn),
      rdAtomic: RD_ATOMIC,
      path: { minRnrTimer: MIN_RNR_TIMER },
    });
    return new LinkEnd(device, endpoint, await endpoint.register(2 * SLOTS * SLOT_BYTES));
  }

  private constructor(device: SoftDevice, endpoint: Endpoint, buffer: MemoryRegion) {
    this.device = device;
    this.#endpoint = endpoint;
    this.qp = endpoint.qp as SoftQp;
    this.#buffer = buffer;
    this.window = endpoint.memory;
    for (let slot = 0; slot < SLOTS; slot++) this.#postRecv(slot);
  }

  get address(): PeerPath {
    return this.#endpoint.address;
  }

  /** To RTS. `timeout` as in `QpAttributes`. */
  connect(peer: PeerPath, timeout: number): Promise<void> {
    return this.#endpoint.connect(peer, { timeout });
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
    const { sendCq, recvCq } = this.#endpoint;
    for (const cq of [sendCq, recvCq]) {
      for (let count = cq.poll(this.#completions); count > 0; count = cq.poll(this.#completions)) {
        for (let i = 0; i < count; i++) this.#onCompletion(cq === sendCq, i);
      }
    }
  }

  takeReceived(): Uint8Array[] {
    this.poll();
    return this.#messages.splice(0);
  }

  close(): Promise<void> {
    return this.#endpoint.close();
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
