/** Random programs: what both sides of a connection post, and what else happens to them. */

import { AccessFlags } from '../../src/verbs/access-flags.js';
import type { Random } from '../../testkit/random.js';
import {
  type Action,
  ALL_RIGHTS,
  type Connection,
  DEADLY,
  type Epoch,
  INJECTIONS,
  isSend,
  mayTimeOut,
  needsReceive,
  type Operation,
  type OperationKind,
  type Scenario,
  type Side,
  WRONGS,
  type Wrong,
} from './scenario.js';

/** New PSNs keep this far from all old ones of the connection, as late packets may still be under way. */
const PSN_DISTANCE = 1 << 20;

/** Fills `connection.epochs` and returns the next free operation id. */
export function generateEpochs(
  connection: Connection,
  scenario: Scenario,
  random: Random,
  firstId: number,
): number {
  const count = connection.tinyCq > 0 ? 1 : random.pick([1, 1, 2, 3]);
  const used: number[] = [];
  let id = firstId;
  for (let i = 0; i < count; i++) {
    const epoch: Epoch = {
      psns: [newPsn(used, random), newPsn(used, random)],
      lateMicros: random.pick([0, 0, random.int(1, 300)]),
      accessFlags: ALL_RIGHTS,
      noReads: null,
      operations: [],
      actions: [],
      ending: random.pick(['reset', 'error']),
    };
    const generator = new EpochGenerator(connection, scenario, epoch, random, id);
    generator.generate();
    id = generator.nextId;
    connection.epochs.push(epoch);
  }
  return id;
}

function newPsn(used: number[], random: Random): number {
  for (;;) {
    const psn = random.chance(0.5) ? (0x1000000 - random.int(1, 200)) & 0xffffff : random.int(0, 0xffffff);
    const near = used.some((other) => {
      const distance = Math.abs(other - psn);
      return Math.min(distance, 0x1000000 - distance) < PSN_DISTANCE;
    });
    if (near) continue;
    used.push(psn);
    return psn;
  }
}

const KINDS: Readonly<Record<OperationKind, number>> = {
  send: 5,
  sendImm: 2,
  sendInv: 0,
  write: 6,
  writeImm: 3,
  read: 6,
  faa: 3,
  cas: 3,
  bind: 1,
  localInv: 0,
};

class EpochGenerator {
  nextId: number;
  readonly #connection: Connection;
  readonly #epoch: Epoch;
  readonly #random: Random;
  readonly #big: boolean;
  readonly #horizonMicros: number;
  readonly #faultsMayKill: boolean;

  constructor(connection: Connection, scenario: Scenario, epoch: Epoch, random: Random, firstId: number) {
    this.#connection = connection;
    this.#epoch = epoch;
    this.#random = random;
    this.nextId = firstId;
    this.#big = random.chance(0.04);
    this.#horizonMicros = random.pick([0, 50, 1000, 5000]);
    this.#faultsMayKill = mayTimeOut(scenario, connection);
  }

  generate(): void {
    const random = this.#random;
    for (const side of [0, 1] as const) {
      const count = this.#big
        ? random.int(1, 3)
        : random.pick([0, 1, 3, random.int(2, 12), random.int(4, 24)]);
      for (let i = 0; i < count; i++) this.#addOperation(side, random.weighted(KINDS));
    }
    const tiny = this.#connection.tinyCq;
    if (tiny > 0) for (let i = 0; i <= tiny; i++) this.#add(0, 'write').signaled = true;
    else if (random.chance(0.3)) this.#addWrong();
    if (random.chance(0.1)) this.#addAction('sqd');
    if (tiny === 0 && random.chance(0.08)) this.#addDeadlyAction();
    if (random.chance(0.12)) this.#addHarmlessInjections();
    this.#epoch.operations.sort((a, b) => a.atMicros - b.atMicros || a.id - b.id);
  }

  #addOperation(side: Side, kind: OperationKind): void {
    if (kind === 'bind') this.#addWindow(side);
    else this.#add(side, kind);
  }

  #add(side: Side, kind: OperationKind, atMicros = this.#random.int(0, this.#horizonMicros)): Operation {
    const random = this.#random;
    const length = kind === 'faa' || kind === 'cas' ? 8 : this.#length();
    const operation: Operation = {
      id: this.nextId++,
      side,
      kind,
      atMicros,
      after: [],
      length,
      sges: random.int(length === 0 ? 0 : 1, this.#connection.maxSge),
      inline: length <= 64 && (isSend(kind) || kind === 'write' || kind === 'writeImm') && random.chance(0.5),
      fence: random.chance(0.1),
      solicited: random.chance(0.3),
      signaled: random.chance(0.7),
      offset: 0,
      receiveAtMicros: this.#receiveTime(atMicros),
      window: null,
      wrong: null,
    };
    if (kind === 'faa' || kind === 'cas') {
      operation.sges = Math.max(1, operation.sges);
      operation.offset = random.int(0, 7);
    } else {
      operation.offset = random.pick([0, random.int(0, 64), random.int(0, 4096)]);
    }
    this.#epoch.operations.push(operation);
    return operation;
  }

  #receiveTime(atMicros: number): number {
    const random = this.#random;
    if (this.#connection.rnrRetry < 7 || random.chance(0.7)) return 0;
    return atMicros + random.pick([random.int(0, 100), random.int(0, 5000)]);
  }

  #length(): number {
    const random = this.#random;
    const mtu = this.#connection.mtu;
    if (this.#big) return random.int(30 * mtu, Math.min(1_000_000, 300 * mtu));
    return random.pick([
      0,
      random.int(1, 4),
      random.int(1, 100),
      mtu - 1,
      mtu,
      mtu + 1,
      random.int(1, 3 * mtu),
      random.int(mtu, 8 * mtu),
      random.chance(0.2) ? random.int(8 * mtu, 40 * mtu) : random.int(1, mtu),
    ]);
  }

  /** Binds a window at `side`, lets the other side use it and takes it away again. */
  #addWindow(side: Side, atMicros = this.#random.int(0, this.#horizonMicros)): Operation {
    const random = this.#random;
    const peer: Side = side === 0 ? 1 : 0;
    const bind = this.#add(side, 'bind', atMicros);
    bind.length = random.int(16, 4 * this.#connection.mtu);
    bind.inline = false;
    const users: Operation[] = [];
    for (let i = random.int(0, 3); i > 0; i--) {
      const user = this.#add(peer, random.pick(['write', 'read', 'writeImm']), atMicros);
      user.after = [bind.id];
      user.window = bind.id;
      user.length = random.int(0, bind.length);
      user.sges = Math.max(user.length === 0 ? 0 : 1, user.sges);
      user.inline = user.inline && user.length <= 64;
      user.offset = bind.offset + random.int(0, bind.length - user.length);
      users.push(user);
    }
    if (!random.chance(0.7)) return bind;
    const invalidate = random.chance(0.5)
      ? this.#add(side, 'localInv', atMicros)
      : this.#add(peer, 'sendInv', atMicros);
    invalidate.window = bind.id;
    // A READ that has to be repeated finds the window gone unless it is over by then.
    invalidate.after = [bind.id, ...users.map((user) => user.id)];
    return bind;
  }

  // --- mistakes -----------------------------------------------------------------------------------------------------

  #addWrong(): void {
    const random = this.#random;
    const wrong = random.pick(WRONGS);
    const side = random.int(0, 1) as Side;
    const at = random.pick([this.#horizonMicros, random.int(0, this.#horizonMicros)]);
    const operation = this.#addWrongOperation(wrong, side, at);
    if (operation === null) return;
    operation.wrong = wrong;
    operation.atMicros = at;
    const others: OperationKind[] = wrong === 'noReads' ? ['send', 'write'] : ['send', 'write', 'read'];
    for (let i = random.int(0, 3); i > 0; i--) this.#add(side, random.pick(others), at);
  }

  #addWrongOperation(wrong: Wrong, side: Side, at: number): Operation | null {
    const random = this.#random;
    const memory = (): Operation => {
      const operation = this.#add(side, random.pick(['write', 'read', 'writeImm', 'faa', 'cas']), at);
      return atLeastOneByte(operation);
    };
    switch (wrong) {
      case 'qpRight':
        return this.#addForbidden(side, at);
      case 'misaligned':
        return this.#add(side, random.pick(['faa', 'cas']), at);
      case 'right':
      case 'range':
        return atLeastOneByte(this.#add(side, random.pick(['write', 'read']), at));
      case 'tooLong':
        return atLeastOneByte(this.#add(side, random.pick(['send', 'sendImm']), at));
      case 'receiveProtection':
        if (this.#connection.srq) return null;
        return atLeastOneByte(this.#add(side, 'send', at));
      case 'localProtection': {
        const operation = atLeastOneByte(this.#add(side, random.pick(['send', 'write', 'read', 'faa']), at));
        operation.inline = false;
        return operation;
      }
      case 'badBind':
        return this.#add(side, 'bind', at);
      case 'badInvalidate':
        return this.#add(side, random.pick(['localInv', 'sendInv']), at);
      case 'noReceive':
        return this.#connection.rnrRetry === 7
          ? null
          : this.#add(side, random.pick(['send', 'writeImm']), at);
      case 'revokedWindow':
        return this.#addRevoked(side, at);
      case 'noReads':
        return this.#addUnreadable(side, at);
      case 'foreignWindow':
        return atLeastOneByte(this.#add(side, random.pick(['write', 'read']), at));
      default:
        return memory();
    }
  }

  /** An operation that the queue pairs of the epoch do not allow; there must be no other of its kind. */
  #addForbidden(side: Side, at: number): Operation {
    const random = this.#random;
    const right = random.pick([AccessFlags.REMOTE_READ, AccessFlags.REMOTE_WRITE, AccessFlags.REMOTE_ATOMIC]);
    const kinds: OperationKind[] =
      right === AccessFlags.REMOTE_READ
        ? ['read']
        : right === AccessFlags.REMOTE_WRITE
          ? ['write', 'writeImm']
          : ['faa', 'cas'];
    this.#epoch.accessFlags = ALL_RIGHTS & ~right;
    this.#remove((other) => kinds.includes(other.kind));
    return this.#add(side, random.pick(kinds), at);
  }

  /** A READ or atomic of a queue pair that may have none unfinished. */
  #addUnreadable(side: Side, at: number): Operation {
    this.#epoch.noReads = side;
    const isRead = (operation: Operation): boolean =>
      operation.side === side && ['read', 'faa', 'cas'].includes(operation.kind);
    this.#remove(isRead);
    return this.#add(side, this.#random.pick(['read', 'faa', 'cas']), at);
  }

  #remove(isUnwanted: (operation: Operation) => boolean): void {
    this.#epoch.operations = this.#epoch.operations.filter((operation) => !isUnwanted(operation));
    const left = new Set(this.#epoch.operations.map((operation) => operation.id));
    for (const operation of this.#epoch.operations) {
      operation.after = operation.after.filter((id) => left.has(id));
    }
  }

  #addRevoked(side: Side, at: number): Operation {
    const random = this.#random;
    const peer: Side = side === 0 ? 1 : 0;
    const bind = this.#add(peer, 'bind', at);
    bind.length = 256;
    const invalidate = random.chance(0.5) ? this.#add(peer, 'localInv', at) : this.#add(side, 'sendInv', at);
    invalidate.window = bind.id;
    invalidate.after = [bind.id];
    const operation = atLeastOneByte(this.#add(side, random.pick(['write', 'read']), at));
    operation.length = Math.min(operation.length, 200);
    operation.offset = bind.offset;
    operation.window = bind.id;
    operation.after = [invalidate.id];
    return operation;
  }

  // --- actions ------------------------------------------------------------------------------------------------------

  #addAction(kind: Action['kind']): Action {
    const random = this.#random;
    const action: Action = {
      kind,
      side: random.int(0, 1) as Side,
      atMicros: random.int(0, this.#horizonMicros + 100),
      injection: null,
    };
    this.#epoch.actions.push(action);
    return action;
  }

  #addDeadlyAction(): void {
    const random = this.#random;
    const kind = random.pick(['deregisterTarget', 'deregisterLocal', 'error', 'reset', 'inject'] as const);
    const action = this.#addAction(kind);
    if (kind === 'inject') action.injection = random.pick([...DEADLY]);
  }

  #addHarmlessInjections(): void {
    // Where faults may kill the connection anyway, nothing could be concluded from its survival.
    if (this.#faultsMayKill) return;
    const harmless = INJECTIONS.filter((injection) => !DEADLY.has(injection));
    for (let i = this.#random.int(1, 8); i > 0; i--) {
      this.#addAction('inject').injection = this.#random.pick(harmless);
    }
  }
}

function atLeastOneByte(operation: Operation): Operation {
  operation.length = Math.max(1, operation.length);
  operation.sges = Math.max(1, operation.sges);
  return operation;
}

/** Bytes that the receives of `side` need to hold: the longest message that the other side sends on purpose. */
export function receiveCapacity(epoch: Epoch, side: Side): number {
  let longest = 0;
  for (const operation of epoch.operations) {
    if (operation.side === side || !needsReceive(operation) || !isSend(operation.kind)) continue;
    if (operation.wrong !== 'tooLong') longest = Math.max(longest, operation.length);
  }
  return longest;
}
