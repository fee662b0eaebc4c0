/**
 * A target for hosts that live in a simulation: a disk of numbered writes with a volatile cache, and controllers that take their time, crash or
 * are cut off. What it sees of the host it tells the `Observer`.
 */

import type { CommandBatch, CommandQueue, HostCommand } from '../src/nvme/host/host-command.js';
import { abortedError, lostError, unknownOutcome } from '../src/nvme/host/host-errors.js';
import type { HostSession } from '../src/nvme/host/session-keeper.js';
import { IoOpcode } from '../src/nvme/wire/opcodes.js';
import type { Response } from '../src/nvme/wire/response.js';
import type { RdmaError } from '../src/verbs/errors.js';
import type { Random } from './random.js';
import type { VirtualTime } from './virtual-time.js';

export const BLOCK = 512;
export const BLOCKS = 6;
const SUCCESS: Response = { resultLow: 0, resultHigh: 0, sqHead: 0, sqId: 1, cid: 0, status: 0 };

/** What the target has: blocks of write numbers, of which a crash takes those that are in the cache alone. */
export class ModelDisk {
  cache = new Array<number>(BLOCKS).fill(0);
  /** Of each block, what was written since it was made durable. */
  readonly #fresh = Array.from({ length: BLOCKS }, () => new Set<number>());
  readonly #lost = Array.from({ length: BLOCKS }, () => new Set<number>());
  #durable = [...this.cache];

  write(block: number, value: number, isDurable: boolean): void {
    const fresh = this.#fresh[block] as Set<number>;
    this.cache[block] = value;
    fresh.add(value);
    this.#lost[block]?.delete(value);
    if (isDurable) this.#keep(block);
  }

  flush(): void {
    for (let block = 0; block < BLOCKS; block++) this.#keep(block);
  }

  crash(): void {
    for (const [block, fresh] of this.#fresh.entries()) {
      for (const value of fresh) this.#lost[block]?.add(value);
      fresh.clear();
    }
    this.cache = [...this.#durable];
  }

  /** Whether a crash took it from this block. */
  hasLost(block: number, value: number): boolean {
    return this.#lost[block]?.has(value) === true;
  }

  #keep(block: number): void {
    this.#durable[block] = this.cache[block] as number;
    this.#fresh[block]?.clear();
  }
}

/** What a simulation knows of its target, and hears of it. */
export interface Observer {
  readonly random: Random;
  readonly time: VirtualTime;
  readonly disk: ModelDisk;
  readonly repeating: Set<HostCommand>;
  readonly firstLeft: WeakMap<HostCommand, number>;
  /** When a write of each block was confirmed. */
  readonly answeredAt: number[];
  sessions: number;
  endings: number;
  isSilent: boolean;
  mark(name: string): void;
  /** A command leaves the host. */
  onLeaving(command: HostCommand): void;
}

/** A controller with its queue, until it fails. */
export class ModelSession implements HostSession, CommandQueue {
  readonly queues: readonly CommandQueue[] = [this];
  readonly ended: Promise<string>;
  readonly #world: Observer;
  readonly #depth: number;
  readonly #waiting: Entry[] = [];
  readonly #underWay = new Set<Entry>();
  #isOver = false;
  #isGone = false;
  #tellEnded: (reason: string) => void = () => {};

  constructor(world: Observer) {
    this.#world = world;
    this.#depth = world.random.pick([1, 1, 2, 6]);
    world.sessions++;
    world.isSilent = false;
    this.ended = new Promise((resolve) => {
      this.#tellEnded = resolve;
    });
  }

  get load(): number {
    return this.#waiting.length + this.#underWay.size;
  }

  run(command: HostCommand): Promise<Response> {
    const { signal, what } = command;
    if (this.#isOver) return Promise.reject(lostError('over'));
    if (signal?.aborted === true) return Promise.reject(abortedError(what, signal));
    return new Promise((resolve, reject) => {
      const entry = { command, resolve, reject, isGivenUp: false };
      signal?.addEventListener('abort', () => this.#abort(entry, signal), { once: true });
      this.#waiting.push(entry);
      this.#next();
    });
  }

  withdraw(batch: CommandBatch, error: RdmaError): void {
    for (const entry of [...this.#waiting]) {
      if (entry.command.batch !== batch) continue;
      this.#waiting.splice(this.#waiting.indexOf(entry), 1);
      entry.reject(error);
    }
  }

  /** The target crashes, or the network is cut. */
  fail(isCrash: boolean): void {
    if (this.#isOver) return;
    this.#world.mark(isCrash ? 'crash' : 'cut');
    if (isCrash) this.#world.disk.crash();
    this.#end('failed');
  }

  async close(): Promise<void> {
    this.#end('closed');
    await this.#pass();
    this.#leave();
  }

  async silence(): Promise<void> {
    this.#end('silenced');
    await this.#pass();
    this.#world.isSilent = true;
    this.#leave();
  }

  async abandon(): Promise<void> {
    await this.silence();
    await this.#pass();
  }

  #pass(): Promise<void> {
    const { time, random } = this.#world;
    return new Promise((resolve) => time.in(random.int(0, 50), resolve));
  }

  #leave(): void {
    if (!this.#isGone) this.#world.sessions--;
    this.#isGone = true;
  }

  #next(): void {
    while (this.#underWay.size < this.#depth) {
      const entry = this.#waiting.shift();
      if (entry === undefined) return;
      const { time, random } = this.#world;
      this.#underWay.add(entry);
      if (!this.#world.firstLeft.has(entry.command)) this.#world.firstLeft.set(entry.command, time.now);
      this.#world.onLeaving(entry.command);
      time.in(random.int(0, 40), () => this.#execute(entry));
    }
  }

  /** Also what the host has given up. */
  #execute(entry: Entry): void {
    if (this.#isOver) return;
    const { disk, time, random } = this.#world;
    const { fields, send, receive } = entry.command;
    const block = fields.cdw10 ?? 0;
    if (fields.opcode === IoOpcode.FLUSH) disk.flush();
    else if (send !== undefined) {
      const value = new DataView(send.buffer, send.byteOffset).getUint32(0, true);
      disk.write(block, value, ((fields.cdw12 ?? 0) & (1 << 30)) !== 0);
    }
    const answer = disk.cache[block] ?? 0;
    time.in(random.int(0, 40), () => {
      if (this.#isOver) return;
      if (receive !== undefined) new DataView(receive.buffer, receive.byteOffset).setUint32(0, answer, true);
      this.#underWay.delete(entry);
      this.#world.repeating.delete(entry.command);
      if (send !== undefined && !entry.isGivenUp) this.#world.answeredAt[block] = time.now;
      entry.resolve(SUCCESS);
      this.#next();
    });
  }

  #abort(entry: Entry, signal: AbortSignal): void {
    const { what, changes } = entry.command;
    const at = this.#waiting.indexOf(entry);
    if (at >= 0) this.#waiting.splice(at, 1);
    if (at >= 0 || changes !== true) entry.reject(abortedError(what, signal));
    else entry.reject(unknownOutcome(what, 'aborted'));
    this.#world.repeating.delete(entry.command);
    entry.isGivenUp = true;
  }

  #end(reason: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#world.endings++;
    this.#world.repeating.clear();
    for (const { reject } of this.#waiting.splice(0)) reject(lostError(reason));
    for (const { command, reject } of this.#underWay) {
      reject(command.changes === true ? unknownOutcome(command.what, reason) : lostError(reason));
    }
    this.#tellEnded(reason);
  }
}

interface Entry {
  readonly command: HostCommand;
  readonly resolve: (response: Response) => void;
  readonly reject: (error: RdmaError) => void;
  isGivenUp: boolean;
}
