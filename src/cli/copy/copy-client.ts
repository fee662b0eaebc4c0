/**
 * The client's end of copies: brings a file or tree to a server with a share, or fetches one; goes on over a new connection when
 * one was lost, with what is there already.
 *
 * Invariants: a file that the server has stored is not sent again by the same client; whatever cuts the copy, a later one goes on.
 */
import { type FileHandle, lstat, realpath } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Connection } from '../../connection/program/connection.js';
import { RdmaError, usageError } from '../../verbs/errors.js';
import { WrongArguments } from '../wrong-arguments.js';
import { CopyLink, slotsOf } from './copy-link.js';
import { joinPath, pathFault, typedPath } from './copy-path.js';
import { COPY_VERSION, type CopyMessageOf } from './copy-wire.js';
import { Place, type Walked } from './place.js';
import { PlaceError, why } from './place-error.js';
import { type ReceiveListener, receiveTree } from './receive-tree.js';
import { sendTree, totalOf } from './send-tree.js';

export interface CopyListener extends ReceiveListener {
  /** The connection was lost; it tries again after so long. */
  onRetry?(error: RdmaError, waitMillis: number): void;
  /** The bytes that were told so far do not count: a new connection counts from the beginning. */
  onAgain?(): void;
}

export interface CopyClientOptions {
  readonly connect: () => Promise<Connection>;
  readonly listener: CopyListener;
  /** How long it tries again without a byte that moves. */
  readonly retryMillis: number;
  readonly signal: AbortSignal;
}

const FIRST_WAIT_MILLIS = 100;
const MAX_WAIT_MILLIS = 2000;

export class CopyClient {
  readonly #options: CopyClientOptions;
  /** That of the program, and what is noted here beside it. */
  readonly #listener: ReceiveListener;
  #connection: Connection | undefined;
  #movedAt = performance.now();

  constructor(options: CopyClientOptions) {
    this.#options = options;
    const { listener } = options;
    this.#listener = changed(listener, {
      onBytes: (bytes, isNew) => {
        this.#movedAt = performance.now();
        listener.onBytes?.(bytes, isNew);
      },
    });
  }

  /**
   * Sends what is at `source` here. It becomes what `path` names, or goes into it when that is a directory and `source` a file.
   * `intoDirectory`: in any case, and `path` must be one. What it becomes is the same however often a copy is repeated.
   *
   * @throws RdmaError
   */
  async put(source: string, path: string, intoDirectory: boolean): Promise<void> {
    const real = await realpath(source).catch((error: unknown) => {
      throw usageError(`${source} ${why(error)}`);
    });
    const place = await Place.at(dirname(real));
    // A link that was typed names what it leads to.
    const name = basename(resolve(source));
    const fault = pathFault(name);
    if (fault !== undefined) throw usageError(`${source}: ${fault}`);
    const stored = new Set<string>();
    await this.#persist(async (link) => {
      const opened = await this.#open(link, 'put', path);
      if (intoDirectory && opened.found !== 'directory') throw usageError(`${path} is no directory there`);
      const isDirectory = (await lstat(real)).isDirectory();
      const isInside = intoDirectory || (opened.found === 'directory' && !isDirectory);
      if (opened.found === 'file' && isDirectory)
        throw usageError(`${path} is a file there, and ${source} a directory here`);
      const base = isInside ? name : '';
      const entries = async function* (): AsyncGenerator<Walked, void, void> {
        for await (const one of place.walk(basename(real))) {
          const path = joinPath(base, one.path);
          const fault = pathFault(path);
          if (one.kind !== 'skipped' && fault !== undefined) yield { kind: 'skipped', path, reason: fault };
          else if (!stored.has(path)) yield { ...one, path };
        }
      };
      const total = await totalOf(entries());
      this.#listener.onTotal?.(total.files, total.bytes);
      const open = (path: string): Promise<FileHandle> =>
        place.open(joinPath(basename(real), isInside ? path.slice(name.length + 1) : path));
      const listener = named(this.#listener, isInside ? '' : name, stored);
      await sendTree(link, opened, { entries: entries(), open }, listener);
    });
  }

  /** Fetches what is at `path` there to `target` here, by the same rules. @throws RdmaError */
  async get(path: string, target: string, intoDirectory: boolean): Promise<void> {
    const there = await lstat(await realpath(target).catch(() => target)).catch(() => undefined);
    const isDirectory = there?.isDirectory() === true;
    if (intoDirectory && !isDirectory) throw usageError(`${target} is no directory`);
    const place = await Place.at(isDirectory ? target : dirname(target)).catch((error: unknown) => {
      throw usageError(why(error));
    });
    const stored = new Set<string>();
    await this.#persist(async (link, connection) => {
      const { found } = await this.#open(link, 'get', path);
      const isInside = intoDirectory || (isDirectory && found === 'file');
      const base = isInside ? basename(path) : isDirectory ? '' : basename(target);
      const plan = slotsOf(connection.buffer.length);
      await receiveTree(link, plan, place, base, named(this.#listener, basename(path), stored));
    });
  }

  /** Gives up, whatever is under way. */
  abort(): void {
    this.#connection?.abort(new RdmaError('ERR_RDMA_ABORTED', 'the copy was interrupted'));
  }

  async close(): Promise<void> {
    await this.#connection?.close();
    this.#connection = undefined;
  }

  async #open(link: CopyLink, want: 'get' | 'put', path: string): Promise<CopyMessageOf<'opened'>> {
    const plan = slotsOf(link.connection.buffer.length);
    await link.send({ type: 'open', v: COPY_VERSION, want, path, ...plan });
    const answer = await link.expect('opened');
    if (answer.type === 'opened') return answer;
    throw new RdmaError('ERR_RDMA_REFUSED', `the server refuses: ${answer.reason}`, {
      refusal: 'not-authorized',
    });
  }

  /** Until it is done, over as many connections as it takes. */
  async #persist(work: (link: CopyLink, connection: Connection) => Promise<void>): Promise<void> {
    let waitMillis = FIRST_WAIT_MILLIS;
    this.#movedAt = performance.now();
    let wasUp = this.#connection !== undefined;
    for (;;) {
      try {
        this.#connection ??= await this.#options.connect();
        wasUp = true;
        await work(new CopyLink(this.#connection), this.#connection);
        return;
      } catch (error) {
        const lost = this.#connection;
        this.#connection = undefined;
        if (error instanceof PlaceError) {
          await lost?.close();
          throw usageError(error.message);
        }
        const isOver = performance.now() - this.#movedAt > this.#options.retryMillis;
        if (!wasUp || isOver || this.#options.signal.aborted || !isLoss(error)) {
          lost?.abort(
            error instanceof RdmaError ? error : new RdmaError('ERR_RDMA_ABORTED', 'the copy has failed'),
          );
          await lost?.closed;
          throw error;
        }
        lost?.abort(error);
        await lost?.closed;
        this.#options.listener.onRetry?.(error, waitMillis);
        // An interrupt ends the pause, and with it the copy.
        await sleep(waitMillis, undefined, { signal: this.#options.signal }).catch(() => {});
        waitMillis = Math.min(2 * waitMillis, MAX_WAIT_MILLIS);
        this.#options.listener.onAgain?.();
      }
    }
  }
}

/** A listener that tells another one, but for what is changed. */
const changed = (listener: CopyListener, changes: ReceiveListener): ReceiveListener => ({
  onTotal: (files, bytes) => listener.onTotal?.(files, bytes),
  onBytes: (bytes, isNew) => listener.onBytes?.(bytes, isNew),
  onStored: (path, bytes) => listener.onStored?.(path, bytes),
  onFailed: (path, reason) => listener.onFailed?.(path, reason),
  onSkipped: (path, reason) => listener.onSkipped?.(path, reason),
  ...changes,
});

/**
 * Tells what it hears of files below `base`, so that what several sources have in common keeps apart. A file is told to be stored once:
 * a copy that begins anew finds what it had stored before.
 */
const named = (listener: CopyListener, base: string, stored: Set<string>): CopyListener =>
  changed(listener, {
    onStored: (path, bytes) => {
      if (!stored.has(path)) listener.onStored?.(joinPath(base, path), bytes);
      stored.add(path);
    },
    onFailed: (path, reason) => listener.onFailed?.(joinPath(base, path), reason),
    onSkipped: (path, reason) => listener.onSkipped?.(joinPath(base, path), reason),
  });

const LOSSES: readonly string[] = [
  'ERR_RDMA_CONNECTION_LOST',
  'ERR_RDMA_TIMEOUT',
  'ERR_RDMA_COMPLETION',
  'ERR_RDMA_OUTCOME_UNKNOWN',
  'ERR_RDMA_UNREACHABLE',
  'ERR_RDMA_CLOSED',
];

const isLoss = (error: unknown): error is RdmaError =>
  error instanceof RdmaError && (error.retryable || LOSSES.includes(error.code));

/** A path of a share as a person typed it. @throws WrongArguments */
export function sharePath(text: string): string {
  const path = typedPath(text);
  const fault = pathFault(path);
  if (fault !== undefined) throw new WrongArguments(`${text}: ${fault}`);
  return path;
}
