/**
 * `read` and `write` of a connection: checks what the program gives, and gives up when the program does.
 *
 * Invariant: when the promise of a call has settled, the memory that the program gave is free. A write that may be given up
 * is therefore one of a copy: the device may send its bytes after the program has turned away.
 */
import { closedError, RdmaError, usageError } from '../verbs/errors.js';
import { nameOf } from '../verbs/option-check.js';
import { WrOpcode } from '../verbs/work-request.js';
import type { OneSidedOptions } from './call-options.js';
import { checkOneSided } from './call-rules.js';
import { bytesOf, type Memory, mayShrink } from './memory-argument.js';
import { checkPatience, mayGiveUp, watchPatience } from './patience.js';
import type { RemoteBuffer } from './remote-buffer.js';
import { Transfer } from './transfer.js';

export interface RemoteAccessOptions {
  /** Nothing new is begun any more. */
  readonly isEnding: () => boolean;
  /** Carries a transfer out. */
  readonly run: (transfer: Transfer) => Promise<void>;
}

export class RemoteAccess {
  /** How many were carried out. */
  writes = 0;
  reads = 0;
  readonly #options: RemoteAccessOptions;

  constructor(options: RemoteAccessOptions) {
    this.#options = options;
  }

  /** @throws RdmaError as `Connection.write`. */
  async write(remote: RemoteBuffer, data: Memory, options: OneSidedOptions): Promise<void> {
    checkOneSided('write', remote, options);
    const bytes = bytesOf(data, 'data');
    if (bytes.length > remote.length) {
      throw usageError(`${bytes.length} bytes do not fit into the remote buffer of ${remote.length}`);
    }
    checkPatience(options, 'write');
    if (bytes.length === 0) return;
    const own = mayShrink(bytes) || mayGiveUp(options) ? bytes.slice() : bytes;
    await this.#run(new Transfer(WrOpcode.RDMA_WRITE, remote, own, options.repeatable ?? false), options);
    this.writes++;
  }

  /** @throws RdmaError as `Connection.read`. */
  async read(remote: RemoteBuffer, length: number, options: OneSidedOptions): Promise<Uint8Array> {
    checkOneSided('read', remote, options);
    if (!Number.isSafeInteger(length) || length < 0 || length > remote.length) {
      throw usageError(
        `length must be a number of bytes up to the ${remote.length} of remote, not ${nameOf(length)}`,
      );
    }
    checkPatience(options, 'read');
    const bytes = new Uint8Array(length);
    if (length === 0) return bytes;
    await this.#run(new Transfer(WrOpcode.RDMA_READ, remote, bytes, options.repeatable ?? true), options);
    this.reads++;
    return bytes;
  }

  async #run(transfer: Transfer, options: OneSidedOptions): Promise<void> {
    if (this.#options.isEnding()) throw closedError('the connection');
    const running = this.#options.run(transfer);
    if (!mayGiveUp(options)) {
      await running;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const what = transfer.isWrite ? 'write' : 'read';
      const stop = watchPatience(options, what, (why) => {
        reject(transfer.isWrite && transfer.hasBegun ? begun(why) : why);
        transfer.giveUp();
      });
      const end = (settle: () => void): void => {
        stop();
        settle();
      };
      running.then(
        () => end(resolve),
        (error: unknown) => end(() => reject(error)),
      );
    });
  }
}

const begun = (cause: RdmaError): RdmaError =>
  new RdmaError(
    'ERR_RDMA_OUTCOME_UNKNOWN',
    'the write had been posted when it was given up: it may or may not be carried out',
    { cause },
  );
