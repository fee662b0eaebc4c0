/**
 * What a program does with memory: writes and reads what the peer has lent, lends some of its own, and uses what the peer
 * lends it with a message.
 */

import { RemoteBuffer } from '../../../src/connection/memory/remote-buffer.js';
import type { Connection } from '../../../src/connection/program/connection.js';
import type { VirtualTime } from '../../../testkit/virtual-time.js';
import { SimFailure } from '../failure.js';
import type { Asking } from './asking.js';
import { type GrantRecord, type OneSidedRecord, pattern, sameBytes } from './records.js';
import type { GrantOperation, OneSidedOperation, Patience } from './scenario.js';

/** The lent buffer: places for writes, then memory that only its owner writes. */
const PLACE_BYTES = 256;
const READABLE_AT = 2048;
const READABLE_BYTES = 2048;
/** What the program lays over memory that is its own again. */
const NOT_WRITTEN = 0xee;

export interface MemoryProgramOptions {
  readonly name: string;
  readonly time: VirtualTime;
  readonly asking: Asking;
  readonly seed: number;
  readonly planNumber: number;
  /** Tells the two directions of all connections apart. */
  readonly salt: number;
  /** How often the connection has gone down. */
  readonly failures: () => number;
  /** The memory that the peer lends; `null` before its program has the connection. */
  readonly peerLent: () => Uint8Array | null;
  /** Tells the peer of memory that this program lends. */
  readonly sendGrant: (data: Uint8Array) => void;
}

interface Access {
  readonly kind: 'write' | 'read';
  readonly place: RemoteBuffer;
  readonly repeatable: boolean;
  readonly isRefusable: boolean;
  readonly patience: Patience | null;
  readonly target: { memory: Uint8Array; at: number } | null;
  /** What a read must give; `null`: anything. */
  readonly expected: Uint8Array | null;
}

export class MemoryProgram {
  readonly oneSided: OneSidedRecord[] = [];
  readonly grants: GrantRecord[] = [];
  /** What the peer may use by itself. */
  readonly lent: Uint8Array;
  readonly #connection: Connection;
  readonly #options: MemoryProgramOptions;
  #lentWrites = 0;

  constructor(connection: Connection, options: MemoryProgramOptions) {
    this.#connection = connection;
    this.#options = options;
    this.lent = connection.buffer;
    if (this.lent.length < READABLE_AT + READABLE_BYTES) return;
    this.lent.set(pattern(READABLE_BYTES, options.planNumber, 7), READABLE_AT);
  }

  /** Operations that have not ended, or may go on although nobody waits for them. */
  get underWay(): number {
    let count = 0;
    for (const { outcome, waited } of this.oneSided) {
      if (outcome === undefined || (waited !== null && outcome.error !== null)) count++;
    }
    return count;
  }

  useLent(operation: OneSidedOperation): void {
    const { remoteBuffer } = this.#connection;
    const peerLent = this.#options.peerLent();
    if (remoteBuffer === null || peerLent === null) return;
    const { kind, bytes, repeatable, wrong, patience } = operation;
    // A place of its own for each, so that no write covers what shows that another was carried out.
    const isLentWrite = kind === 'write' && !wrong;
    const at = isLentWrite ? (this.#lentWrites++ % (READABLE_AT / PLACE_BYTES)) * PLACE_BYTES : READABLE_AT;
    const beyond = wrong ? remoteBuffer.length : at;
    const place = new RemoteBuffer(remoteBuffer.addr + BigInt(beyond), remoteBuffer.rkey, bytes);
    // Before the peer's program has its connection, there is nothing in its memory.
    const isFilled = peerLent.length > 0;
    const target = isLentWrite && isFilled ? { memory: peerLent, at } : null;
    const expected = isFilled
      ? pattern(READABLE_BYTES, this.#options.planNumber, 7).subarray(0, bytes)
      : null;
    this.#access({ kind, place, repeatable, isRefusable: wrong, patience, target, expected });
  }

  async grant(operation: GrantOperation): Promise<void> {
    const { time, planNumber, asking, sendGrant } = this.#options;
    const memory = pattern(operation.bytes, 11, planNumber);
    const record: GrantRecord = { ...asking.asked(), memory, after: undefined };
    this.grants.push(record);
    const granting = this.#connection.grant(memory, { read: true, write: true });
    asking.settle('grant', record, granting);
    const grant = await granting.catch(() => undefined);
    if (grant === undefined) return;
    const isOver = (): void => {
      record.after ??= memory.slice();
    };
    void grant.ended.then(isOver);
    sendGrant(grant.remote.encode());
    if (operation.revokeAfter === null) return;
    time.in(operation.revokeAfter, () => {
      void grant.revoke().then(isOver);
    });
  }

  /** The peer lent memory: reads it, then writes it. It may be taken away at any time. */
  useGrant(data: Uint8Array): void {
    const place = RemoteBuffer.decode(data);
    const expected = pattern(place.length, 11, this.#options.planNumber);
    const common = { place, repeatable: true, isRefusable: true, patience: null, target: null, expected };
    this.#access({ kind: 'read', ...common }, () => {
      this.#access({ kind: 'write', ...common });
    });
  }

  #access(access: Access, then?: () => void): void {
    const { asking, failures, name, salt, seed } = this.#options;
    const { kind, place, repeatable, isRefusable, patience, target, expected } = access;
    const number = this.oneSided.length;
    const magic = 0x51000001 + number * 2 + salt * 0x10000;
    const at = (target?.at ?? 0) + place.length - 4;
    const trace = target === null ? null : { memory: target.memory, at, magic };
    const common = { ...asking.asked(), kind, number, repeatable, isRefusable, trace };
    const { options, waited, stop } = asking.wait(patience);
    const othersUnderWay = this.underWay;
    const counts = { failuresBefore: failures(), executions: 0, othersUnderWay };
    const record: OneSidedRecord = { ...common, ...counts, waited };
    this.oneSided.push(record);
    if (kind === 'read') {
      const reading = this.#connection.read(place, place.length, { repeatable, ...options }).then((bytes) => {
        if (expected !== null && !sameBytes(bytes, expected))
          throw new SimFailure('memory', `${name}: a read gave what was never there`);
      });
      asking.settle('read', record, reading.finally(stop), then);
      return;
    }
    const data = pattern(place.length, number, seed, salt, 3);
    new DataView(data.buffer).setUint32(data.length - 4, magic);
    const writing = this.#connection.write(place, data, { repeatable, ...options }).finally(() => {
      stop();
      // From now on it is the program's own again.
      data.fill(NOT_WRITTEN);
    });
    asking.settle('write', record, writing, then);
  }
}
