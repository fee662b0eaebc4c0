/**
 * Datagram services (SIDR; RDMA_PS_UDP of rdma_cm): a client asks where the queue pair of a service is, a server tells it. There
 * is no connection and no end of one: datagrams go to an address handle from then on.
 */
import { type QKey, toQKey } from '../verbs/brands.js';
import {
  type CmAddress,
  type CmDatagramEvent,
  type CmDatagramRequest,
  type CmDatagramService,
  type ConnectionManager,
  NO_DATA,
  PrivateDataBytes,
} from '../verbs/connection-manager.js';
import type { Device } from '../verbs/device.js';
import { RdmaError } from '../verbs/errors.js';
import { QpType } from '../verbs/qp-state.js';
import type { QueuePair } from '../verbs/queue-pair.js';
import { checkPrivateData, refusedServiceError, unreachableError } from './cm-errors.js';
import { checkDatagramAccept, checkDatagramReject, checkListenUd, checkResolve } from './cm-rules.js';
import { placeOf } from './cm-server.js';
import { firstOf } from './first-of.js';
import { queuePairOf } from './meeting-queue-pair.js';
import type {
  CmDatagramAcceptOptions,
  CmDatagramListenOptions,
  CmDatagramRejectOptions,
  CmResolveOptions,
} from './options.js';
import { DEFAULT_TIMEOUT_MILLIS, Patience } from './patience.js';
import { peerHosts } from './peer-hosts.js';
import { RequestServer, type Waiting } from './request-server.js';

/** The Q_Key that rdma_cm agrees on for datagrams, unless a multicast group says otherwise. */
export const RDMA_UDP_QKEY: QKey = toQKey(0x01234567);

/**
 * Asks where a datagram service is: what an address handle, `remoteQpn` and `remoteQkey` of a send take.
 *
 * @throws RdmaError ERR_RDMA_REJECTED, ERR_RDMA_UNREACHABLE, ERR_RDMA_TIMEOUT, ERR_RDMA_ABORTED, ERR_RDMA_ADDRESS,
 * ERR_RDMA_NOT_SUPPORTED, ERR_RDMA_INVALID_ARGUMENT, each with what to do.
 */
export async function resolveUd(device: Device, options: CmResolveOptions): Promise<CmDatagramService> {
  checkResolve(device, options);
  const { host, port, privateData = NO_DATA, timeoutMillis = DEFAULT_TIMEOUT_MILLIS, signal } = options;
  checkPrivateData(privateData, PrivateDataBytes.DATAGRAM_REQUEST, 'resolveUd');
  const patience = new Patience(`resolveUd of port ${port} of rdma_cm at ${host}`, timeoutMillis, signal);
  try {
    const manager = await device.connectionManager();
    const hosts = await peerHosts(device, host, patience);
    return await firstOf(hosts, patience, (address, millis) =>
      lookUp(manager, address, millis, options, patience),
    );
  } finally {
    patience.end();
  }
}

async function lookUp(
  manager: ConnectionManager,
  host: string,
  timeoutMillis: number,
  { port, privateData = NO_DATA, localHost, udpPort, trafficClass }: CmResolveOptions,
  patience: Patience,
): Promise<CmDatagramService | RdmaError> {
  const remote = { host, port };
  let giveUp = (): void => {};
  patience.check();
  const answer = new Promise<CmDatagramEvent>((resolve) => {
    giveUp = manager.lookUp(
      {
        remote,
        privateData,
        timeoutMillis,
        ...(localHost === undefined ? {} : { localHost }),
        ...(udpPort === undefined ? {} : { udpPort }),
        ...(trafficClass === undefined ? {} : { trafficClass }),
      },
      resolve,
    );
  });
  try {
    const event = await patience.untilAborted(answer);
    if (event.type === 'found') return event.service;
    if (event.type === 'refused') return refusedServiceError(remote, event.status, event.privateData);
    return event.type === 'failed' ? event.error : unreachableError(remote, timeoutMillis);
  } finally {
    giveUp();
  }
}

/** Listens for clients that look a datagram service up. @throws RdmaError as `listen`. */
export async function listenUd(
  device: Device,
  options: CmDatagramListenOptions = {},
): Promise<CmDatagramServer> {
  checkListenUd(device, options);
  const place = placeOf(options);
  const manager = await device.connectionManager();
  const server = new CmDatagramServer(place.backlog);
  const listener = await manager.listenDatagram(place, (request) =>
    server.offer(new CmDatagramIncoming(device, request)),
  );
  server.open(listener);
  return server;
}

/** Its requests are {@link CmDatagramIncoming}. */
export class CmDatagramServer extends RequestServer<CmDatagramIncoming> {}

/** A client asks where the service is: tell it, or say no. */
export class CmDatagramIncoming implements Waiting {
  /** Where the client says that it is, which nothing proves. */
  readonly remote: CmAddress;
  /** 180 bytes, zeros after what the client wrote. */
  readonly privateData: Uint8Array;
  readonly #device: Device;
  readonly #request: CmDatagramRequest;
  #isAnswered = false;

  /** @internal */
  constructor(device: Device, request: CmDatagramRequest) {
    this.#device = device;
    this.#request = request;
    this.remote = { ...request.remote };
    this.privateData = request.privateData;
  }

  /** @throws RdmaError ERR_RDMA_INVALID_STATE when it was answered before, ERR_RDMA_INVALID_ARGUMENT. */
  async accept(options: CmDatagramAcceptOptions): Promise<void> {
    checkDatagramAccept(options);
    const { qp: given, qkey, privateData = NO_DATA } = options;
    checkPrivateData(privateData, PrivateDataBytes.DATAGRAM_REPLY, 'accept');
    const qp = queuePairOf(this.#device, given, QpType.UD);
    const asked = qkey === undefined ? await qkeyOf(qp) : toQKey(qkey);
    this.#begin();
    try {
      await this.#request.accept(qp.qpn, asked, privateData);
    } catch (error) {
      // A Q_Key that the device cannot answer with is no answer.
      this.#isAnswered = false;
      throw error;
    }
  }

  /** Says no. The reason is always the same; private data may say more. */
  async reject(options: CmDatagramRejectOptions = {}): Promise<void> {
    checkDatagramReject(options);
    const { privateData = NO_DATA } = options;
    checkPrivateData(privateData, PrivateDataBytes.DATAGRAM_REPLY, 'reject');
    this.#begin();
    await this.#request.reject(privateData);
  }

  /** @internal A client that has given up is not heard of. */
  watch(): void {}

  /** @internal */
  async abandon(): Promise<void> {
    if (!this.#isAnswered) await this.reject().catch(() => {});
  }

  #begin(): void {
    if (this.#isAnswered) {
      throw new RdmaError('ERR_RDMA_INVALID_STATE', 'the request was answered already: each gets one answer');
    }
    this.#isAnswered = true;
  }
}

const qkeyOf = async (qp: QueuePair): Promise<QKey> => (await qp.query()).qkey ?? RDMA_UDP_QKEY;
