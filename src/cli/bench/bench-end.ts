/**
 * One end of a measurement: a session as connections have it (TLS 1.3, PSNs exchanged before there is a queue pair),
 * and then nothing but verbs: a queue pair, one completion queue, one region of memory.
 *
 * The region holds what comes in about the measurement, its data, and what goes out about it. All receives of the data lie on top of each
 * other, as perftest's do: what is measured is how data moves, not what a program makes of it.
 */

import { StepReporter } from '../../connection/steps.js';
import { bringUp, RD_ATOMIC_DEPTH } from '../../connection/transitions.js';
import type { ControlChannel } from '../../session/control-channel.js';
import { establishSession } from '../../session/establish-session.js';
import type { BufferGrant, SessionParameters } from '../../session/frames.js';
import { AccessFlags } from '../../verbs/access-flags.js';
import type { RKey } from '../../verbs/brands.js';
import type { CompletionChannel, CompletionQueue } from '../../verbs/completion-queue.js';
import type { Device, ProtectionDomain } from '../../verbs/device.js';
import { RdmaError } from '../../verbs/errors.js';
import { ownGid } from '../../verbs/gid-choice.js';
import type { MemoryRegion } from '../../verbs/memory-region.js';
import type { QueuePair } from '../../verbs/queue-pair.js';
import { createCompletions, statusName, WcStatus, type WorkCompletion } from '../../verbs/work-completion.js';
import { CONTROL_BYTES, MAX_DEPTH, MAX_SIZE_BYTES } from './bench-plan.js';

/** A server has more receives than a client has sends, so that it may be late. */
export const RECEIVES = 4 * MAX_DEPTH;
const SENDS = 2 * MAX_DEPTH;
const POLLED_AT_ONCE = 32;
const SILENCE_MILLIS = 10_000;

export class BenchEnd {
  readonly channel: ControlChannel;
  readonly #pd: ProtectionDomain;
  readonly #events: CompletionChannel;
  readonly #cq: CompletionQueue;
  readonly qp: QueuePair;
  readonly mr: MemoryRegion;
  readonly #completions = createCompletions(POLLED_AT_ONCE);
  /** Resolves when the other side has ended the session. */
  readonly left: Promise<void>;
  #resolveLeft: () => void = () => {};
  #patience: NodeJS.Timeout | undefined;
  #waitingSince = Number.POSITIVE_INFINITY;
  #remote: BufferGrant | null = null;
  #lost: RdmaError | undefined;
  #wake: (() => void) | undefined;

  /** Sets a session up, with one receive posted for the message that tells what is measured. */
  static async establish(channel: ControlChannel, device: Device): Promise<BenchEnd> {
    let end: BenchEnd | undefined;
    try {
      const { peer } = await establishSession(channel, {
        async createObjects() {
          end = await BenchEnd.#create(channel, device);
          return await describe(device, end);
        },
        async transition(session) {
          const { activeMtu } = await device.queryPort();
          const rights = { read: true, write: true };
          const made = end as BenchEnd;
          await bringUp(
            made.qp,
            session,
            { pathMtu: activeMtu, rights, revealPsns: false },
            new StepReporter(0, undefined),
          );
          made.postControlReceive();
        },
      });
      const made = end as unknown as BenchEnd;
      made.#remote = peer.buffer;
      made.#watch();
      return made;
    } catch (error) {
      await end?.close();
      throw error;
    }
  }

  static async #create(channel: ControlChannel, device: Device): Promise<BenchEnd> {
    const pd = await device.allocPd();
    const events = await device.createCompletionChannel();
    const cq = await device.createCq({ capacity: SENDS + RECEIVES, channel: events });
    const capacity = { maxSendWr: SENDS, maxRecvWr: RECEIVES };
    const qp = await pd.createQp({ sendCq: cq, recvCq: cq, capacity });
    const { LOCAL_WRITE, REMOTE_WRITE, REMOTE_READ } = AccessFlags;
    const bytes = new Uint8Array(CONTROL_BYTES + MAX_SIZE_BYTES + CONTROL_BYTES);
    const mr = await pd.regMr(bytes, LOCAL_WRITE | REMOTE_WRITE | REMOTE_READ);
    return new BenchEnd(channel, pd, events, cq, qp, mr);
  }

  private constructor(
    channel: ControlChannel,
    pd: ProtectionDomain,
    events: CompletionChannel,
    cq: CompletionQueue,
    qp: QueuePair,
    mr: MemoryRegion,
  ) {
    this.channel = channel;
    this.#pd = pd;
    this.#events = events;
    this.#cq = cq;
    this.qp = qp;
    this.mr = mr;
    this.left = new Promise((resolve) => {
      this.#resolveLeft = resolve;
    });
    events.onEvent = () => this.#wakeUp();
  }

  /** Where the data of the peer begins. */
  get remoteData(): { readonly remoteAddr: bigint; readonly rkey: RKey } {
    if (this.#remote === null) throw new RdmaError('ERR_RDMA_PROTOCOL', 'the peer lends no memory');
    return { remoteAddr: BigInt(`0x${this.#remote.addr}`) + BigInt(CONTROL_BYTES), rkey: this.#remote.rkey };
  }

  /** The data of the measurement at this end. */
  data(size: number): Uint8Array {
    return this.mr.bytes.subarray(CONTROL_BYTES, CONTROL_BYTES + size);
  }

  postControlReceive(): void {
    this.qp.postRecv({ wrId: 0, sges: [{ mr: this.mr, offset: 0, length: CONTROL_BYTES }] });
  }

  /**
   * Takes completions until there are none, with `take` for each.
   *
   * @throws RdmaError ERR_RDMA_COMPLETION for one that failed.
   */
  drain(take: (completion: WorkCompletion) => void): void {
    for (let count = this.#cq.poll(this.#completions); count > 0; count = this.#cq.poll(this.#completions)) {
      for (let i = 0; i < count; i++) {
        const completion = this.#completions[i] as WorkCompletion;
        const { status } = completion;
        if (status !== WcStatus.SUCCESS) {
          const name = statusName(status);
          throw new RdmaError('ERR_RDMA_COMPLETION', `a request failed with ${name}`, { status: name });
        }
        take(completion);
      }
    }
  }

  /**
   * Takes completions and calls `advance`, which may post more and tells whether all is done, until it is. Armed before
   * it drains, so that no completion falls between.
   *
   * @throws RdmaError also when the session ends or nothing comes any more.
   */
  async until(advance: () => boolean, take: (completion: WorkCompletion) => void): Promise<void> {
    for (;;) {
      this.#cq.reqNotify();
      this.drain(take);
      if (advance()) return;
      if (this.#lost !== undefined) throw this.#lost;
      await this.#event();
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#patience);
    await this.qp.close();
    await this.#cq.close();
    await this.#events.close();
    await this.mr.close();
    await this.#pd.close();
    await this.channel.close('measured');
  }

  #event(): Promise<void> {
    this.#waitingSince = performance.now();
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  #wakeUp(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    this.#waitingSince = Number.POSITIVE_INFINITY;
    wake?.();
  }

  #giveUp(error: RdmaError): void {
    this.#lost ??= error;
    this.#wakeUp();
  }

  /** The session says nothing any more until it ends. */
  #watch(): void {
    const gone = new RdmaError('ERR_RDMA_CONNECTION_LOST', 'the other side has ended');
    this.channel
      .receive()
      .then(
        () => this.#giveUp(gone),
        (error: unknown) => this.#giveUp(error instanceof RdmaError ? error : gone),
      )
      .finally(() => this.#resolveLeft());
    this.#patience = setInterval(() => {
      if (performance.now() - this.#waitingSince < SILENCE_MILLIS) return;
      const message =
        `nothing came in for ${SILENCE_MILLIS / 1000} s: ` +
        'do UDP packets get through between the two devices?';
      this.#giveUp(new RdmaError('ERR_RDMA_TIMEOUT', message));
    }, 1000);
  }
}

async function describe(device: Device, end: BenchEnd): Promise<SessionParameters> {
  const port = await device.queryPort();
  const gid = await ownGid(device, end.channel.localAddress);
  const { mr, qp } = end;
  return {
    qpn: qp.qpn,
    gid: gid.gid,
    lid: port.lid,
    udpPort: port.udpPort,
    pathMtu: port.activeMtu,
    maxRdAtomic: RD_ATOMIC_DEPTH,
    maxDestRdAtomic: RD_ATOMIC_DEPTH,
    receive: { slots: 1, slotBytes: CONTROL_BYTES },
    buffer: { addr: mr.addr.toString(16), rkey: mr.rkey, length: mr.length },
    received: 0,
    device: device.name.slice(0, 64),
  };
}
