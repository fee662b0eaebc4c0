/**
 * The communication manager of a host as a machine without clock, timers, sockets or randomness of its own. It is driven
 * as the engine is:
 *
 *     receive(mad, from, to, now)      handleTimeout(now)      nextDeadline      takeOutput()
 *
 * Times are milliseconds. What its owner wants is a call, which returns at once; what has to be sent and what happened is
 * queued, and taken by `takeOutput` after every call. Connections, requests, listeners and lookups are named by numbers
 * that are never used again. A call for one that is over does nothing and returns false: that it is over was told.
 *
 * Invariants: bytes of a peer never throw; each message has an effect, or is counted under one reason. All that leaves is
 * a MAD of 256 bytes, one at most in answer to one message. Every state but `established` has a deadline. What peers can
 * make it keep is bounded (`CmLimits`).
 */
import type { UdpAddress } from '../../verbs/address.js';
import { sameGid } from '../../verbs/address.js';
import {
  checkPrivateData,
  type OwnCmParameters,
  PrivateDataBytes,
  RejectReason,
} from '../../verbs/connection-manager.js';
import { usageError } from '../../verbs/errors.js';
import { invariant } from '../../verbs/invariant.js';
import { madUdpPort } from '../mad/mad.js';
import { ROCE_PORT } from '../nic.js';
import { ActiveSide, checkOwn } from './active.js';
import { type CmConnection, CmState } from './cm-connection.js';
import type { CmCounters } from './cm-counters.js';
import { CmDropReason } from './cm-drop-reason.js';
import { CmHost, copyOf } from './cm-host.js';
import type {
  CmConnectOptions,
  CmHandle,
  CmListenerOptions,
  CmLookupAnswer,
  CmLookupOptions,
  CmMachineOptions,
  CmOutput,
} from './cm-outputs.js';
import { Ending } from './ending.js';
import { Listeners } from './listeners.js';
import { Lookups } from './lookups.js';
import { PassiveSide } from './passive.js';
import { LONGEST_REPEAT_MILLIS } from './timing.js';
import { type CmMessage, parseCmMessage } from './wire/message.js';
import type { Mra, Rtu } from './wire/pair-messages.js';

const MAX_REASON = 0xffff;

export class CmMachine {
  readonly #host: CmHost;
  readonly #listeners = new Listeners();
  readonly #ending: Ending;
  readonly #active: ActiveSide;
  readonly #passive: PassiveSide;
  readonly #lookups: Lookups;

  constructor(options: CmMachineOptions) {
    this.#host = new CmHost(options);
    this.#ending = new Ending(this.#host);
    this.#active = new ActiveSide(this.#host, this.#ending);
    this.#passive = new PassiveSide(this.#host, this.#ending, this.#listeners);
    this.#lookups = new Lookups(this.#host, this.#listeners);
  }

  get counters(): CmCounters {
    return this.#host.counters;
  }

  /** What is kept, for those who watch bounds. */
  get census(): { connections: number; halfOpen: number; lookups: number; listeners: number } {
    const { size, halfOpen } = this.#host.identities;
    return { connections: size, halfOpen, lookups: this.#lookups.size, listeners: this.#listeners.size };
  }

  /** `undefined` when it is over, and for numbers that never were. */
  stateOf(id: CmHandle): CmState | undefined {
    return this.#host.identities.get(id)?.state;
  }

  /** When `handleTimeout` wants to be called, or earlier; infinity for never. */
  get nextDeadline(): number {
    return Math.min(this.#host.deadlines.next, this.#lookups.nextDeadline);
  }

  /** The next GMP to send or event to tell; undefined when there is none. */
  takeOutput(): CmOutput | undefined {
    return this.#host.takeOutput();
  }

  /** The host's addresses have changed. Connections stay. */
  setAddresses(addresses: readonly UdpAddress[]): void {
    this.#host.setAddresses(addresses);
  }

  // --- asking ---------------------------------------------------------------------------------------------------------

  /**
   * Sends a REQ. `response` or an ending follows.
   *
   * @throws RdmaError ERR_RDMA_INVALID_ARGUMENT, ERR_RDMA_ADDRESS or ERR_RDMA_LIMIT.
   */
  connect(options: CmConnectOptions, now: number): CmHandle {
    this.#host.now = now;
    checkTimeout(options.timeoutMillis);
    return this.#active.connect(options);
  }

  /**
   * The queue pair is in RTS. After `response`: sends the RTU. On the passive side: the queue pair has received a packet,
   * which is as good as an RTU.
   */
  establish(id: CmHandle, now: number): boolean {
    this.#host.now = now;
    const connection = this.#host.identities.get(id);
    if (connection?.state === CmState.REP_RECEIVED) this.#active.establish(connection);
    else if (connection?.state === CmState.REP_SENT) this.#passive.establish(connection);
    else return false;
    return true;
  }

  // --- being asked ----------------------------------------------------------------------------------------------------

  /** @throws RdmaError ERR_RDMA_IN_USE, ERR_RDMA_ADDRESS or ERR_RDMA_INVALID_ARGUMENT. */
  listen(options: CmListenerOptions): CmHandle {
    const { address, backlog } = options;
    if (!Number.isInteger(backlog) || backlog < 1)
      throw usageError(`backlog must be a whole number above 0, not ${backlog}`);
    if (address !== null) checkOwn(this.#host, address);
    const id = this.#host.identities.newHandle();
    this.#listeners.add(id, { ...options, address: address === null ? null : copyOf(address) });
    return id;
  }

  /** Takes no more requests. Those that were told stay. */
  closeListener(listener: CmHandle): boolean {
    return this.#listeners.remove(listener);
  }

  /**
   * The queue pair is in RTS and has receives: sends the REP. `established` or an ending follows.
   *
   * @throws RdmaError ERR_RDMA_INVALID_ARGUMENT.
   */
  accept(id: CmHandle, parameters: OwnCmParameters, now: number): boolean {
    this.#host.now = now;
    const connection = this.#host.identities.get(id);
    return connection !== undefined && this.#passive.accept(connection, parameters);
  }

  /**
   * Either side, before it is established. Nothing follows but `released`.
   *
   * @throws RdmaError ERR_RDMA_INVALID_ARGUMENT.
   */
  reject(id: CmHandle, reason: number, privateData: Uint8Array, now: number): boolean {
    this.#host.now = now;
    checkPrivateData(privateData, PrivateDataBytes.REJECT);
    if (!Number.isInteger(reason) || reason < 0 || reason > MAX_REASON)
      throw usageError(`a reason to reject is a number from 0 to ${MAX_REASON}, not ${reason}`);
    if (reason === RejectReason.TIMEOUT)
      throw usageError(
        `a reason to reject is not ${reason}: peers take it for the word of one that has given up`,
      );
    const connection = this.#host.identities.get(id);
    return connection !== undefined && this.#ending.reject(connection, reason, privateData);
  }

  // --- ending ---------------------------------------------------------------------------------------------------------

  /** Sends a DREQ. `disconnected` follows. False before `response` or `accept`: `close` is the way then. */
  disconnect(id: CmHandle, now: number): boolean {
    this.#host.now = now;
    const connection = this.#host.identities.get(id);
    return connection !== undefined && this.#ending.disconnect(connection);
  }

  /** Ends a connection, request or lookup at any time. Nothing follows but `released`. */
  close(id: CmHandle, now: number): boolean {
    this.#host.now = now;
    const connection = this.#host.identities.get(id);
    if (connection === undefined) return this.#lookups.close(id);
    this.#ending.close(connection);
    return true;
  }

  /** Ends everything at once, with one word to every peer, which is not repeated. */
  end(now: number): void {
    this.#host.now = now;
    for (const connection of this.#host.identities.all()) this.#ending.farewell(connection);
    this.#ending.forgetAll();
    this.#lookups.forgetAll();
  }

  // --- datagram services ----------------------------------------------------------------------------------------------

  /**
   * Sends a SIDR_REQ. `lookup-answer` or `lookup-unreachable` follows.
   *
   * @throws RdmaError ERR_RDMA_INVALID_ARGUMENT or ERR_RDMA_ADDRESS.
   */
  lookUp(options: CmLookupOptions, now: number): CmHandle {
    this.#host.now = now;
    checkTimeout(options.timeoutMillis);
    return this.#lookups.ask(options);
  }

  /** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT. */
  answerLookup(id: CmHandle, answer: CmLookupAnswer, now: number): boolean {
    this.#host.now = now;
    return this.#lookups.answer(id, answer);
  }

  // --- packets and time -----------------------------------------------------------------------------------------------

  /** A GMP came from `from`, whose port is not looked at, to this host's address `to`. `mad` may be used again after. */
  receive(mad: Uint8Array, from: UdpAddress, to: UdpAddress, now: number): void {
    const host = this.#host;
    host.now = now;
    host.beginMessage();
    const message = parseCmMessage(mad);
    if (typeof message === 'number') {
      host.drop(message);
      return;
    }
    const source = copyOf(from);
    source.port = madUdpPort(mad) || ROCE_PORT;
    this.#dispatch(message, source, copyOf(to));
  }

  #dispatch(message: CmMessage, from: UdpAddress, to: UdpAddress): void {
    switch (message.type) {
      case 'REQ':
        this.#passive.onReq(message, from, to);
        break;
      case 'REP':
        this.#active.onRep(message, from);
        break;
      case 'RTU':
        this.#ofPair(message, from, (connection) => this.#passive.onRtu(connection));
        break;
      case 'MRA':
        this.#onMra(message, from);
        break;
      case 'REJ':
        this.#ending.onRej(message, from);
        break;
      case 'DREQ':
        this.#ending.onDreq(message, from, to);
        break;
      case 'DREP':
        this.#ending.onDrep(message, from);
        break;
      case 'SIDR_REQ':
        this.#lookups.onReq(message, from, to);
        break;
      case 'SIDR_REP':
        this.#lookups.onRep(message, from);
        break;
    }
  }

  #onMra(mra: Mra, from: UdpAddress): void {
    this.#ofPair(mra, from, (connection) => {
      if (connection.isActive) this.#active.onMra(connection, mra);
      else this.#passive.onMra(connection, mra);
    });
  }

  /** The connection of two IDs; while a REQ is unanswered, this host does not know the peer's. */
  #ofPair(message: Mra | Rtu, from: UdpAddress, then: (connection: CmConnection) => void): void {
    const host = this.#host;
    const connection = host.identities.byCommId(message.remoteCommId);
    const isKnown = connection !== undefined && [0, message.localCommId].includes(connection.remoteCommId);
    if (!isKnown) host.drop(CmDropReason.UNKNOWN_ID);
    else if (!sameGid(from, connection.peer)) host.drop(CmDropReason.WRONG_SOURCE);
    else then(connection);
  }

  /** Call it when `nextDeadline` is reached; more often does no harm. */
  handleTimeout(now: number): void {
    const host = this.#host;
    host.now = now;
    for (let due = host.deadlines.popDue(now); due !== null; due = host.deadlines.popDue(now))
      this.#wake(due);
    this.#lookups.handleTimeout();
    INVARIANT: invariant(this.nextDeadline > now, 'what is due has run');
  }

  #wake(connection: CmConnection): void {
    const host = this.#host;
    const { repeated } = connection;
    const isRepeating = connection.retryAt <= host.now && connection.expiresAt > host.now;
    if (isRepeating && repeated !== null && connection.triesLeft > 0) {
      connection.triesLeft--;
      if (connection.state === CmState.REP_SENT)
        connection.retryMillis = longerRepeat(connection.retryMillis);
      connection.retryAt = host.now + connection.retryMillis;
      host.counters.retransmitted++;
      host.sendMad(connection, repeated);
    } else if (connection.wakeAt <= host.now) {
      this.#ending.expire(connection);
      return;
    }
    host.schedule(connection);
  }
}

function checkTimeout(timeoutMillis: number): void {
  if (Number.isFinite(timeoutMillis) && timeoutMillis > 0) return;
  throw usageError(`timeoutMillis must be a number of milliseconds above 0, not ${timeoutMillis}`);
}

/** Longer each time, but where its peer has asked for more. */
const longerRepeat = (millis: number): number =>
  Math.max(millis, Math.min(2 * millis, LONGEST_REPEAT_MILLIS));
