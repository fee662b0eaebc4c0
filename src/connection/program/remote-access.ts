/**
 * `read` and `write` of a connection: checks what the program gives, asks the data plane, and gives up when the program does.
 *
 * Invariant: when the promise of a call has settled, the memory that the program gave is free. A write that may be given up
 * is therefore one of a copy: the device may send its bytes after the program has turned away.
 */
import { closedError, RdmaError, usageError } from '../../verbs/errors.js';
import { nameOf } from '../../verbs/option-check.js';
import { bytesOf, type Memory, mayShrink } from '../common/memory-argument.js';
import type { ProgramPlane } from '../data-path/data-plane.js';
import type { MemoryRange, RemoteBuffer } from '../memory/remote-buffer.js';
import type { TransferOrder } from '../memory/transfer.js';
import type { OneSidedOptions } from './call-options.js';
import { checkOneSided } from './call-rules.js';
import { checkPatience, mayGiveUp, watchPatience } from './patience.js';

/** Nothing new is begun any more when it ends. */
type Life = { readonly isEnding: boolean };

export class RemoteAccess {
  /** How many were carried out. */
  writes = 0;
  reads = 0;
  readonly #life: Life;
  readonly #plane: Pick<ProgramPlane, 'transfer' | 'cancel'>;
  #lastRequest = 0;

  constructor(life: Life, plane: Pick<ProgramPlane, 'transfer' | 'cancel'>) {
    this.#life = life;
    this.#plane = plane;
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
    const { repeatable = false } = options;
    await this.#run({ kind: 'write', remote: rangeOf(remote), bytes: own, repeatable }, options);
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
    const { repeatable = true } = options;
    await this.#run({ kind: 'read', remote: rangeOf(remote), bytes, repeatable }, options);
    this.reads++;
    return bytes;
  }

  async #run(order: TransferOrder, options: OneSidedOptions): Promise<void> {
    if (this.#life.isEnding) throw closedError('the connection');
    const request = ++this.#lastRequest;
    const running = this.#plane.transfer(request, order);
    await (mayGiveUp(options) ? this.#wait(request, running, order.kind, options) : running);
  }

  /** Waits as long as the program does. From the moment it turns away only the answer to `cancel` counts. */
  #wait(
    request: number,
    running: Promise<void>,
    kind: TransferOrder['kind'],
    options: OneSidedOptions,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      let hasTurnedAway = false;
      const stop = watchPatience(options, kind, (why) => {
        hasTurnedAway = true;
        this.#plane.cancel(request).then((givenUp) => {
          if (givenUp === 'ended') running.then(resolve, reject);
          else reject(givenUp === 'begun' && kind === 'write' ? begun(why) : why);
        }, reject);
      });
      const end = (settle: () => void): void => {
        if (hasTurnedAway) return;
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

const rangeOf = ({ addr, rkey, length }: RemoteBuffer): MemoryRange => ({ addr, rkey, length });

const begun = (cause: RdmaError): RdmaError =>
  new RdmaError(
    'ERR_RDMA_OUTCOME_UNKNOWN',
    'the write had been posted when it was given up: it may or may not be carried out',
    { cause },
  );
