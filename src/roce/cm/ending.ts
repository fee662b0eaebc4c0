/**
 * How connections end: asked for by either side, rejected, or because nobody answers.
 *
 * Invariants: an end is told once. After it a connection keeps its identifiers for the time in which packets of it may
 * still be on their way, and answers a DREQ again. Every DREQ is answered, also one for IDs that nobody has, but one for
 * another queue pair.
 */
import { sameGid, type UdpAddress } from '../../verbs/address.js';
import { NO_DATA, RejectReason } from '../../verbs/connection-manager.js';
import { invariant } from '../../verbs/invariant.js';
import { isHostAddress } from '../../verbs/peer-address.js';
import { readU64, writeU64 } from '../mad/u64.js';
import { type CmConnection, CmState } from './cm-connection.js';
import { CmDropReason } from './cm-drop-reason.js';
import type { CmHost } from './cm-host.js';
import type { CmMachineEvent } from './cm-outputs.js';
import {
  DISCONNECT_TRIES,
  DOUBT_TRIES,
  LONGEST_TIMEWAIT_MILLIS,
  REPEAT_MILLIS,
  SHORTEST_TIMEWAIT_MILLIS,
} from './timing.js';
import { CmSubject } from './wire/attributes.js';
import type { Drep, Dreq } from './wire/pair-messages.js';
import type { Rej } from './wire/rej.js';
import { timeCodeMillis } from './wire/time-code.js';

export class Ending {
  readonly #host: CmHost;
  /** Requests that were refused or cancelled, oldest first: their memory is bounded apart. */
  readonly #remembered = new Set<CmConnection>();

  constructor(host: CmHost) {
    this.#host = host;
  }

  // --- asked for by the program ---------------------------------------------------------------------------------------

  /** Sends a DREQ, and again until it is answered. False in a state in which there is nothing to disconnect. */
  disconnect(connection: CmConnection): boolean {
    const { state } = connection;
    if (state === CmState.DREQ_SENT || state === CmState.TIMEWAIT) return true;
    if (state === CmState.REQ_SENT || state === CmState.REQ_RECEIVED) return false;
    connection.repeated = this.#sendDreq(connection);
    this.#refuseFromNowOn(connection, RejectReason.CONSUMER, NO_DATA);
    this.#host.settle(connection);
    connection.state = CmState.DREQ_SENT;
    connection.retryMillis = REPEAT_MILLIS;
    connection.retryAt = this.#host.now + REPEAT_MILLIS;
    connection.triesLeft = DISCONNECT_TRIES - 1;
    connection.expiresAt = this.#host.now + REPEAT_MILLIS * DISCONNECT_TRIES;
    this.#host.schedule(connection);
    return true;
  }

  /** Forgets a connection at any time, and tells the peer where it does not know. */
  close(connection: CmConnection): void {
    connection.isToldEnd = true;
    const { state } = connection;
    if (state === CmState.REQ_SENT) this.cancel(connection);
    else if (state === CmState.ESTABLISHED) this.disconnect(connection);
    else if (state !== CmState.DREQ_SENT && state !== CmState.TIMEWAIT) {
      this.reject(connection, RejectReason.CONSUMER, NO_DATA);
    }
  }

  /** What a process says of a connection before it dies: once. */
  farewell(connection: CmConnection): void {
    if (connection.state === CmState.DREQ_SENT)
      this.#host.sendMad(connection, connection.repeated as Uint8Array);
    else this.close(connection);
  }

  /** Gives up a REQ that nobody answered. */
  cancel(connection: CmConnection): void {
    const ids = { localCommId: connection.localCommId, remoteCommId: 0 };
    this.#host.send(connection, this.#timeoutRej(connection, ids, CmSubject.OTHER));
    this.enterTimewait(connection);
  }

  /** Rejects a request, or a reply, or the connection before the peer was heard. False in other states. */
  reject(connection: CmConnection, reason: number, privateData: Uint8Array): boolean {
    const { state } = connection;
    const subject = REJECTED[state];
    if (subject === undefined) return false;
    const rej = this.#host.send(connection, { ...this.#rej(connection, subject, reason), privateData });
    if (connection.isActive) connection.answer = rej;
    else this.#refuseFromNowOn(connection, reason, privateData);
    connection.isToldEnd = true;
    this.enterTimewait(connection);
    return true;
  }

  /**
   * Somebody claims the peer's queue pair for another connection, which nothing proves. A peer that still has this one
   * answers its REP by RTU; where none comes, and where there is no REP to ask with, this one is a leftover.
   */
  endStale(connection: CmConnection): void {
    if (connection.state !== CmState.ESTABLISHED || connection.isInDoubt) return;
    if (connection.rep === null) {
      this.#endLeftover(connection);
      return;
    }
    const host = this.#host;
    host.sendMad(connection, connection.rep);
    connection.repeated = connection.rep;
    connection.retryMillis = REPEAT_MILLIS;
    connection.retryAt = host.now + REPEAT_MILLIS;
    connection.triesLeft = DOUBT_TRIES - 1;
    connection.expiresAt = host.now + REPEAT_MILLIS * DOUBT_TRIES;
    host.schedule(connection);
  }

  /** The peer has it still. */
  endDoubt(connection: CmConnection): void {
    connection.repeated = null;
    connection.retryAt = Number.POSITIVE_INFINITY;
    connection.expiresAt = Number.POSITIVE_INFINITY;
  }

  #endLeftover(connection: CmConnection): void {
    this.#end(connection, { type: 'disconnected', id: connection.id, byPeer: true, answered: true });
    this.disconnect(connection);
  }

  // --- asked for by the peer ------------------------------------------------------------------------------------------

  onDreq(dreq: Dreq, from: UdpAddress, to: UdpAddress): void {
    const host = this.#host;
    const connection = host.identities.byCommId(dreq.remoteCommId);
    if (connection === undefined || connection.remoteCommId !== dreq.localCommId) {
      host.drop(CmDropReason.UNKNOWN_ID);
      if (isHostAddress(from)) host.replyTo(to, from, 0, drepTo(dreq));
      return;
    }
    const { state } = connection;
    if (!sameGid(from, connection.peer)) host.drop(CmDropReason.WRONG_SOURCE);
    else if (state === CmState.REQ_RECEIVED) host.drop(CmDropReason.BAD_STATE);
    else if (dreq.qpn !== connection.localQpn) host.drop(CmDropReason.WRONG_QPN);
    else {
      host.reply(connection, drepTo(dreq));
      if (state === CmState.TIMEWAIT) {
        host.drop(CmDropReason.DUPLICATE);
        return;
      }
      host.counters.disconnected++;
      this.#end(connection, { type: 'disconnected', id: connection.id, byPeer: true, answered: true });
      connection.answer = null;
      this.enterTimewait(connection);
    }
  }

  onDrep(drep: Drep, from: UdpAddress): void {
    const connection = this.#ofBoth(drep.localCommId, drep.remoteCommId, from);
    if (connection === undefined) return;
    if (connection.state !== CmState.DREQ_SENT) {
      this.#host.drop(
        connection.state === CmState.TIMEWAIT ? CmDropReason.DUPLICATE : CmDropReason.BAD_STATE,
      );
      return;
    }
    this.#end(connection, { type: 'disconnected', id: connection.id, byPeer: false, answered: true });
    this.enterTimewait(connection);
  }

  onRej(rej: Rej, from: UdpAddress): void {
    const host = this.#host;
    const connection = this.#rejected(rej, from);
    if (connection === undefined) return;
    if (connection.state === CmState.TIMEWAIT) {
      host.drop(CmDropReason.DUPLICATE);
      return;
    }
    host.counters.rejected++;
    const { id } = connection;
    const { reason, info, privateData } = rej;
    if (connection.state === CmState.DREQ_SENT)
      this.#end(connection, { type: 'disconnected', id, byPeer: true, answered: true });
    else this.#end(connection, { type: 'rejected', id, reason, info, privateData });
    // The peer does not ask any more.
    connection.answer = null;
    this.enterTimewait(connection);
  }

  /** The connection that a REJ is for, by the rules of each state. */
  #rejected(rej: Rej, from: UdpAddress): CmConnection | undefined {
    const { identities } = this.#host;
    if (rej.reason === RejectReason.TIMEOUT) {
      const isOurs = rej.info.length >= 8;
      const found = isOurs ? identities.byRemoteId(from, readU64(rej.info, 0), rej.localCommId) : undefined;
      const isMeant = found !== undefined && isCancel(rej, found);
      if (!isMeant) this.#host.drop(CmDropReason.UNKNOWN_ID);
      return isMeant ? found : undefined;
    }
    const connection = identities.byCommId(rej.remoteCommId);
    if (connection?.state !== CmState.REQ_SENT) return this.#ofBoth(rej.localCommId, rej.remoteCommId, from);
    if (!sameGid(from, connection.peer)) {
      this.#host.drop(CmDropReason.WRONG_SOURCE);
      return undefined;
    }
    const isMeant =
      rej.subject === CmSubject.REQ || (rej.subject === CmSubject.OTHER && rej.localCommId === 0);
    const isAnswer = rej.transactionId === connection.transactionId;
    if (isMeant && isAnswer) return connection;
    this.#host.drop(isMeant ? CmDropReason.WRONG_TRANSACTION : CmDropReason.BAD_STATE);
    return undefined;
  }

  // --- nobody answers -------------------------------------------------------------------------------------------------

  /** A state came to its end without an answer. */
  expire(connection: CmConnection): void {
    const { id, state } = connection;
    if (state === CmState.TIMEWAIT) {
      this.forget(connection);
      return;
    }
    if (state === CmState.DREQ_SENT) {
      this.#end(connection, { type: 'disconnected', id, byPeer: false, answered: false });
      this.enterTimewait(connection);
      return;
    }
    if (state === CmState.ESTABLISHED) {
      this.#endLeftover(connection);
      return;
    }
    this.#host.counters.unreachable++;
    this.#end(connection, { type: 'unreachable', id });
    if (state === CmState.REQ_SENT) this.cancel(connection);
    else if (state === CmState.REP_SENT) {
      // So that the active side does not stay connected alone.
      this.#host.send(connection, this.#timeoutRej(connection, connection.ids, CmSubject.OTHER));
      this.#refuseFromNowOn(connection, RejectReason.CONSUMER, NO_DATA);
      this.enterTimewait(connection);
    } else this.reject(connection, RejectReason.CONSUMER, NO_DATA);
  }

  /** A REP for a request that was given up: its sender would wait. */
  refuseLateRep(connection: CmConnection, remoteCommId: number): void {
    const ids = { localCommId: connection.localCommId, remoteCommId };
    this.#host.reply(connection, this.#timeoutRej(connection, ids, CmSubject.REP));
  }

  // --- after the end --------------------------------------------------------------------------------------------------

  enterTimewait(connection: CmConnection): void {
    const host = this.#host;
    this.#host.settle(connection);
    host.identities.unbindQpn(connection);
    connection.state = CmState.TIMEWAIT;
    connection.repeated = null;
    connection.retryAt = Number.POSITIVE_INFINITY;
    const millis = timeCodeMillis(connection.ackTimeout);
    connection.expiresAt =
      host.now + Math.min(Math.max(millis, SHORTEST_TIMEWAIT_MILLIS), LONGEST_TIMEWAIT_MILLIS);
    host.schedule(connection);
    if (!connection.isActive && !connection.wasEstablished) this.#remember(connection);
  }

  forget(connection: CmConnection): void {
    const { id, localQpn } = connection;
    INVARIANT: invariant(connection.state === CmState.TIMEWAIT, 'what is forgotten has ended');
    this.#host.identities.forget(connection);
    this.#host.deadlines.remove(connection);
    this.#remembered.delete(connection);
    if (localQpn !== 0) this.#host.emit({ type: 'released', id, qpn: localQpn });
  }

  /** Everything at once, without a word. */
  forgetAll(): void {
    for (const connection of this.#host.identities.all()) {
      this.#host.settle(connection);
      this.#host.identities.forget(connection);
      this.#host.deadlines.remove(connection);
    }
    this.#remembered.clear();
  }

  /** A request that was never established answers its repetition, until there are too many. */
  #remember(connection: CmConnection): void {
    this.#remembered.add(connection);
    if (this.#remembered.size <= this.#host.limits.maxRemembered) return;
    const [oldest] = this.#remembered;
    if (oldest !== undefined) this.forget(oldest);
  }

  /** A REQ of a connection that never came to be gets this answer when it is repeated. */
  #refuseFromNowOn(connection: CmConnection, reason: number, privateData: Uint8Array): void {
    const isRefused = !connection.isActive && !connection.wasEstablished;
    const rej = { ...this.#rej(connection, CmSubject.REQ, reason), privateData };
    connection.answer = isRefused ? this.#host.write(rej, connection.local) : null;
  }

  #end(connection: CmConnection, event: CmMachineEvent): void {
    if (!connection.isToldEnd) this.#host.emit(event);
    connection.isToldEnd = true;
  }

  #sendDreq(connection: CmConnection): Uint8Array {
    return this.#host.send(connection, {
      type: 'DREQ',
      transactionId: this.#host.newTransactionId(),
      ...connection.ids,
      qpn: connection.remoteQpn,
      privateData: NO_DATA,
    });
  }

  #rej(connection: CmConnection, subject: number, reason: number): Rej {
    const { transactionId, ids } = connection;
    return { type: 'REJ', transactionId, ...ids, subject, reason, info: NO_DATA, privateData: NO_DATA };
  }

  #timeoutRej(
    connection: CmConnection,
    ids: { localCommId: number; remoteCommId: number },
    subject: number,
  ): Rej {
    const info = new Uint8Array(8);
    writeU64(info, 0, this.#host.caGuid);
    return { ...this.#rej(connection, subject, RejectReason.TIMEOUT), ...ids, info };
  }

  /** The connection of these two IDs and this peer; counts why there is none. */
  #ofBoth(localCommId: number, remoteCommId: number, from: UdpAddress): CmConnection | undefined {
    const connection = this.#host.identities.byCommId(remoteCommId);
    if (
      connection === undefined ||
      connection.remoteCommId === 0 ||
      connection.remoteCommId !== localCommId
    ) {
      this.#host.drop(CmDropReason.UNKNOWN_ID);
      return undefined;
    }
    if (sameGid(from, connection.peer)) return connection;
    this.#host.drop(CmDropReason.WRONG_SOURCE);
    return undefined;
  }
}

/** Who gives up before it was answered does not know the other ID; of a connection that was established it must. */
const isCancel = (rej: Rej, connection: CmConnection): boolean =>
  rej.remoteCommId === connection.localCommId || (rej.remoteCommId === 0 && !connection.wasEstablished);

/** What a REJ in each state is about. */
const REJECTED: Partial<Record<CmState, number>> = {
  [CmState.REQ_RECEIVED]: CmSubject.REQ,
  [CmState.REP_RECEIVED]: CmSubject.REP,
  [CmState.REP_SENT]: CmSubject.OTHER,
};

const drepTo = ({ transactionId, localCommId, remoteCommId }: Dreq): Drep => ({
  type: 'DREP',
  transactionId,
  localCommId: remoteCommId,
  remoteCommId: localCommId,
  privateData: NO_DATA,
});
