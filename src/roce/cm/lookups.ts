/**
 * SIDR: which queue pair takes the datagrams of a service, asked and answered.
 *
 * Invariants: a lookup has one answer or none in its time. A question makes one request, however often it comes: its
 * repetition is ignored until the program has answered, and gets the same answer after that, for a while. Questions of
 * one address are counted with its requests for connections.
 */
import { formatGid, formatIp, sameGid, type UdpAddress } from '../../verbs/address.js';
import { checkPrivateData, NO_DATA, PrivateDataBytes, RejectReason } from '../../verbs/connection-manager.js';
import { isHostAddress } from '../../verbs/peer-address.js';
import { Deadlines, type Timed } from '../deadlines.js';
import { DEFAULT_PKEY } from '../wire/bth.js';
import { checkAddresses, randomPort, withCmaHeader } from './active.js';
import { CmDropReason } from './cm-drop-reason.js';
import { type CmHost, copyOf, isProgramQpn } from './cm-host.js';
import type { CmHandle, CmLookupAnswer, CmLookupOptions } from './cm-outputs.js';
import type { CmListener, Listeners } from './listeners.js';
import { findListener, isOurPartition, type Names } from './request-checks.js';
import { ANSWERED_MILLIS, LOOKUP_MILLIS, REPEAT_MILLIS } from './timing.js';
import { PRIVATE_DATA } from './wire/attributes.js';
import { servicePort } from './wire/service-id.js';
import { type SidrRep, type SidrReq, SidrStatus } from './wire/sidr.js';

/** A lookup of this host, or of a peer. */
interface Lookup extends Timed {
  readonly id: CmHandle;
  readonly isOwn: boolean;
  readonly requestId: number;
  readonly transactionId: bigint;
  readonly serviceId: bigint;
  readonly local: UdpAddress;
  readonly peer: UdpAddress;
  readonly trafficClass: number;
  /** An own question, to be sent again; or the answer to a peer's. */
  mad: Uint8Array | null;
  retryAt: number;
  expiresAt: number;
  /** Of a peer, until it is answered. */
  listener: CmListener | null;
}

export class Lookups {
  readonly #host: CmHost;
  readonly #listeners: Listeners;
  readonly #deadlines = new Deadlines<Lookup>();
  readonly #byId = new Map<CmHandle, Lookup>();
  readonly #asked = new Map<number, Lookup>();
  readonly #ofPeers = new Map<string, Lookup>();
  /** Oldest first. */
  readonly #answered = new Set<Lookup>();

  constructor(host: CmHost, listeners: Listeners) {
    this.#host = host;
    this.#listeners = listeners;
  }

  get size(): number {
    return this.#byId.size;
  }

  get nextDeadline(): number {
    return this.#deadlines.next;
  }

  /** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT or ERR_RDMA_ADDRESS. */
  ask(options: CmLookupOptions): CmHandle {
    const host = this.#host;
    const { serviceId, local, remote, trafficClass = 0 } = options;
    checkAddresses(host, local, remote);
    const sourcePort = options.sourcePort ?? randomPort(host);
    const privateData = withCmaHeader(
      options,
      sourcePort,
      PrivateDataBytes.DATAGRAM_REQUEST,
      PRIVATE_DATA.SIDR_REQ.bytes,
    );
    const requestId = host.identities.newRequestId();
    const transactionId = host.newTransactionId();
    const req: SidrReq = {
      type: 'SIDR_REQ',
      transactionId,
      requestId,
      pkey: DEFAULT_PKEY,
      serviceId,
      privateData,
    };
    const lookup = this.#add({
      isOwn: true,
      requestId,
      transactionId,
      serviceId,
      local: copyOf(local),
      peer: copyOf(remote),
      trafficClass,
      mad: host.write(req, local),
      retryAt: host.now + REPEAT_MILLIS,
      expiresAt: host.now + options.timeoutMillis,
      listener: null,
    });
    this.#asked.set(requestId, lookup);
    this.#send(lookup);
    return lookup.id;
  }

  onRep(rep: SidrRep, from: UdpAddress): void {
    const host = this.#host;
    const lookup = this.#asked.get(rep.requestId);
    if (lookup === undefined || lookup.serviceId !== rep.serviceId) host.drop(CmDropReason.UNKNOWN_ID);
    else if (!sameGid(from, lookup.peer)) host.drop(CmDropReason.WRONG_SOURCE);
    else if (rep.transactionId !== lookup.transactionId) host.drop(CmDropReason.WRONG_TRANSACTION);
    else if (rep.status === SidrStatus.SUCCESS && !isProgramQpn(rep.qpn)) host.drop(CmDropReason.BAD_QPN);
    else {
      const { id, peer } = lookup;
      const { status, qpn, qkey, privateData } = rep;
      this.#forget(lookup);
      host.emit({ type: 'lookup-answer', id, status, remote: peer, qpn, qkey, privateData });
    }
  }

  onReq(req: SidrReq, from: UdpAddress, to: UdpAddress): void {
    const host = this.#host;
    if (!isHostAddress(from)) {
      host.drop(CmDropReason.BAD_SOURCE);
      return;
    }
    const known = this.#ofPeers.get(keyOf(from, req.requestId));
    if (known !== undefined) {
      host.drop(CmDropReason.DUPLICATE);
      if (known.mad !== null) host.replyMadTo(known.local, known.peer, 0, known.mad);
      return;
    }
    const { serviceId, privateData } = req;
    const names = findListener(host, this.#listeners, serviceId, privateData, from, to, true);
    if ('drop' in names) {
      const isUnknown = names.reject === RejectReason.INVALID_SERVICE_ID;
      this.#refuse(req, names.drop, isUnknown ? SidrStatus.NO_SERVICE : SidrStatus.REJECTED, from, to);
    } else if (!isOurPartition(req.pkey)) {
      this.#refuse(req, CmDropReason.BAD_PKEY, SidrStatus.REJECTED, from, to);
    } else this.#admit(req, names, from, to);
  }

  #refuse(req: SidrReq, reason: CmDropReason, status: number, from: UdpAddress, to: UdpAddress): void {
    this.#host.drop(reason);
    const { transactionId, requestId, serviceId } = req;
    const answer = { status, qpn: 0, qkey: 0, privateData: NO_DATA };
    this.#host.replyTo(to, from, 0, { type: 'SIDR_REP', transactionId, requestId, serviceId, ...answer });
  }

  #admit(req: SidrReq, names: Names, from: UdpAddress, to: UdpAddress): void {
    const host = this.#host;
    const { listener, source, sourcePort, destination, privateData } = names;
    const room = host.identities.mayOpen(from);
    if (listener.waiting >= listener.options.backlog) host.drop(CmDropReason.BACKLOG_FULL);
    else if (room === 'source-limit') host.drop(CmDropReason.SOURCE_LIMIT);
    else if (room === 'full') host.drop(CmDropReason.NO_RESOURCES);
    else {
      const { transactionId, requestId, serviceId } = req;
      const lookup = this.#add({
        isOwn: false,
        requestId,
        transactionId,
        serviceId,
        local: copyOf(to),
        peer: copyOf(from),
        trafficClass: 0,
        mad: null,
        retryAt: Number.POSITIVE_INFINITY,
        expiresAt: host.now + LOOKUP_MILLIS,
        listener,
      });
      this.#ofPeers.set(keyOf(from, requestId), lookup);
      listener.waiting++;
      host.identities.countHalfOpen(lookup.peer, 1);
      host.counters.requests++;
      host.emit({
        type: 'lookup-request',
        id: lookup.id,
        listener: listener.id,
        serviceId,
        local: { host: formatIp(destination), port: Math.max(servicePort(serviceId), 0) },
        remote: { host: formatIp(source), port: sourcePort },
        privateData,
      });
    }
  }

  /**
   * False when the question is over.
   *
   * @throws RdmaError ERR_RDMA_INVALID_ARGUMENT for private data that does not fit.
   */
  answer(id: CmHandle, answer: CmLookupAnswer): boolean {
    const host = this.#host;
    checkPrivateData(answer.privateData, PrivateDataBytes.DATAGRAM_REPLY);
    const lookup = this.#byId.get(id);
    if (lookup === undefined || lookup.isOwn || lookup.listener === null) return false;
    this.#settle(lookup);
    const { transactionId, requestId, serviceId } = lookup;
    lookup.mad = host.write(
      { type: 'SIDR_REP', transactionId, requestId, serviceId, ...answer },
      lookup.local,
    );
    this.#send(lookup);
    lookup.expiresAt = host.now + ANSWERED_MILLIS;
    this.#deadlines.arm(lookup, lookup.expiresAt);
    this.#answered.add(lookup);
    const [oldest] = this.#answered;
    if (this.#answered.size > host.limits.maxRemembered && oldest !== undefined) this.#forget(oldest);
    return true;
  }

  /** Gives up a lookup of this host. False if there is none. */
  close(id: CmHandle): boolean {
    const lookup = this.#byId.get(id);
    if (lookup === undefined || !lookup.isOwn) return false;
    this.#forget(lookup);
    return true;
  }

  forgetAll(): void {
    for (const lookup of [...this.#byId.values()]) this.#forget(lookup);
  }

  handleTimeout(): void {
    const host = this.#host;
    for (
      let lookup = this.#deadlines.popDue(host.now);
      lookup !== null;
      lookup = this.#deadlines.popDue(host.now)
    ) {
      if (lookup.expiresAt <= host.now) {
        const { id, isOwn } = lookup;
        this.#forget(lookup);
        if (isOwn) host.emit({ type: 'lookup-unreachable', id });
        continue;
      }
      if (lookup.retryAt <= host.now) {
        host.counters.retransmitted++;
        this.#send(lookup);
        lookup.retryAt = host.now + REPEAT_MILLIS;
      }
      this.#deadlines.arm(lookup, Math.min(lookup.retryAt, lookup.expiresAt));
    }
  }

  #add(fields: Omit<Lookup, 'id' | keyof Timed>): Lookup {
    const id = this.#host.identities.newHandle();
    const lookup: Lookup = { ...fields, id, heapIndex: -1, heapKey: 0 };
    this.#byId.set(id, lookup);
    this.#deadlines.arm(lookup, Math.min(lookup.retryAt, lookup.expiresAt));
    return lookup;
  }

  #send({ local, peer, trafficClass, mad }: Lookup): void {
    if (mad !== null) this.#host.sendTo(local, peer, trafficClass, mad);
  }

  #settle(lookup: Lookup): void {
    if (lookup.listener === null) return;
    lookup.listener.waiting--;
    lookup.listener = null;
    this.#host.identities.countHalfOpen(lookup.peer, -1);
  }

  #forget(lookup: Lookup): void {
    this.#settle(lookup);
    this.#byId.delete(lookup.id);
    this.#deadlines.remove(lookup);
    this.#answered.delete(lookup);
    if (lookup.isOwn) {
      this.#asked.delete(lookup.requestId);
      this.#host.identities.forgetRequestId(lookup.requestId);
    } else this.#ofPeers.delete(keyOf(lookup.peer, lookup.requestId));
  }
}

const keyOf = (peer: UdpAddress, requestId: number): string => `${formatGid(peer)}/${requestId}`;
