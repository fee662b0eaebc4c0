/**
 * One end of a measurement: a session as connections have it (TLS 1.3, PSNs exchanged before there is a queue pair),
 * and then nothing but verbs: a queue pair, one completion queue, one region of memory.
 *
 * The region holds what comes in about the measurement, its data, and what goes out about it. All receives of the data lie on
 * top of each other, as perftest's do: what is measured is how data moves, not what a program makes of it.
 */

import { LinkProof } from '../../connection/link/link-proof.js';
import type { TakeCompletion } from '../../endpoint/completion-waiter.js';
import { type Endpoint, openEndpoint } from '../../endpoint/endpoint.js';
import type { ControlChannel } from '../../session/control-channel.js';
import { establishSession } from '../../session/establish-session.js';
import { PathProof } from '../../session/path-proof.js';
import { generatePsn } from '../../session/psn-source.js';
import {
  PROOF_MESSAGES,
  type ProofSeen,
  type SessionAttributes,
  type SessionParameters,
} from '../../session/session-data.js';
import type { LentBuffer } from '../../session/terms.js';
import { AccessFlags } from '../../verbs/access-flags.js';
import type { RKey } from '../../verbs/brands.js';
import type { Device } from '../../verbs/device.js';
import { asRdmaError, RdmaError } from '../../verbs/errors.js';
import type { MemoryRegion } from '../../verbs/memory-region.js';
import type { QueuePair } from '../../verbs/queue-pair.js';
import { WcOpcode } from '../../verbs/work-completion.js';
import { SendFlags, WrOpcode } from '../../verbs/work-request.js';
import { CONTROL_BYTES, MAX_DEPTH, MAX_SIZE_BYTES } from './bench-plan.js';

/** A server has more receives than a client has sends, so that it may be late. */
export const RECEIVES = 4 * MAX_DEPTH;
const SENDS = 2 * MAX_DEPTH;
const PROOF_ID = 1;
const MAX_PACKET_BYTES = 4096;
const { REMOTE_WRITE, REMOTE_READ } = AccessFlags;

export class BenchEnd {
  readonly channel: ControlChannel;
  readonly qp: QueuePair;
  readonly mr: MemoryRegion;
  readonly #endpoint: Endpoint;
  readonly #remote: LentBuffer | null;
  /** Resolves when the other side has ended the session. */
  readonly left: Promise<void>;

  /**
   * Sets a session up and proves its path, with one receive posted for the message that tells what is measured.
   *
   * @throws RdmaError of the session; ERR_RDMA_PROTOCOL when the other end is no `queuepair bench`, ERR_RDMA_UNREACHABLE.
   */
  static async establish(channel: ControlChannel, device: Device): Promise<BenchEnd> {
    let endpoint: Endpoint | undefined;
    const proof = new PathProof(channel);
    let isStranger = false;
    const psn = generatePsn();
    const steps = {
      async createObjects() {
        endpoint = await openEndpoint(device, {
          capacity: { maxSendWr: SENDS, maxRecvWr: RECEIVES },
          memory: CONTROL_BYTES + MAX_SIZE_BYTES + CONTROL_BYTES,
          access: REMOTE_WRITE | REMOTE_READ,
          near: channel.localAddress,
          psn,
          wait: { looks: 0 },
        });
        postProofReceives(endpoint);
        postControlReceive(endpoint);
        return parametersOf(endpoint);
      },
      async checkPeer({ terms }: SessionAttributes) {
        isStranger = terms.receive.slots !== 1 || terms.receive.slotBytes !== CONTROL_BYTES;
        if (!isStranger) return undefined;
        return { reason: 'not_bench', message: 'this end is `queuepair bench`, and yours is not' };
      },
      async transition({ peer }: SessionAttributes) {
        await endpoint?.connect(peer);
      },
      async prove(met: SessionAttributes) {
        await exchangeProofs(endpoint as unknown as Endpoint, met, proof.begin(met));
      },
      peerHas: (messages: number) => proof.peerHas(messages),
    };
    try {
      const { terms } = await establishSession(channel, steps, psn);
      return new BenchEnd(channel, endpoint as unknown as Endpoint, terms.buffer);
    } catch (error) {
      const failure = isStranger
        ? stranger(channel)
        : proof.meant(asRdmaError(error, 'the session failed on an internal error'));
      // The other end learns it now, and need not find out by itself.
      if (proof.isUnderWay) channel.fail(failure);
      await endpoint?.close();
      await channel.close('measured');
      throw failure;
    }
  }

  private constructor(channel: ControlChannel, endpoint: Endpoint, remote: LentBuffer | null) {
    this.channel = channel;
    this.#endpoint = endpoint;
    this.#remote = remote;
    this.qp = endpoint.qp;
    this.mr = endpoint.memory;
    this.left = this.#watch();
  }

  /** Where the data of the peer begins. */
  get remoteData(): { readonly remoteAddr: bigint; readonly rkey: RKey } {
    if (this.#remote === null) throw new RdmaError('ERR_RDMA_PROTOCOL', 'the peer lends no memory');
    return { remoteAddr: this.#remote.addr + BigInt(CONTROL_BYTES), rkey: this.#remote.rkey };
  }

  /** The data of the measurement at this end. */
  data(size: number): Uint8Array {
    return this.mr.bytes.subarray(CONTROL_BYTES, CONTROL_BYTES + size);
  }

  /**
   * Takes completions until all is done; `advance` may post more and tells whether it is.
   *
   * @throws RdmaError as `Endpoint.until`, and when the session ends.
   */
  until(advance: () => boolean, take: TakeCompletion): Promise<void> | undefined {
    return this.#endpoint.until(advance, take);
  }

  async close(): Promise<void> {
    await this.#endpoint.close();
    await this.channel.close('measured');
  }

  /** The session says nothing any more until it ends. */
  async #watch(): Promise<void> {
    const gone = new RdmaError('ERR_RDMA_CONNECTION_LOST', 'the other side has ended');
    try {
      let frame = await this.channel.receive();
      while (frame.type === 'proven') frame = await this.channel.receive();
      this.#endpoint.waiter.giveUp(gone);
    } catch (error) {
      this.#endpoint.waiter.giveUp(error instanceof RdmaError ? error : gone);
    }
  }
}

const stranger = ({ role, peerName }: ControlChannel): RdmaError =>
  new RdmaError(
    'ERR_RDMA_PROTOCOL',
    role === 'client'
      ? `${peerName} is no \`queuepair bench\`: start one there, or give its port`
      : `${peerName} is no \`queuepair bench\``,
  );

function postProofReceives({ qp, memory }: Endpoint): void {
  const sges = [{ mr: memory, offset: CONTROL_BYTES, length: MAX_PACKET_BYTES }];
  for (let i = 0; i < PROOF_MESSAGES; i++) qp.postRecv({ wrId: PROOF_ID, sges });
}

/**
 * A byte and a whole packet in each direction, which mean nothing. All four are over before this end says that it has its
 * proof, so that no message of the measurement, which the peer sends after that, is among them.
 */
async function exchangeProofs(
  endpoint: Endpoint,
  { own, peer }: SessionAttributes,
  onSeen: (seen: ProofSeen) => void,
): Promise<void> {
  const { qp, memory: mr } = endpoint;
  const proof = new LinkProof();
  // `until` tells how it ended.
  void proof.done(onSeen);
  for (const length of [1, Math.min(own.mtu, peer.mtu)]) {
    const sges = [{ mr, offset: CONTROL_BYTES, length }];
    qp.postSend({ wrId: PROOF_ID, opcode: WrOpcode.SEND, flags: SendFlags.SIGNALED, sges });
  }
  await endpoint.until(
    () => proof.isComplete,
    ({ opcode }) => {
      if (opcode === WcOpcode.RECV) proof.onArrived();
      else proof.onDone(undefined);
    },
  );
}

function postControlReceive({ qp, memory }: Endpoint): void {
  qp.postRecv({ wrId: 0, sges: [{ mr: memory, offset: 0, length: CONTROL_BYTES }] });
}

async function parametersOf({ address, device, memory }: Endpoint): Promise<SessionParameters> {
  const { lid } = await device.queryPort();
  const { psn: _, ...path } = address;
  const terms = {
    receive: { slots: 1, slotBytes: CONTROL_BYTES },
    messages: { maxBytes: 16 * 1024 * 1024, windowBytes: 1024 * 1024 },
    streams: { open: 0, windowBytes: 65_536 },
    buffer: { addr: memory.addr, rkey: memory.rkey, length: memory.length },
    received: 0,
    device: device.name.slice(0, 64),
  };
  return { path: { ...path, lid }, terms };
}
