/**
 * The side that is asked: tells listeners of requests, sends REPs until the peer is heard, and answers what comes twice.
 *
 * Invariants: a REQ makes one request, however often it comes. Its repetition is answered by MRA while the program has
 * it, by the same REP, or by the same REJ. What is refused without a program leaves nothing behind. A REQ for whose queue
 * pair there is a connection already is refused as stale; the connection ends where its peer does not confirm it.
 */
import { formatIp, type UdpAddress } from '../../verbs/address.js';
import {
  checkPrivateData,
  NO_DATA,
  type OwnCmParameters,
  PrivateDataBytes,
  RejectReason,
} from '../../verbs/connection-manager.js';
import type { PathMtu } from '../../verbs/mtu.js';
import { isHostAddress } from '../../verbs/peer-address.js';
import { parametersOfReq, pathOfReq, reqMtu } from './bring-up-paths.js';
import { CmConnection, CmState } from './cm-connection.js';
import { CmDropReason } from './cm-drop-reason.js';
import { type CmHost, copyOf } from './cm-host.js';
import type { Ending } from './ending.js';
import type { Listeners } from './listeners.js';
import { type Fault, faultOfReq, findListener, type Names } from './request-checks.js';
import {
  LONGEST_SERVICE_MILLIS,
  MAX_CM_RETRIES,
  MRA_SERVICE_TIMEOUT,
  REPEAT_MILLIS,
  REQUEST_MILLIS,
  SHORTEST_REPEAT_MILLIS,
  UNHEARD_REPEATS,
} from './timing.js';
import { CmSubject } from './wire/attributes.js';
import type { Mra } from './wire/pair-messages.js';
import type { Rej } from './wire/rej.js';
import type { Req } from './wire/req.js';
import { servicePort } from './wire/service-id.js';
import { timeCodeMillis } from './wire/time-code.js';

export class PassiveSide {
  readonly #host: CmHost;
  readonly #ending: Ending;
  readonly #listeners: Listeners;

  constructor(host: CmHost, ending: Ending, listeners: Listeners) {
    this.#host = host;
    this.#ending = ending;
    this.#listeners = listeners;
  }

  onReq(req: Req, from: UdpAddress, to: UdpAddress): void {
    const host = this.#host;
    if (!isHostAddress(from)) {
      host.drop(CmDropReason.BAD_SOURCE);
      return;
    }
    const known = host.identities.byRemoteId(from, req.caGuid, req.localCommId);
    if (known !== undefined && isSame(known.req, req)) {
      this.#onReqAgain(known);
      return;
    }
    if (known !== undefined && known.state !== CmState.TIMEWAIT) {
      this.#refuseStale(req, known, from, to);
      return;
    }
    // The peer uses this ID anew: the ended connection gives it up.
    if (known !== undefined) host.identities.unbind(known);
    const { serviceId, privateData } = req;
    const names = findListener(host, this.#listeners, serviceId, privateData, from, to, false);
    const fault = 'drop' in names ? names : faultOfReq(host, req, from);
    if (fault !== undefined) this.#refuse(req, fault, from, to);
    else if (!this.#isStale(req, from, to)) this.#admit(req, names as Names, from, to);
  }

  #onReqAgain(connection: CmConnection): void {
    const host = this.#host;
    host.drop(CmDropReason.DUPLICATE);
    const { state, transactionId, ids, answer } = connection;
    if (state === CmState.REQ_RECEIVED)
      host.reply(connection, {
        type: 'MRA',
        transactionId,
        ...ids,
        subject: CmSubject.REQ,
        serviceTimeout: MRA_SERVICE_TIMEOUT,
        privateData: NO_DATA,
      });
    else if (!connection.isActive && answer !== null) host.replyMad(connection, answer);
  }

  #refuse(req: Req, { drop, reject, info }: Fault, from: UdpAddress, to: UdpAddress): void {
    this.#host.drop(drop);
    const rej: Rej = {
      type: 'REJ',
      transactionId: req.transactionId,
      localCommId: 0,
      remoteCommId: req.localCommId,
      subject: CmSubject.REQ,
      reason: reject,
      info,
      privateData: NO_DATA,
    };
    this.#host.replyTo(to, from, req.primary.trafficClass, rej);
  }

  /** The peer has forgotten a connection that this host still has. */
  #isStale(req: Req, from: UdpAddress, to: UdpAddress): boolean {
    const older = this.#host.identities.byRemoteQpn(from, req.caGuid, req.qpn);
    if (older === undefined) return false;
    this.#refuseStale(req, older, from, to);
    return true;
  }

  #refuseStale(req: Req, older: CmConnection, from: UdpAddress, to: UdpAddress): void {
    const fault = { drop: CmDropReason.STALE, reject: RejectReason.STALE_CONNECTION, info: NO_DATA };
    this.#refuse(req, fault, from, to);
    this.#ending.endStale(older);
  }

  /** Silence where there is no room: the peer asks again. */
  #admit(req: Req, names: Names, from: UdpAddress, to: UdpAddress): void {
    const host = this.#host;
    const { listener } = names;
    const room = host.identities.mayOpen(from);
    if (listener.waiting >= listener.options.backlog) host.drop(CmDropReason.BACKLOG_FULL);
    else if (room === 'source-limit') host.drop(CmDropReason.SOURCE_LIMIT);
    else if (host.identities.isFull || (room === 'full' && !this.#makeRoom()))
      host.drop(CmDropReason.NO_RESOURCES);
    else this.#tell(req, names, from, to);
  }

  /** The one that has been silent for longest since its REP gives way: an honest peer is heard soon. */
  #makeRoom(): boolean {
    const [oldest] = this.#host.unheard;
    if (oldest === undefined) return false;
    this.#host.counters.evicted++;
    this.#ending.expire(oldest);
    return true;
  }

  #tell(req: Req, names: Names, from: UdpAddress, to: UdpAddress): void {
    const host = this.#host;
    const { listener, source, sourcePort, destination, privateData } = names;
    const connection = new CmConnection({
      id: host.identities.newHandle(),
      isActive: false,
      localCommId: host.identities.newCommId(),
      local: copyOf(to),
      peer: copyOf(from),
      localPsn: host.random24(),
      req,
    });
    connection.remoteCommId = req.localCommId;
    connection.remoteGuid = req.caGuid;
    connection.remoteQpn = req.qpn;
    connection.listener = listener;
    listener.waiting++;
    connection.isHalfOpen = true;
    host.identities.countHalfOpen(connection.peer, 1);
    host.identities.add(connection);
    host.identities.bind(connection);
    connection.expiresAt = host.now + REQUEST_MILLIS;
    host.schedule(connection);
    host.counters.requests++;
    const { id, localPsn, peer } = connection;
    host.emit({
      type: 'request',
      id,
      listener: listener.id,
      serviceId: req.serviceId,
      local: { host: formatIp(destination), port: Math.max(servicePort(req.serviceId), 0) },
      remote: { host: formatIp(source), port: sourcePort },
      path: pathOfReq(req, peer, reqMtu(req) as PathMtu, localPsn),
      peer: parametersOfReq(req, privateData),
    });
  }

  /**
   * The queue pair is in RTS. False when the request is over.
   *
   * @throws RdmaError ERR_RDMA_INVALID_ARGUMENT for private data that does not fit.
   */
  accept(connection: CmConnection, parameters: OwnCmParameters): boolean {
    const host = this.#host;
    checkPrivateData(parameters.privateData, PrivateDataBytes.REPLY);
    if (connection.state !== CmState.REQ_RECEIVED) return false;
    const { transactionId, ids, req, localPsn } = connection;
    host.answered(connection);
    connection.localQpn = parameters.qpn;
    connection.state = CmState.REP_SENT;
    const mad = host.send(connection, {
      type: 'REP',
      transactionId,
      ...ids,
      qpn: parameters.qpn,
      startingPsn: localPsn,
      responderResources: parameters.responderResources,
      initiatorDepth: parameters.initiatorDepth,
      ackDelay: host.ackDelay,
      flowControl: parameters.flowControl,
      rnrRetryCount: parameters.rnrRetryCount,
      hasSrq: parameters.srq,
      caGuid: host.caGuid,
      privateData: parameters.privateData,
    });
    connection.repeated = mad;
    connection.answer = mad;
    connection.rep = mad;
    const asked = timeCodeMillis(req.localResponseTimeout);
    connection.retryMillis = Math.min(Math.max(asked, SHORTEST_REPEAT_MILLIS), REPEAT_MILLIS);
    connection.retryAt = host.now + connection.retryMillis;
    connection.triesLeft = Math.min(req.maxCmRetries, UNHEARD_REPEATS);
    connection.expiresAt = host.now + REQUEST_MILLIS;
    host.unheard.add(connection);
    host.schedule(connection);
    return true;
  }

  /** The peer was heard: by its RTU, or by a packet on the queue pair. */
  establish(connection: CmConnection): void {
    const host = this.#host;
    host.settle(connection);
    connection.state = CmState.ESTABLISHED;
    connection.wasEstablished = true;
    connection.repeated = null;
    connection.answer = null;
    connection.retryAt = Number.POSITIVE_INFINITY;
    connection.expiresAt = Number.POSITIVE_INFINITY;
    host.counters.established++;
    if (!connection.isToldEnd) host.emit({ type: 'established', id: connection.id });
  }

  onRtu(connection: CmConnection): void {
    if (connection.state === CmState.REP_SENT) this.establish(connection);
    else if (connection.isInDoubt) this.#ending.endDoubt(connection);
    else this.#host.drop(connection.wasEstablished ? CmDropReason.DUPLICATE : CmDropReason.BAD_STATE);
  }

  /** The peer's program needs time: REPs go out less often, as long as a request may take at all. */
  onMra(connection: CmConnection, mra: Mra): void {
    if (connection.state !== CmState.REP_SENT || mra.subject !== CmSubject.REP) {
      this.#host.drop(CmDropReason.BAD_STATE);
      return;
    }
    const millis = timeCodeMillis(mra.serviceTimeout) + timeCodeMillis(connection.ackTimeout);
    connection.retryMillis = Math.min(millis, LONGEST_SERVICE_MILLIS);
    // It was heard.
    connection.triesLeft = Math.min(connection.req.maxCmRetries, MAX_CM_RETRIES);
    connection.retryAt = this.#host.now + connection.retryMillis;
    this.#host.schedule(connection);
  }
}

/** A REQ that is sent again has the same numbers, which are random in every new one. */
const isSame = (a: Req, b: Req): boolean =>
  a.transactionId === b.transactionId &&
  a.serviceId === b.serviceId &&
  a.qpn === b.qpn &&
  a.startingPsn === b.startingPsn;
