/**
 * Runs the program of one connection: epoch after epoch, both sides bring their queue pairs up, post what the
 * scenario says, act and end. Completions come in through `onSend` and `onReceive`, which hand them to the checkers.
 */
import { QpState } from '../../src/verbs/qp-state.js';
import { WcStatus, type WorkCompletion } from '../../src/verbs/work-completion.js';
import type { SharedWord } from './checks/atomics.js';
import { applySuccess, applyUnknown, settleUncertainWrites } from './checks/memory.js';
import { checkReceiveCompletion } from './checks/receive-completions.js';
import { checkSendCompletion, checkSendsAllSettled } from './checks/send-completions.js';
import { checkResponder, checkStatus } from './checks/statuses.js';
import type { Endpoint } from './endpoint.js';
import { expect } from './failure.js';
import { inject } from './injections.js';
import { isAtomicKind, postReceive, postSend, settleAtomic, type Windows } from './posting.js';
import type { AtomicRecord, Outcome, SendRecord } from './records.js';
import {
  type Action,
  type Connection,
  type Epoch,
  isDoomed,
  isFaulty,
  mayTimeOut,
  needsReceive,
  type Operation,
  type Scenario,
  type Side,
} from './scenario.js';
import type { World } from './world.js';

/** µs that a queue pair stays in SQD. */
const SQD_MICROS = 150;

export class ConnectionDriver {
  readonly world: World;
  readonly connection: Connection;
  readonly index: number;
  readonly sides: [Endpoint, Endpoint];
  readonly atomics = new Map<number, { word: SharedWord; record: AtomicRecord }>();
  readonly faulty: boolean;
  readonly faultsMayKill: boolean;
  epoch!: Epoch;
  doomed = false;
  /** One mistake is all that goes wrong in this epoch. */
  strictWrong = false;
  done = false;
  epochIndex = -1;
  /** Something happened since `pump` last ran. */
  dirty = true;
  #startedAt = 0;
  #windows: Windows = new Map();
  #outcomes = new Map<number, Outcome>();
  /** Operations of each side that are not posted yet, and messages whose receive is not, both in order. */
  #unposted: [Operation[], Operation[]] = [[], []];
  #unreceived: [Operation[], Operation[]] = [[], []];
  /** The side does nothing any more in this epoch. */
  #stopped: [boolean, boolean] = [false, false];
  #pendingActions = 0;
  /** The next call of `pump` that is arranged for. */
  #wakeAt = Number.NEGATIVE_INFINITY;
  #bringingUp = 0;
  #draining: [boolean, boolean] = [false, false];

  constructor(
    world: World,
    scenario: Scenario,
    connection: Connection,
    index: number,
    makeSides: (driver: ConnectionDriver) => [Endpoint, Endpoint],
  ) {
    this.world = world;
    this.connection = connection;
    this.index = index;
    this.faulty = isFaulty(scenario, connection);
    this.faultsMayKill = mayTimeOut(scenario, connection);
    this.sides = makeSides(this);
  }

  // --- epochs -------------------------------------------------------------------------------------------------------

  nextEpoch(): void {
    this.epochIndex++;
    const epoch = this.connection.epochs[this.epochIndex];
    if (epoch === undefined) {
      this.done = true;
      return;
    }
    const { now } = this.world;
    this.epoch = epoch;
    this.doomed = isDoomed(this.connection, epoch);
    const mistakes = epoch.operations.filter((operation) => operation.wrong !== null).length;
    const others = epoch.actions.some((action) => action.kind !== 'sqd');
    this.strictWrong = mistakes === 1 && !others && this.connection.tinyCq === 0;
    this.#startedAt = now;
    this.#wakeAt = Number.NEGATIVE_INFINITY;
    this.#windows = new Map();
    this.#outcomes = new Map();
    this.#stopped = [false, false];
    this.#draining = [false, false];
    for (const endpoint of this.sides) {
      const { side } = endpoint;
      this.#unposted[side] = operationsOf(epoch, side);
      this.#unreceived[side] = epoch.operations.filter(
        (operation) => operation.side !== side && needsReceive(operation),
      );
      endpoint.beginEpoch(epoch);
      endpoint.toInit();
    }
    this.#pendingActions = epoch.actions.length;
    for (const action of epoch.actions) this.#at(action.atMicros, () => this.#act(action));
    this.#postReceives();
    for (const endpoint of this.sides) endpoint.toRtr();
    this.sides[0].toRts();
    this.#bringingUp = 1;
    this.#at(epoch.lateMicros, () => {
      this.#bringingUp = 0;
      if (this.sides[1].qp.state === QpState.RTR) this.sides[1].toRts();
    });
  }

  /** Runs at a time of the present epoch; not at all if the epoch is over by then. */
  #at(micros: number, run: () => void): void {
    const index = this.epochIndex;
    this.world.at(this.#startedAt + micros, () => {
      if (index !== this.epochIndex || this.done) return;
      this.dirty = true;
      run();
    });
  }

  /** Does what can be done now; to be called after anything happened. */
  pump(): void {
    if (this.done || !this.dirty) return;
    this.dirty = false;
    this.#postReceives();
    for (const endpoint of this.sides) this.#postSends(endpoint);
    if (this.#isOver()) this.#endEpoch();
  }

  #isOver(): boolean {
    if (this.#pendingActions > 0 || this.#bringingUp > 0) return false;
    return this.sides.every((endpoint) => {
      if (this.#stopped[endpoint.side]) return true;
      if (this.#draining[endpoint.side] && endpoint.qp.state === QpState.SQD) return false;
      return this.#unposted[endpoint.side].length === 0 && endpoint.qp.requester.queue.empty;
    });
  }

  /** For the message of a failure. */
  describe(): string {
    return this.sides
      .map(({ side, qp, sends, settledSends }) => {
        const unposted = this.#unposted[side].map((operation) => operation.id).join(' ');
        const open = sends
          .slice(settledSends)
          .map((record) => `${record.operation.id} ${record.operation.kind}`);
        return `side ${side} in state ${qp.state}, open [${open.join(', ')}], not posted [${unposted}]`;
      })
      .join(', ');
  }

  #endEpoch(): void {
    // Completions that are due are in the queue by now.
    this.world.poll();
    const settle = this.#settler();
    for (const endpoint of this.sides) {
      if (this.#stopped[endpoint.side] || (this.connection.tinyCq > 0 && endpoint.side === 0)) continue;
      checkSendsAllSettled(endpoint, (record, status) => settle(endpoint, record, status));
    }
    for (const endpoint of this.sides) checkResponder(endpoint);
    this.#close();
    for (const endpoint of this.sides) {
      for (const record of endpoint.sends) if (record.outcome === 'posted') this.#lose(endpoint, record);
      for (const receive of endpoint.receives) {
        if (receive.outcome === 'posted') receive.arena.forget(receive.pieces);
      }
    }
    for (const endpoint of this.sides) settleUncertainWrites(endpoint);
    for (const { arenas, name } of this.sides) {
      for (const arena of arenas) arena.verify(`${name}, end of epoch`);
    }
    for (const endpoint of this.sides) endpoint.endEpoch();
    this.world.retire(this.sides.flatMap((endpoint) => [...endpoint.arenas]));
    this.nextEpoch();
  }

  /** Both queue pairs end in RESET, by way of ERR if the scenario says so; then receives are flushed, once each. */
  #close(): void {
    for (const endpoint of this.sides) this.#unpostedReceives(endpoint);
    for (const endpoint of this.sides) {
      const { qp } = endpoint;
      if (this.epoch.ending === 'error' && qp.state !== QpState.RESET) {
        qp.modify({ state: QpState.ERR });
        this.world.poll();
        const left = endpoint.receives.length - endpoint.completedReceives;
        if (this.connection.tinyCq === 0) {
          expect(
            left === 0,
            'receive completions',
            () => `${endpoint.name}: ${left} receives were not flushed`,
          );
        }
      }
      qp.modify({ state: QpState.RESET });
    }
    this.world.poll();
  }

  /** A shared queue gets its receive for every message, or those of other connections would be one short. */
  #unpostedReceives(endpoint: Endpoint): void {
    if (!endpoint.usesSrq) return;
    for (const operation of this.#unreceived[endpoint.side]) postReceive(endpoint, operation);
  }

  // --- posting ------------------------------------------------------------------------------------------------------

  get #elapsed(): number {
    return this.world.now - this.#startedAt;
  }

  /** Whether a time of the epoch has come; if not, `pump` will be called then. */
  #isTime(micros: number): boolean {
    const at = this.#startedAt + micros;
    if (at <= this.world.now) return true;
    if (this.#wakeAt <= this.world.now || at < this.#wakeAt) {
      this.#wakeAt = at;
      this.#at(micros, () => undefined);
    }
    return false;
  }

  #postReceives(): void {
    for (const endpoint of this.sides) {
      const queue = this.#unreceived[endpoint.side];
      while (!this.#stopped[endpoint.side]) {
        const operation = queue[0];
        if (operation === undefined || operation.wrong === 'noReceive') break;
        if (!this.#isTime(operation.receiveAtMicros)) break;
        if (!postReceive(endpoint, operation)) break;
        queue.shift();
      }
    }
  }

  #postSends(endpoint: Endpoint): void {
    const queue = this.#unposted[endpoint.side];
    const mayPost = (): boolean => !this.#stopped[endpoint.side] && endpoint.qp.state >= QpState.RTS;
    while (mayPost() && !endpoint.qp.requester.queue.full) {
      const operation = queue[0];
      if (operation === undefined) return;
      if (!this.#isTime(operation.atMicros)) return;
      const readiness = this.#readiness(operation);
      if (readiness === 'wait') return;
      queue.shift();
      if (readiness === 'ready') {
        this.#outcomes.set(operation.id, 'posted');
        postSend(endpoint, operation, this.#windows, this.world.now);
        this.world.nicChanged();
      } else {
        this.#outcomes.set(operation.id, 'skipped');
        this.dirty = true;
      }
    }
  }

  /** Whether what the operation depends on has succeeded, or never will. */
  #readiness(operation: Operation): 'ready' | 'wait' | 'never' {
    let readiness: 'ready' | 'wait' = 'ready';
    for (const id of operation.after) {
      const outcome = this.#outcomes.get(id);
      if (outcome === 'success') continue;
      if (outcome !== undefined && outcome !== 'posted') return 'never';
      const other = this.epoch.operations.find((candidate) => candidate.id === id);
      if (other === undefined || this.#stopped[other.side]) return 'never';
      if (this.connection.tinyCq > 0 && other.side === 0) return 'never';
      readiness = 'wait';
    }
    return readiness;
  }

  // --- completions --------------------------------------------------------------------------------------------------

  onSend(endpoint: Endpoint, wc: WorkCompletion): void {
    this.dirty = true;
    const settle = this.#settler();
    checkSendCompletion(endpoint, wc, (record, status) => settle(endpoint, record, status));
  }

  onReceive(endpoint: Endpoint, wc: WorkCompletion): void {
    this.dirty = true;
    checkReceiveCompletion(endpoint, wc);
  }

  #settler(): (endpoint: Endpoint, record: SendRecord, status: WcStatus) => void {
    return (endpoint, record, status) => {
      checkStatus(endpoint, record, status);
      record.status = status;
      record.settledAt = this.world.now;
      record.outcome = status === WcStatus.SUCCESS ? 'success' : 'failed';
      this.#outcomes.set(record.operation.id, record.outcome);
      if (record.outcome === 'failed') applyUnknown(endpoint, record);
      else if (isAtomicKind(record.operation.kind)) settleAtomic(endpoint, record, this.world.now);
      else applySuccess(endpoint, record);
      if (isAtomicKind(record.operation.kind) && record.outcome === 'failed') {
        record.arena.forget(record.pieces);
      }
    };
  }

  #lose(endpoint: Endpoint, record: SendRecord): void {
    record.outcome = 'lost';
    this.#outcomes.set(record.operation.id, 'lost');
    applyUnknown(endpoint, record);
    if (isAtomicKind(record.operation.kind)) record.arena.forget(record.pieces);
  }

  // --- actions ------------------------------------------------------------------------------------------------------

  #act(action: Action): void {
    this.#pendingActions--;
    const endpoint = this.sides[action.side];
    const { qp } = endpoint;
    switch (action.kind) {
      case 'sqd':
        this.#drain(endpoint);
        break;
      case 'deregisterTarget':
        endpoint.target.deregister();
        break;
      case 'deregisterLocal':
        endpoint.local.deregister();
        break;
      case 'error':
        if (qp.state !== QpState.RESET) qp.modify({ state: QpState.ERR });
        break;
      case 'reset':
        this.#reset(endpoint);
        break;
      case 'inject':
        if (action.injection !== null) inject(this.world, endpoint, action.injection);
        break;
    }
    this.world.nicChanged();
  }

  /** In the middle of everything: what was posted vanishes without a completion. */
  #reset(endpoint: Endpoint): void {
    this.world.poll();
    this.#stopped[endpoint.side] = true;
    endpoint.qp.modify({ state: QpState.RESET });
    this.#unpostedReceives(endpoint);
    this.#unreceived[endpoint.side] = [];
    for (const record of endpoint.sends) if (record.outcome === 'posted') this.#lose(endpoint, record);
    endpoint.settledSends = endpoint.sends.length;
    for (const operation of this.#unposted[endpoint.side]) this.#outcomes.set(operation.id, 'skipped');
    this.#unposted[endpoint.side] = [];
  }

  /** SQD until what is in progress is done, and a while longer; then on with the rest. */
  #drain(endpoint: Endpoint): void {
    const { qp } = endpoint;
    if (qp.state !== QpState.RTS) return;
    qp.modify({ state: QpState.SQD, enSqdAsyncNotify: true });
    this.#draining[endpoint.side] = true;
  }

  onDrained(endpoint: Endpoint): void {
    // It may have failed between draining and this event's being taken.
    if (endpoint.qp.state !== QpState.SQD) return;
    endpoint.drained = true;
    endpoint.drainedPsn = endpoint.requester.nextPsn;
    this.#at(this.#elapsed + SQD_MICROS, () => {
      this.#draining[endpoint.side] = false;
      endpoint.drained = false;
      if (endpoint.qp.state !== QpState.SQD) return;
      endpoint.changeLimits();
      endpoint.qp.modify({ state: QpState.RTS });
      this.world.nicChanged();
    });
  }
}

/** Operations of one side. What others wait for must report. */
function operationsOf(epoch: Epoch, side: Side): Operation[] {
  const awaited = new Set(epoch.operations.flatMap((operation) => operation.after));
  return epoch.operations
    .filter((operation) => operation.side === side)
    .map((operation) => ({ ...operation, signaled: operation.signaled || awaited.has(operation.id) }));
}
