/**
 * The active side of a meeting (`rdma_resolve_addr`, `rdma_connect`, `rdma_establish`).
 *
 * Invariants: a queue pair that no peer has answered is in INIT, and can be used to try again; one that could not be
 * brought up is in ERR. Whatever fails, the device keeps nothing of it.
 */
import { type Endpoint, openEndpoint } from '../endpoint/endpoint.js';
import {
  type CmEvent,
  type CmId,
  type ConnectionManager,
  NO_DATA,
  RejectReason,
} from '../verbs/connection-manager.js';
import type { Device } from '../verbs/device.js';
import type { RdmaError } from '../verbs/errors.js';
import { CmConnection } from './cm-connection.js';
import { type CmTarget, checkPrivateData, lostError, rejectedError, unreachableError } from './cm-errors.js';
import { checkConnect, checkConnectEndpoint } from './cm-rules.js';
import { type CmPlaceOfService, describeService, placeOfService, requestBytes } from './cm-service.js';
import { firstOf } from './first-of.js';
import { Mailbox } from './mailbox.js';
import {
  bringUp,
  type CmDepths,
  clientDepths,
  freshQueuePairOf,
  inMeetingOf,
  ownMtu,
  prepare,
  queuePairOf,
  takeDown,
} from './meeting-queue-pair.js';
import type { CmConnectOptions, EndpointConnectOptions } from './options.js';
import { DEFAULT_TIMEOUT_MILLIS, Patience } from './patience.js';
import { peerHosts } from './peer-hosts.js';

const DEFAULT_RETRIES = 7;

type Response = Extract<CmEvent, { type: 'response' }>;

/**
 * Connects a queue pair with a program that listens on `port` of rdma_cm at `host`, or for a service ID there. Neither end proves who it is, and
 * whoever reads the network sees the packet sequence numbers: docs/threat-model.md says what that means.
 *
 * @throws RdmaError ERR_RDMA_REJECTED, ERR_RDMA_UNREACHABLE, ERR_RDMA_TIMEOUT, ERR_RDMA_ABORTED, ERR_RDMA_ADDRESS,
 * ERR_RDMA_NOT_SUPPORTED, ERR_RDMA_INVALID_STATE, ERR_RDMA_IN_USE, ERR_RDMA_INVALID_ARGUMENT, each with what to do.
 */
export async function connect(device: Device, options: CmConnectOptions): Promise<CmConnection> {
  checkConnect(device, options);
  const { host, privateData = NO_DATA, timeoutMillis = DEFAULT_TIMEOUT_MILLIS, signal } = options;
  const service = placeOfService(options);
  checkPrivateData(privateData, requestBytes(service), 'connect');
  const qp = freshQueuePairOf(device, options.qp);
  const patience = new Patience(`connect to ${describeService(service)} at ${host}`, timeoutMillis, signal);
  try {
    return await inMeetingOf(qp, async () => {
      const manager = await device.connectionManager();
      const hosts = await peerHosts(device, host, patience);
      await prepare(qp, device.attributes);
      return await new Meeting(device, options, service, manager, patience).meetOneOf(hosts);
    });
  } finally {
    patience.end();
  }
}

export interface ConnectedEndpoint {
  /** Closing it ends the connection as well. */
  readonly endpoint: Endpoint;
  readonly connection: CmConnection;
}

/** Opens an endpoint and connects it: {@link openEndpoint} and {@link connect}. */
export async function connectEndpoint(
  device: Device,
  options: EndpointConnectOptions,
): Promise<ConnectedEndpoint> {
  checkConnectEndpoint(device, options);
  const { endpoint: endpointOptions, ...others } = options;
  const endpoint = await openEndpoint(device, endpointOptions);
  try {
    const connection = await connect(device, { ...others, qp: endpoint });
    return { endpoint: keeping(endpoint, connection), connection };
  } catch (error) {
    await endpoint.close();
    throw error;
  }
}

function keeping(endpoint: Endpoint, connection: CmConnection): Endpoint {
  endpoint.keep(connection);
  return endpoint;
}

/** One attempt after the other at the addresses of a host. */
class Meeting {
  readonly #device: Device;
  readonly #options: CmConnectOptions;
  readonly #service: CmPlaceOfService;
  readonly #manager: ConnectionManager;
  readonly #patience: Patience;

  constructor(
    device: Device,
    options: CmConnectOptions,
    service: CmPlaceOfService,
    manager: ConnectionManager,
    patience: Patience,
  ) {
    this.#device = device;
    this.#options = options;
    this.#service = service;
    this.#manager = manager;
    this.#patience = patience;
  }

  /** The first that takes the connection; what the last one said where none does. */
  meetOneOf(hosts: readonly string[]): Promise<CmConnection> {
    return firstOf(hosts, this.#patience, (host, timeoutMillis) => this.#ask(host, timeoutMillis));
  }

  /** Returns why nothing came of it, where another address may be better. */
  async #ask(host: string, timeoutMillis: number): Promise<CmConnection | RdmaError> {
    const depths = clientDepths(this.#options.qp, this.#device, this.#options);
    const mailbox = new Mailbox<CmEvent>();
    const id = await this.#start(host, depths, mailbox, timeoutMillis);
    try {
      const event = await this.#patience.untilAborted(mailbox.next());
      if (event.type === 'response') return await this.#confirm(id, event, depths, mailbox);
      await id.close();
      return endingError(event, { host, ...this.#service }, timeoutMillis);
    } catch (error) {
      await id.close();
      throw error;
    }
  }

  async #start(
    host: string,
    depths: CmDepths,
    mailbox: Mailbox<CmEvent>,
    timeoutMillis: number,
  ): Promise<CmId> {
    const { qp: given, privateData = NO_DATA, localHost, udpPort, trafficClass, ackTimeout } = this.#options;
    const { retryCount = DEFAULT_RETRIES, rnrRetryCount = DEFAULT_RETRIES } = this.#options;
    const mtu = await ownMtu(this.#device, given);
    this.#patience.check();
    const { port, ...service } = this.#service;
    const qp = queuePairOf(this.#device, given);
    return this.#manager.connect(
      {
        ...depths,
        ...service,
        remote: { host, port },
        qpn: qp.qpn,
        retryCount,
        rnrRetryCount,
        flowControl: false,
        srq: qp.srq !== null,
        privateData,
        mtu,
        timeoutMillis,
        ...(localHost === undefined ? {} : { localHost }),
        ...(udpPort === undefined ? {} : { udpPort }),
        ...(trafficClass === undefined ? {} : { trafficClass }),
        ...(ackTimeout === undefined ? {} : { ackTimeout }),
      },
      mailbox.push,
    );
  }

  async #confirm(
    id: CmId,
    { path, peer }: Response,
    depths: CmDepths,
    mailbox: Mailbox<CmEvent>,
  ): Promise<CmConnection> {
    const qp = queuePairOf(this.#device, this.#options.qp);
    try {
      await bringUp(this.#options.qp, path, depths);
      this.#patience.check();
      await id.establish();
    } catch (error) {
      await takeDown(qp);
      await id.reject(RejectReason.CONSUMER, NO_DATA).catch(() => {});
      throw error;
    }
    return new CmConnection({ id, qp, peer, depths, mailbox });
  }
}

/** Why a client got no connection. */
function endingError(event: CmEvent, remote: CmTarget, timeoutMillis: number): RdmaError {
  switch (event.type) {
    case 'rejected':
      return rejectedError(remote, event.reason, event.privateData);
    case 'unreachable':
      return unreachableError(remote, timeoutMillis);
    case 'failed':
      return event.error;
    default:
      return lostError(
        `${describeService(remote)} at ${remote.host} ended the connection before it began: try again`,
      );
  }
}
