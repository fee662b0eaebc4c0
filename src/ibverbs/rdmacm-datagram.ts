/** Datagram services through the kernel's communication manager (SIDR): looking one up, and answering. */
import { CmEventType } from '../native/rdmacm-addon.js';
import type { QKey, Qpn } from '../verbs/brands.js';
import {
  type CmAddress,
  type CmDatagramEvent,
  type CmDatagramLookup,
  type CmDatagramRequest,
  checkPrivateData,
  PortSpace,
  PrivateDataBytes,
} from '../verbs/connection-manager.js';
import { closedError, RdmaError, usageError } from '../verbs/errors.js';
import { tell } from '../verbs/listeners.js';
import { ROCE_UDP_PORT } from './gid-table.js';
import { describeAddress } from './rdmacm-address.js';
import { Asking, type CmContext } from './rdmacm-asking.js';
import type { KernelCall, KernelEvent, KernelId } from './rdmacm-channel.js';
import { peerGone } from './rdmacm-error.js';
import { noParameters, padded, readOptions } from './rdmacm-path.js';

/** The only one that the kernel answers with (`RDMA_UDP_QKEY`). */
const KERNEL_QKEY = 0x01234567;
/** As long as a soft device keeps a request: its client has given up by then. */
const ANSWER_LIMIT_MILLIS = 30_000;

/** Returns the function that gives up. */
export function lookUpDatagram(
  context: CmContext,
  request: CmDatagramLookup,
  onEvent: (event: CmDatagramEvent) => void,
): () => void {
  checkPrivateData(request.privateData, PrivateDataBytes.DATAGRAM_REQUEST);
  const end = (event: CmDatagramEvent): void => {
    void asking.close();
    tell(onEvent, event);
  };
  const asking = new Asking(
    context,
    { ...request, portSpace: PortSpace.UDP, parameters: noParameters(0) },
    {
      onAnswer: async (event) => {
        const answer = answerOf(event);
        if (answer !== undefined) end(answer);
        return answer !== undefined;
      },
      onUnreachable: () => tell(onEvent, { type: 'unreachable' }),
      onFailed: (error) => tell(onEvent, { type: 'failed', error }),
    },
  );
  return () => void asking.close();
}

function answerOf(event: KernelEvent): CmDatagramEvent | undefined {
  const privateData = padded(event.privateData, PrivateDataBytes.DATAGRAM_REPLY);
  if (event.type === CmEventType.UNREACHABLE) {
    return event.status > 0
      ? { type: 'refused', status: event.status, privateData }
      : { type: 'unreachable' };
  }
  if (event.type !== CmEventType.ESTABLISHED) return undefined;
  const { av, port, qkey, parameters } = event;
  return {
    type: 'found',
    service: {
      gid: av.dgid,
      udpPort: ROCE_UDP_PORT,
      qpn: parameters.qpn,
      qkey: qkey as QKey,
      options: { port, ...readOptions(av) },
      privateData,
    },
  };
}

/** Wrong arguments of an answer leave it open. Invariant: the kernel's id lives no longer than the limit, whoever forgets it. */
export class RdmacmDatagramRequest implements CmDatagramRequest {
  readonly remote: CmAddress;
  readonly privateData: Uint8Array;
  readonly #device: string;
  readonly #id: KernelId;
  readonly #release: () => void;
  readonly #timer: NodeJS.Timeout;
  #isAnswered = false;
  #isForgotten = false;

  constructor(device: string, id: KernelId, event: KernelEvent, release: () => void) {
    this.#device = device;
    this.#id = id;
    this.#release = release;
    this.remote = id.addresses[1];
    this.privateData = padded(event.privateData, PrivateDataBytes.DATAGRAM_REQUEST);
    this.#timer = setTimeout(() => this.#forget(), ANSWER_LIMIT_MILLIS);
    this.#timer.unref();
    void id.ended.then(() => clearTimeout(this.#timer));
  }

  async accept(qpn: Qpn, qkey: QKey, privateData: Uint8Array): Promise<void> {
    checkPrivateData(privateData, PrivateDataBytes.DATAGRAM_REPLY);
    if (qkey !== KERNEL_QKEY) {
      throw usageError(
        `the Q_Key of a datagram service on ${this.#device} is 0x${KERNEL_QKEY.toString(16)} and no other`,
      );
    }
    await this.#answer((addon, handle) => addon.accept(handle, noParameters(qpn), privateData));
  }

  async reject(privateData: Uint8Array): Promise<void> {
    checkPrivateData(privateData, PrivateDataBytes.DATAGRAM_REPLY);
    if (this.#isForgotten) return;
    await this.#answer((addon, handle) => addon.reject(handle, privateData));
  }

  /** There is no third message: the kernel's id has done its work. */
  async #answer(call: KernelCall): Promise<void> {
    if (this.#isForgotten) throw tooLate(this.remote);
    if (this.#isAnswered) throw closedError('the request');
    this.#isAnswered = true;
    this.#release();
    const result = await this.#id.run(call);
    await this.#id.destroy();
    if (result < 0) throw peerGone(this.remote, -result);
  }

  #forget(): void {
    this.#isForgotten = true;
    this.#release();
    void this.#id.destroy();
  }
}

const tooLate = (remote: CmAddress): RdmaError =>
  new RdmaError(
    'ERR_RDMA_CONNECTION_LOST',
    `${describeAddress(remote)} does not wait for the datagram service any more: answer within ${ANSWER_LIMIT_MILLIS / 1000} s`,
  );
