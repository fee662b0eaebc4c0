/**
 * The life of a host whose target crashes and whose network is cut, drawn from a seed, in virtual time: the real namespace, router and
 * keeper over queues and a disk that are made here. Throws where something does not hold that must:
 *
 * - every call settles; a write is done once unless the program allows repetitions, and no repetition undoes another write;
 * - a flush that succeeds is true: of what was confirmed before it began nothing is lost later, unless another flush has told;
 * - a read sees no block from before a write that was confirmed before the read, and is not lost;
 * - no session is opened before the former one is silent, and nothing is left at the end.
 */
import assert from 'node:assert/strict';
import { CommandRouter } from '../src/nvme/host/command-router.js';
import type { HostCommand } from '../src/nvme/host/host-command.js';
import { lostError, protocolError } from '../src/nvme/host/host-errors.js';
import { NvmeNamespace } from '../src/nvme/host/namespace.js';
import { SessionKeeper } from '../src/nvme/host/session-keeper.js';
import { RdmaError } from '../src/verbs/errors.js';
import { BLOCK, BLOCKS, ModelDisk, ModelSession, type Observer } from './nvme-model-target.js';
import { Random } from './random.js';
import { VirtualTime } from './virtual-time.js';

const MAX_CALLS = 120;
/** Busy ones and idle ones. */
const LIFE_MILLIS = [3000, 60_000, 60_000];

/** What a long run must have seen. */
export const NVME_MARKS = [
  ...[
    'attempt failed',
    'back',
    'closed',
    'given up',
    'crash',
    'cut',
    'repeated',
    'read',
    'written',
    'flushed',
  ],
  ...['read: ERR_RDMA_CONNECTION_LOST', 'read: ERR_RDMA_ABORTED', 'write: ERR_RDMA_OUTCOME_UNKNOWN'],
  ...['write: ERR_RDMA_CONNECTION_LOST', 'write: ERR_RDMA_ABORTED', 'flush: ERR_RDMA_OUTCOME_UNKNOWN'],
  'flush: ERR_RDMA_CONNECTION_LOST',
];

export interface HostLife {
  readonly commands: number;
  readonly marks: ReadonlyMap<string, number>;
}

/** `maxCalls` cuts it short. */
export async function liveNvmeHost(seed: number, maxCalls = MAX_CALLS): Promise<HostLife> {
  const random = new Random(seed);
  const time = new VirtualTime();
  const restore = time.install(new Random(seed ^ 0x5eed));
  try {
    const world = new World(random, time);
    await world.live(Math.min(random.int(1, MAX_CALLS), maxCalls));
    return { commands: world.commands, marks: world.marks };
  } finally {
    restore();
  }
}

/** A write of the program: what is known of each is what the checks compare. */
interface Written {
  readonly value: number;
  readonly first: number;
  readonly end: number;
  readonly begunAt: number;
  readonly isDurable: boolean;
  ackedAt: number;
  /** A flush has told that it may be lost. */
  isTold: boolean;
}

class World implements Observer {
  readonly random: Random;
  readonly time: VirtualTime;
  readonly disk = new ModelDisk();
  readonly marks = new Map<string, number>();
  readonly repeatsWrites: boolean;
  readonly writes: Written[] = [];
  /** How often a command has left. */
  readonly left = new WeakMap<HostCommand, number>();
  readonly firstLeft = new WeakMap<HostCommand, number>();
  readonly repeating = new Set<HostCommand>();
  /** When a write of each block was confirmed. */
  readonly answeredAt = new Array<number>(BLOCKS).fill(0);
  commands = 0;
  sessions = 0;
  /** Of sessions. */
  endings = 0;
  isSilent = true;
  session: ModelSession | undefined;

  constructor(random: Random, time: VirtualTime) {
    this.random = random;
    this.time = time;
    this.repeatsWrites = random.oneIn(2);
  }

  mark(name: string): void {
    this.marks.set(name, (this.marks.get(name) ?? 0) + 1);
  }

  async live(calls: number): Promise<void> {
    const { random, time } = this;
    const lifeMillis = random.pick(LIFE_MILLIS);
    const router = new CommandRouter({ chunkBytes: BLOCK, repeatsWrites: this.repeatsWrites });
    const namespace = new NvmeNamespace({
      ...{ id: 1, blocks: BLOCKS, blockBytes: BLOCK, optionalCommands: 0xff, router },
    });
    this.session = new ModelSession(this);
    let reason: string | undefined;
    const keeper = new SessionKeeper<ModelSession>({
      session: this.session,
      router,
      policy: {
        withinMillis: random.oneIn(5) ? random.pick([0, 200]) : 20_000,
        attempts: random.oneIn(5) ? random.int(1, 3) : Number.POSITIVE_INFINITY,
        delayMillis: random.pick([0, 10, 500]),
        maxDelayMillis: 1000,
      },
      open: (signal) => this.#open(signal),
      events: {
        onLost: () => namespace.controllerLost(),
        onAttemptFailed: () => this.mark('attempt failed'),
        onBack: () => this.mark('back'),
        onOver: (why) => {
          reason = why;
        },
      },
    });
    let settled = 0;
    for (let i = 0; i < calls; i++) {
      time.at(random.int(0, lifeMillis), () => {
        this.#call(namespace).then(
          () => settled++,
          (error: unknown) => time.fail(error),
        );
      });
    }
    for (let i = random.int(0, 12); i > 0; i--)
      time.at(random.int(0, lifeMillis), () => this.session?.fail(random.oneIn(2)));
    let isClosed = false;
    time.at(lifeMillis + random.int(0, 1000), () =>
      keeper.close('closed').then(
        () => {
          isClosed = true;
        },
        (error: unknown) => time.fail(error),
      ),
    );
    await time.run(() => isClosed && settled === calls);
    assert.ok(isClosed && reason !== undefined, 'it ends');
    assert.equal(settled, calls, 'every call settles');
    assert.equal(router.held, 0);
    assert.equal(this.sessions, 0, 'no session is left');
    assert.equal(time.timerCount, 0, 'no timer is left');
    this.mark(reason === 'closed' ? 'closed' : 'given up');
  }

  async #open(signal: AbortSignal): Promise<ModelSession> {
    // Thrown here it would be one more attempt that failed.
    if (!this.isSilent) this.time.fail(new Error('a session is opened before the former one is silent'));
    if (this.sessions > 0) this.time.fail(new Error('a session is opened beside another one'));
    const { random, time } = this;
    await new Promise<void>((resolve) => time.in(random.int(0, 300), resolve));
    signal.throwIfAborted();
    if (random.oneIn(3)) throw random.oneIn(8) ? protocolError('another disk') : lostError('nobody listens');
    this.session = new ModelSession(this);
    return this.session;
  }

  async #call(namespace: NvmeNamespace): Promise<void> {
    const { random } = this;
    const first = random.below(BLOCKS);
    const end = random.int(first + 1, BLOCKS);
    const abort = new AbortController();
    const options = random.oneIn(12) ? { signal: abort.signal } : {};
    if ('signal' in options) this.time.in(random.int(0, 100), () => abort.abort());
    const kind = random.below(4);
    if (kind === 0) await this.#read(namespace, first, end, options);
    else if (kind === 1) await this.#flush(namespace);
    else await this.#write(namespace, first, end, options);
  }

  async #write(disk: NvmeNamespace, first: number, end: number, options: object): Promise<void> {
    const value = this.writes.length + 1;
    const isDurable = this.random.oneIn(3);
    const { now: begunAt } = this.time;
    const written = {
      value,
      first,
      end,
      begunAt,
      isDurable,
      ackedAt: Number.POSITIVE_INFINITY,
      isTold: false,
    };
    this.writes.push(written);
    // Amid its commands.
    if (this.random.oneIn(10))
      this.time.in(this.random.int(0, 200), () => this.session?.fail(this.random.oneIn(2)));
    const bytes = new Uint8Array((end - first) * BLOCK);
    new Uint32Array(bytes.buffer).fill(value);
    try {
      await disk.write(first * BLOCK, bytes, { durable: isDurable, ...options });
      written.ackedAt = this.time.now;
      this.mark('written');
    } catch (error) {
      this.mark(`write: ${codeOf(error)}`);
    }
  }

  async #flush(disk: NvmeNamespace): Promise<void> {
    const begunAt = this.time.now;
    const before = this.writes.filter(({ ackedAt }) => ackedAt <= begunAt);
    try {
      await disk.flush();
      this.mark('flushed');
      for (const { value, first, end, isTold } of before) {
        for (let block = first; block < end && !isTold; block++)
          assert.ok(!this.disk.hasLost(block, value), `write ${value} was lost before this flush succeeded`);
      }
    } catch (error) {
      const code = codeOf(error);
      this.mark(`flush: ${code}`);
      if (code !== 'ERR_RDMA_OUTCOME_UNKNOWN') return;
      assert.ok(this.endings > 0, 'only an end is a reason for doubt');
      for (const written of before) written.isTold = true;
    }
  }

  async #read(disk: NvmeNamespace, first: number, end: number, options: object): Promise<void> {
    const begunAt = this.time.now;
    const into = new Uint8Array((end - first) * BLOCK);
    try {
      await disk.read(first * BLOCK, into, options);
    } catch (error) {
      const code = codeOf(error);
      assert.ok(code === 'ERR_RDMA_CONNECTION_LOST' || code === 'ERR_RDMA_ABORTED', String(error));
      this.mark(`read: ${code}`);
      return;
    }
    this.mark('read');
    for (let block = first; block < end; block++) {
      const value = new DataView(into.buffer).getUint32((block - first) * BLOCK, true);
      this.#checkSeen(block, value, begunAt);
    }
  }

  /** No write that was confirmed before the read began follows the one that it sees. */
  #checkSeen(block: number, value: number, begunAt: number): void {
    const seen = this.writes[value - 1];
    const seenUntil = seen === undefined ? 0 : seen.ackedAt;
    const newer = this.writes.find(
      (one) =>
        one.first <= block &&
        block < one.end &&
        one.ackedAt <= begunAt &&
        one.begunAt > seenUntil &&
        !this.disk.hasLost(block, one.value),
    );
    assert.equal(newer, undefined, `block ${block} has ${value} after ${newer?.value} was confirmed`);
  }

  /** A command leaves. */
  onLeaving(command: HostCommand): void {
    this.commands++;
    const times = (this.left.get(command) ?? 0) + 1;
    this.left.set(command, times);
    if (times === 1 || command.changes !== true || command.isRepeatable === true) {
      assert.equal(this.repeating.size, 0, 'nothing else leaves while commands are repeated');
      return;
    }
    assert.ok(this.repeatsWrites, 'a write is repeated where the program allows it');
    this.mark('repeated');
    this.repeating.add(command);
    const block = command.fields.cdw10 ?? 0;
    const answeredAt = this.answeredAt[block] ?? 0;
    assert.ok(answeredAt <= (this.firstLeft.get(command) ?? 0), 'a repetition undoes nothing');
  }
}

/** @throws what is no failure of a call. */
function codeOf(error: unknown): string {
  if (!(error instanceof RdmaError)) throw error;
  return error.code;
}
