/** Posts what a machine asks for. Requests are objects that are filled anew, because posting reads them at once. */
import type { RKey } from '../../verbs/brands.js';
import type { MemoryRegion } from '../../verbs/memory-region.js';
import type { QueuePair } from '../../verbs/queue-pair.js';
import { type ReceiveWorkRequest, type SendWorkRequest, WrOpcode } from '../../verbs/work-request.js';
import { PostKind, type RsocketPost } from './rsocket-post.js';

type Writable<T> = { -readonly [K in keyof T]: T[K] };

const RECEIVE: ReceiveWorkRequest = { wrId: 0 };

export class PostWriter {
  readonly #qp: QueuePair;
  readonly #sge: { mr: MemoryRegion; offset: number; length: number };
  readonly #fromRing: Writable<SendWorkRequest>;
  readonly #inline: Writable<SendWorkRequest>;
  readonly #empty: Writable<SendWorkRequest>;

  constructor(qp: QueuePair, sendRing: MemoryRegion) {
    this.#qp = qp;
    this.#sge = { mr: sendRing, offset: 0, length: 0 };
    this.#fromRing = { ...BLANK, sges: [this.#sge] };
    this.#inline = { ...BLANK, inlineData: new Uint8Array(0) };
    this.#empty = { ...BLANK };
  }

  /** @throws RdmaError of `QueuePair.postSend`. */
  post(post: RsocketPost): void {
    const request = this.#requestFor(post);
    request.opcode = post.imm < 0 ? WrOpcode.RDMA_WRITE : WrOpcode.RDMA_WRITE_WITH_IMM;
    request.remoteAddr = post.remoteAddr;
    request.rkey = post.rkey as RKey;
    request.imm = post.imm < 0 ? 0 : post.imm;
    this.#qp.postSend(request);
  }

  /** One receive in the place of the one that was used. */
  receive(): void {
    this.#qp.postRecv(RECEIVE);
  }

  #requestFor({ kind, bytes, offset, payload }: RsocketPost): Writable<SendWorkRequest> {
    if (kind === PostKind.DATA) {
      this.#sge.offset = offset;
      this.#sge.length = bytes;
      return this.#fromRing;
    }
    if (bytes === 0) return this.#empty;
    this.#inline.inlineData = payload.subarray(0, bytes);
    return this.#inline;
  }
}

const BLANK: SendWorkRequest = {
  wrId: 0,
  opcode: WrOpcode.RDMA_WRITE,
  remoteAddr: 0,
  rkey: 0 as RKey,
  imm: 0,
};
