/**
 * The side that asks: sends REQs until a REP or REJ comes, hands the REP to its program, and says RTU when the program
 * has brought its queue pair up.
 *
 * Invariants: a REP is taken from the address that was asked only, once, and when its sender's queue pair belongs to no
 * other connection. A repeated REP is answered by RTU, by MRA while the program is at work, or by the REJ of the program.
 */
import { formatIp, isIpv4, sameGid, type UdpAddress } from '../../verbs/address.js';
import { checkPrivateData, NO_DATA, PrivateDataBytes, RejectReason } from '../../verbs/connection-manager.js';
import { RdmaError, usageError } from '../../verbs/errors.js';
import { mtuToEnum } from '../../verbs/mtu.js';
import { isHostAddress } from '../../verbs/peer-address.js';
import { DEFAULT_PKEY } from '../wire/bth.js';
import { parametersOfRep, pathOfRep } from './bring-up-paths.js';
import { CmConnection, CmState } from './cm-connection.js';
import { CmDropReason } from './cm-drop-reason.js';
import { type CmHost, copyOf, isProgramQpn } from './cm-host.js';
import type { CmConnectOptions, CmHandle } from './cm-outputs.js';
import type { Ending } from './ending.js';
import {
  LONGEST_SERVICE_MILLIS,
  MAX_CM_RETRIES,
  MRA_SERVICE_TIMEOUT,
  PACKET_LIFETIME,
  REPEAT_MILLIS,
  RESPONSE_MILLIS,
  RESPONSE_TIMEOUT,
} from './timing.js';
import { CmSubject, PRIVATE_DATA } from './wire/attributes.js';
import { CMA_HEADER_BYTES, writeCmaHeader } from './wire/cma-header.js';
import type { Mra } from './wire/pair-messages.js';
import type { Rep } from './wire/rep.js';
import { CmTransport, type Req, type ReqPath } from './wire/req.js';
import { hasCmaHeader, servicePort } from './wire/service-id.js';
import { ackTimeoutCode, timeCodeMillis } from './wire/time-code.js';

const FIRST_EPHEMERAL_PORT = 49_152;
const HOP_LIMIT = 64;
/** There are no LIDs on Ethernet. */
const NO_LID = 0xffff;

/** What a program asked for, beside what is in the REQ. */
type Asked = Pick<CmConnectOptions, 'mtu' | 'ackTimeout'>;

export class ActiveSide {
  readonly #host: CmHost;
  readonly #ending: Ending;
  readonly #asked = new WeakMap<CmConnection, Asked>();

  constructor(host: CmHost, ending: Ending) {
    this.#host = host;
    this.#ending = ending;
  }

  /** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT, ERR_RDMA_ADDRESS or ERR_RDMA_LIMIT. */
  connect(options: CmConnectOptions): CmHandle {
    const host = this.#host;
    checkAddresses(host, options.local, options.remote);
    if (host.identities.isFull) {
      const { maxConnections } = host.limits;
      throw new RdmaError(
        'ERR_RDMA_LIMIT',
        `there are ${maxConnections} connections already; close some first`,
      );
    }
    const localPsn = host.random24();
    const req = this.#reqOf(options, host.identities.newCommId(), localPsn);
    const connection = new CmConnection({
      id: host.identities.newHandle(),
      isActive: true,
      localCommId: req.localCommId,
      local: copyOf(options.local),
      peer: copyOf(options.remote),
      localPsn,
      req,
    });
    connection.localQpn = options.qpn;
    this.#asked.set(connection, options);
    host.identities.add(connection);
    connection.repeated = host.send(connection, req);
    connection.retryMillis = REPEAT_MILLIS;
    connection.retryAt = host.now + REPEAT_MILLIS;
    connection.triesLeft = Number.POSITIVE_INFINITY;
    connection.expiresAt = host.now + options.timeoutMillis;
    host.schedule(connection);
    return connection.id;
  }

  #reqOf(options: CmConnectOptions, localCommId: number, startingPsn: number): Req {
    const host = this.#host;
    const { serviceId } = options;
    const sourcePort = options.sourcePort ?? randomPort(host);
    return {
      type: 'REQ',
      transactionId: host.newTransactionId(),
      localCommId,
      serviceId,
      caGuid: host.caGuid,
      qpn: options.qpn,
      responderResources: options.responderResources,
      initiatorDepth: options.initiatorDepth,
      remoteResponseTimeout: RESPONSE_TIMEOUT,
      localResponseTimeout: RESPONSE_TIMEOUT,
      transport: CmTransport.RC,
      flowControl: options.flowControl,
      startingPsn,
      retryCount: options.retryCount,
      pkey: DEFAULT_PKEY,
      mtu: mtuToEnum(options.mtu),
      rnrRetryCount: options.rnrRetryCount,
      maxCmRetries: MAX_CM_RETRIES,
      hasSrq: options.srq,
      extendedTransport: 0,
      primary: this.#primaryPath(options, sourcePort),
      alternate: null,
      privateData: withCmaHeader(options, sourcePort, PrivateDataBytes.REQUEST, PRIVATE_DATA.REQ.bytes),
    };
  }

  #primaryPath(options: CmConnectOptions, sourcePort: number): ReqPath {
    const { serviceId, local, remote, trafficClass = 0, ackTimeout } = options;
    const lifetime = ackTimeout === undefined ? PACKET_LIFETIME : Math.max(ackTimeout - 1, 0);
    const label = (sourcePort * 31 + Math.max(servicePort(serviceId), 0)) & 0xfffff;
    return {
      localLid: NO_LID,
      remoteLid: NO_LID,
      localGid: copyOf(local),
      remoteGid: copyOf(remote),
      flowLabel: options.flowLabel ?? label,
      packetRate: 0,
      trafficClass,
      hopLimit: HOP_LIMIT,
      serviceLevel: 0,
      isSubnetLocal: false,
      ackTimeout: ackTimeoutCode(lifetime, this.#host.ackDelay),
    };
  }

  /** The queue pair is in RTS. */
  establish(connection: CmConnection): void {
    const { transactionId, ids } = connection;
    connection.answer = this.#host.send(connection, {
      type: 'RTU',
      transactionId,
      ...ids,
      privateData: NO_DATA,
    });
    connection.state = CmState.ESTABLISHED;
    connection.wasEstablished = true;
    connection.expiresAt = Number.POSITIVE_INFINITY;
    this.#host.counters.established++;
  }

  onRep(rep: Rep, from: UdpAddress): void {
    const host = this.#host;
    const connection = host.identities.byCommId(rep.remoteCommId);
    if (connection === undefined) host.drop(CmDropReason.UNKNOWN_ID);
    else if (!sameGid(from, connection.peer)) host.drop(CmDropReason.WRONG_SOURCE);
    else if (!connection.isActive) host.drop(CmDropReason.BAD_STATE);
    else if (rep.transactionId !== connection.transactionId) host.drop(CmDropReason.WRONG_TRANSACTION);
    else if (connection.state === CmState.REQ_SENT) this.#onFirstRep(connection, rep);
    else this.#onRepAgain(connection, rep);
  }

  #onFirstRep(connection: CmConnection, rep: Rep): void {
    const host = this.#host;
    const { peer } = connection;
    if (!isProgramQpn(rep.qpn)) {
      host.drop(CmDropReason.BAD_QPN);
      return;
    }
    if (host.identities.byRemoteId(peer, rep.caGuid, rep.localCommId) !== undefined) {
      host.drop(CmDropReason.DUPLICATE);
      return;
    }
    const older = host.identities.byRemoteQpn(peer, rep.caGuid, rep.qpn);
    if (older !== undefined) {
      this.#refuseStale(connection, older, rep);
      return;
    }
    connection.remoteCommId = rep.localCommId;
    connection.remoteGuid = rep.caGuid;
    connection.remoteQpn = rep.qpn;
    host.identities.bind(connection);
    connection.state = CmState.REP_RECEIVED;
    connection.repeated = null;
    connection.retryAt = Number.POSITIVE_INFINITY;
    connection.expiresAt = host.now + RESPONSE_MILLIS;
    host.schedule(connection);
    const { id, req } = connection;
    const { mtu, ackTimeout } = this.#asked.get(connection) as Asked;
    const path = pathOfRep(req, rep, peer, mtu, PACKET_LIFETIME, ackTimeout);
    host.emit({ type: 'response', id, path, peer: parametersOfRep(req, rep) });
  }

  /** The peer's queue pair belongs to a connection of before, which has ended there. The next REP may be better. */
  #refuseStale(connection: CmConnection, older: CmConnection, rep: Rep): void {
    this.#host.drop(CmDropReason.STALE);
    this.#host.reply(connection, {
      type: 'REJ',
      transactionId: rep.transactionId,
      localCommId: connection.localCommId,
      remoteCommId: rep.localCommId,
      subject: CmSubject.REP,
      reason: RejectReason.STALE_CONNECTION,
      info: NO_DATA,
      privateData: NO_DATA,
    });
    this.#ending.endStale(older);
  }

  #onRepAgain(connection: CmConnection, rep: Rep): void {
    const host = this.#host;
    const { state, transactionId, ids } = connection;
    // Given up before the peer said who it is.
    if (connection.remoteCommId === 0) {
      host.drop(CmDropReason.BAD_STATE);
      this.#ending.refuseLateRep(connection, rep.localCommId);
      return;
    }
    if (rep.localCommId !== connection.remoteCommId) {
      host.drop(CmDropReason.UNKNOWN_ID);
      return;
    }
    host.drop(CmDropReason.DUPLICATE);
    if (state === CmState.REP_RECEIVED)
      host.reply(connection, {
        type: 'MRA',
        transactionId,
        ...ids,
        subject: CmSubject.REP,
        serviceTimeout: MRA_SERVICE_TIMEOUT,
        privateData: NO_DATA,
      });
    else if (connection.answer !== null) host.replyMad(connection, connection.answer);
  }

  /** The peer's program needs time: REQs go out less often, as long as the connection may take at all. */
  onMra(connection: CmConnection, mra: Mra): void {
    if (connection.state !== CmState.REQ_SENT || mra.subject !== CmSubject.REQ) {
      this.#host.drop(CmDropReason.BAD_STATE);
      return;
    }
    if (mra.transactionId !== connection.transactionId) {
      this.#host.drop(CmDropReason.WRONG_TRANSACTION);
      return;
    }
    const millis = timeCodeMillis(mra.serviceTimeout) + timeCodeMillis(connection.ackTimeout);
    connection.retryMillis = Math.min(millis, LONGEST_SERVICE_MILLIS);
    connection.retryAt = this.#host.now + connection.retryMillis;
    this.#host.schedule(connection);
  }
}

/** @throws RdmaError for addresses between which there can be no connection. */
export function checkAddresses(host: CmHost, local: UdpAddress, remote: UdpAddress): void {
  checkOwn(host, local);
  if (!isHostAddress(remote))
    throw usageError(`${formatIp(remote)} is no address of a host; name the peer's own`);
  if (isIpv4(local) !== isIpv4(remote)) {
    const [from, to] = [formatIp(local), formatIp(remote)];
    throw usageError(`${from} and ${to} are of different IP families; name addresses of one`);
  }
}

/** @throws RdmaError ERR_RDMA_ADDRESS for an address of somebody else. */
export function checkOwn(host: CmHost, address: UdpAddress): void {
  if (host.isOwn(address)) return;
  const message = `${formatIp(address)} is no address of this device; name one that it has`;
  throw new RdmaError('ERR_RDMA_ADDRESS', message);
}

export const randomPort = (host: CmHost): number =>
  FIRST_EPHEMERAL_PORT + (host.random24() % (0x10000 - FIRST_EPHEMERAL_PORT));

/**
 * Private data as it goes into a message of a service: behind the CMA header, where it has one. `userBytes` is what is
 * left for the program then, `wholeBytes` what there is without header.
 *
 * @throws RdmaError ERR_RDMA_INVALID_ARGUMENT for more than fits.
 */
export function withCmaHeader(
  options: Pick<CmConnectOptions, 'serviceId' | 'local' | 'remote' | 'privateData'>,
  sourcePort: number,
  userBytes: number,
  wholeBytes: number,
): Uint8Array {
  const { serviceId, local, remote, privateData } = options;
  if (!hasCmaHeader(serviceId)) {
    checkPrivateData(privateData, wholeBytes);
    return privateData;
  }
  checkPrivateData(privateData, userBytes);
  const bytes = new Uint8Array(CMA_HEADER_BYTES + privateData.length);
  writeCmaHeader(bytes, 0, { sourcePort, source: local, destination: remote });
  bytes.set(privateData, CMA_HEADER_BYTES);
  return bytes;
}
