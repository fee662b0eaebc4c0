/** A disk of a target: reads and writes of any length, in commands of a size that the target takes. */
import { setMaxListeners } from 'node:events';
import { RdmaError, usageError } from '../../verbs/errors.js';
import { OptionalCommand } from '../wire/identify.js';
import { IoOpcode } from '../wire/opcodes.js';
import { nvmeStatusName, Status } from '../wire/status.js';
import type { Answer, CommandRouter } from './command-router.js';
import type { CommandBatch, HostCommand } from './host-command.js';
import { cacheLost, hasNotLeft, lostError, statusError, unknownOutcome } from './host-errors.js';
import { WriteLedger } from './write-ledger.js';

export interface NvmeCallOptions {
  /** What has not left is taken back; what has left may be done, which an error of a write says. */
  readonly signal?: AbortSignal;
}

export interface NvmeHostWriteOptions extends NvmeCallOptions {
  /** Resolves only when the bytes survive a crash of the target (FUA). Default false: see `flush`. */
  readonly durable?: boolean;
}

interface NamespaceInit {
  readonly id: number;
  readonly blocks: number;
  readonly blockBytes: number;
  readonly optionalCommands: number;
  readonly router: CommandRouter;
}

const MAX_BLOCKS = 0x1_0000;
const FORCE_UNIT_ACCESS = 1 << 30;
const TWO_32 = 0x1_0000_0000;
const TRIM_ATTRIBUTE = 4;
const MAX_TRIM_BLOCKS = 0xffff_ffff;

export class NvmeNamespace {
  readonly id: number;
  readonly blockBytes: number;
  readonly sizeBytes: number;
  readonly canWriteZeroes: boolean;
  readonly canTrim: boolean;
  readonly canCompare: boolean;
  readonly #router: CommandRouter;
  readonly #ledger = new WriteLedger();

  /** @internal */
  constructor({ id, blocks, blockBytes, optionalCommands, router }: NamespaceInit) {
    this.id = id;
    this.blockBytes = blockBytes;
    this.sizeBytes = blocks * blockBytes;
    this.canWriteZeroes = (optionalCommands & OptionalCommand.WRITE_ZEROES) !== 0;
    this.canTrim = (optionalCommands & OptionalCommand.DATASET_MANAGEMENT) !== 0;
    this.canCompare = (optionalCommands & OptionalCommand.COMPARE) !== 0;
    this.#router = router;
  }

  /** @internal Whether something was written that no flush covers. */
  get isDirty(): boolean {
    return this.#ledger.isDirty;
  }

  /** @internal Whether something was written that no flush covers, to a controller that is gone. */
  get isDoubtful(): boolean {
    return this.#ledger.isDoubtful;
  }

  /** @internal The controller is gone, and perhaps what its disk had not made durable. */
  controllerLost(): void {
    this.#ledger.controllerLost(this.#router.epoch);
  }

  /**
   * Fills `into`, whole blocks. Several calls may be under way at a time, in no order.
   *
   * @throws RdmaError ERR_RDMA_INVALID_ARGUMENT, ERR_RDMA_NVME, ERR_RDMA_CONNECTION_LOST, ERR_RDMA_ABORTED.
   */
  async read(offsetBytes: number, into: Uint8Array, options: NvmeCallOptions = {}): Promise<void> {
    this.#check('read', offsetBytes, into.length);
    await this.#inChunks(into.length, (offset, length) => ({
      what: `a read of namespace ${this.id}`,
      fields: { opcode: IoOpcode.READ, ...this.#blocks(offsetBytes + offset, length) },
      receive: into.subarray(offset, offset + length),
      ...options,
    }));
  }

  /**
   * Writes whole blocks. When it resolves the target has them; they survive its crash after `flush`, or with `durable`.
   *
   * @throws RdmaError as `read`, and ERR_RDMA_OUTCOME_UNKNOWN where some of it may have been written.
   */
  async write(offsetBytes: number, from: Uint8Array, options: NvmeHostWriteOptions = {}): Promise<void> {
    this.#check('write', offsetBytes, from.length);
    const { durable = false, ...call } = options;
    await this.#changing(durable, () =>
      this.#inChunks(from.length, (offset, length) => ({
        what: `a write of namespace ${this.id}`,
        fields: {
          opcode: IoOpcode.WRITE,
          ...this.#blocks(offsetBytes + offset, length, durable ? FORCE_UNIT_ACCESS : 0),
        },
        send: from.subarray(offset, offset + length),
        ...this.#changes(offsetBytes + offset, length),
        ...call,
      })),
    );
  }

  /**
   * Where `canCompare`: whether the disk has these bytes, which do not travel back.
   *
   * @throws RdmaError as `read`.
   */
  async compare(offsetBytes: number, bytes: Uint8Array, options: NvmeCallOptions = {}): Promise<boolean> {
    this.#check('compare', offsetBytes, bytes.length);
    try {
      await this.#inChunks(bytes.length, (offset, length) => ({
        what: `a comparison with namespace ${this.id}`,
        fields: { opcode: IoOpcode.COMPARE, ...this.#blocks(offsetBytes + offset, length) },
        send: bytes.subarray(offset, offset + length),
        ...options,
      }));
      return true;
    } catch (error) {
      if (error instanceof RdmaError && error.status === nvmeStatusName(Status.COMPARE_FAILURE)) return false;
      throw error;
    }
  }

  /**
   * Resolves when every write that has resolved survives a crash of the target.
   *
   * @throws RdmaError ERR_RDMA_OUTCOME_UNKNOWN, once, when some of them were confirmed by a controller that was lost before a flush:
   *   its target may have crashed. Write them again.
   */
  async flush(options: NvmeCallOptions = {}): Promise<void> {
    const fields = { opcode: IoOpcode.FLUSH, nsid: this.id };
    const mark = this.#ledger.beginFlush();
    const what = `a flush of namespace ${this.id}`;
    const { epoch } = await this.#run({ what, fields, changes: true, isRepeatable: true, ...options });
    if (!this.#ledger.endFlush(mark, epoch)) throw cacheLost();
  }

  /** Where `canWriteZeroes`. */
  async writeZeroes(
    offsetBytes: number,
    lengthBytes: number,
    options: NvmeHostWriteOptions = {},
  ): Promise<void> {
    this.#check('writeZeroes', offsetBytes, lengthBytes);
    const { durable = false, ...call } = options;
    const control = durable ? FORCE_UNIT_ACCESS : 0;
    await this.#changing(durable, () =>
      this.#inTurn(lengthBytes, MAX_BLOCKS, (at, length) => ({
        what: `a write of zeroes to namespace ${this.id}`,
        fields: { opcode: IoOpcode.WRITE_ZEROES, ...this.#blocks(offsetBytes + at, length, control) },
        ...this.#changes(offsetBytes + at, length),
        ...call,
      })),
    );
  }

  /** Where `canTrim`: the target may forget these bytes. */
  async trim(offsetBytes: number, lengthBytes: number, options: NvmeCallOptions = {}): Promise<void> {
    this.#check('trim', offsetBytes, lengthBytes);
    await this.#inTurn(lengthBytes, MAX_TRIM_BLOCKS, (at, length) => {
      const send = new Uint8Array(16);
      const view = new DataView(send.buffer);
      const first = (offsetBytes + at) / this.blockBytes;
      view.setUint32(4, length / this.blockBytes, true);
      view.setUint32(8, first % TWO_32, true);
      view.setUint32(12, Math.floor(first / TWO_32), true);
      const fields = { opcode: IoOpcode.DATASET_MANAGEMENT, nsid: this.id, cdw11: TRIM_ATTRIBUTE };
      return {
        what: `a trim of namespace ${this.id}`,
        fields,
        send,
        ...this.#changes(offsetBytes + at, length),
        ...options,
      };
    });
  }

  /** Counts what was confirmed alone: of what failed the program has heard. */
  async #changing(isDurable: boolean, work: () => Promise<number>): Promise<void> {
    const epoch = await work();
    if (!isDurable) this.#ledger.written(epoch, this.#router.epoch);
  }

  /** @throws RdmaError ERR_RDMA_NVME unless it succeeds. */
  async #run(command: HostCommand): Promise<Answer> {
    const answer = await this.#router.run(command);
    if (answer.status !== Status.SUCCESS) throw statusError(command.what, answer.status);
    return answer;
  }

  /**
   * Returns the first controller that has answered a part of it.
   *
   * All at once, as far as queues have room. Once one has failed the waiting ones are taken back; the first failure is told when none
   * is under way any more.
   */
  async #inChunks(
    lengthBytes: number,
    commandFor: (offset: number, length: number) => HostCommand,
  ): Promise<number> {
    const batch: CommandBatch = { isWithdrawn: false };
    const moves: Promise<void>[] = [];
    const failures: RdmaError[] = [];
    let firstEpoch = Number.POSITIVE_INFINITY;
    const onDone = ({ epoch }: Answer): void => {
      firstEpoch = Math.min(firstEpoch, epoch);
    };
    const onFailed = (error: RdmaError): void => {
      failures.push(error);
      if (failures.length > 1) return;
      batch.isWithdrawn = true;
      this.#router.withdraw(batch, lostError('another part of it failed'));
    };
    // One listener on the program's signal, however many commands: Node.js warns of a leak from the eleventh on.
    const { signal } = commandFor(0, this.blockBytes);
    const own = signal === undefined ? undefined : followerOf(signal);
    const most = this.#wholeBlocks(this.#router.chunkBytes);
    for (let at = 0; at < lengthBytes; ) {
      const length = Math.min(most, lengthBytes - at);
      const command = {
        ...commandFor(at, length),
        ...(own === undefined ? {} : { signal: own.signal }),
        batch,
      };
      moves.push(this.#run(command).then(onDone, onFailed));
      at += length;
    }
    await Promise.all(moves);
    own?.stop();
    const [first] = failures;
    if (first === undefined) return firstEpoch;
    const hasNothingLeft = failures.length === moves.length && failures.every(hasNotLeft);
    throw hasNotLeft(first) && !hasNothingLeft ? partlyDone(commandFor(0, this.blockBytes), first) : first;
  }

  /** One after the other. Returns as `#inChunks`. */
  async #inTurn(
    lengthBytes: number,
    mostBlocks: number,
    commandFor: (offset: number, length: number) => HostCommand,
  ): Promise<number> {
    const most = mostBlocks * this.blockBytes;
    let firstEpoch = Number.POSITIVE_INFINITY;
    for (let at = 0; at < lengthBytes; at += most) {
      const command = commandFor(at, Math.min(most, lengthBytes - at));
      try {
        const { epoch } = await this.#run(command);
        firstEpoch = Math.min(firstEpoch, epoch);
      } catch (error) {
        throw at > 0 && hasNotLeft(error) ? partlyDone(command, error) : error;
      }
    }
    return firstEpoch;
  }

  #changes(offsetBytes: number, lengthBytes: number): Pick<HostCommand, 'changes' | 'blocks'> {
    const first = offsetBytes / this.blockBytes;
    return {
      changes: true,
      blocks: { nsid: this.id, first, end: first + lengthBytes / this.blockBytes },
    };
  }

  #wholeBlocks(bytes: number): number {
    return Math.min(Math.floor(bytes / this.blockBytes), MAX_BLOCKS) * this.blockBytes;
  }

  #blocks(
    offsetBytes: number,
    lengthBytes: number,
    control = 0,
  ): { nsid: number; cdw10: number; cdw11: number; cdw12: number } {
    const first = offsetBytes / this.blockBytes;
    return {
      nsid: this.id,
      cdw10: first % TWO_32,
      cdw11: Math.floor(first / TWO_32),
      cdw12: (lengthBytes / this.blockBytes - 1) | control,
    };
  }

  /** Whether it lies in the namespace is for the target to say, too. */
  #check(what: string, offsetBytes: number, lengthBytes: number): void {
    for (const [name, value] of [
      ['offset', offsetBytes],
      ['length', lengthBytes],
    ] as const) {
      if (!Number.isSafeInteger(value) || value < 0 || value % this.blockBytes !== 0) {
        throw usageError(
          `the ${name} of ${what} must be a multiple of the block size, ${this.blockBytes} bytes, not ${value}`,
        );
      }
    }
    if (offsetBytes + lengthBytes > this.sizeBytes) {
      throw usageError(`${what} reaches beyond the end of the namespace, which has ${this.sizeBytes} bytes`);
    }
  }
}

function followerOf(signal: AbortSignal): { signal: AbortSignal; stop: () => void } {
  const own = new AbortController();
  setMaxListeners(0, own.signal);
  const onAbort = (): void => own.abort(signal.reason);
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  return { signal: own.signal, stop: () => signal.removeEventListener('abort', onAbort) };
}

/** A part of it has left, and the rest has not: a read can be asked for again, anything else may have been done. */
const partlyDone = ({ what, changes }: HostCommand, error: RdmaError): RdmaError =>
  changes === true ? unknownOutcome(what, error.message) : error;
