/**
 * The server's end of copies: answers what clients ask for of one shared directory. Who may ask is decided before, by the
 * certificates of the session.
 */
import type { FileHandle } from 'node:fs/promises';
import type { Message } from '../../connection/messages/message-inbox.js';
import type { Connection } from '../../connection/program/connection.js';
import { RdmaError } from '../../verbs/errors.js';
import { CopyLink, slotsOf } from './copy-link.js';
import { joinPath } from './copy-path.js';
import { CopyFault, type CopyMessageOf, readCopyMessage, shortReason } from './copy-wire.js';
import { Place, specialKind } from './place.js';
import { why } from './place-error.js';
import { type ReceiveListener, receiveTree } from './receive-tree.js';
import { sendTree, totalOf } from './send-tree.js';

export interface CopyReport {
  readonly client: number;
  readonly want: 'get' | 'put';
  readonly path: string;
  readonly files: number;
  readonly bytes: number;
  readonly failed: number;
  readonly skipped: number;
  /** Why nothing was copied. */
  readonly refused: string | null;
}

/** Where nothing is shared. */
export const refuseCopy = (connection: Connection): Promise<void> =>
  new CopyLink(connection).send({
    type: 'refused',
    reason: 'this server shares nothing: start it with --share DIR',
  });

export class Share {
  readonly #place: Place;
  readonly #isWritable: boolean;
  readonly #tell: (report: CopyReport) => void;

  /** @throws PlaceError when it is no directory. */
  static async open(
    directory: string,
    isWritable: boolean,
    tell: (report: CopyReport) => void,
  ): Promise<Share> {
    return new Share(await Place.at(directory), isWritable, tell);
  }

  private constructor(place: Place, isWritable: boolean, tell: (report: CopyReport) => void) {
    this.#place = place;
    this.#isWritable = isWritable;
    this.#tell = tell;
  }

  /**
   * Carries out the copy that begins with this message; then the next message is the client's.
   *
   * @throws RdmaError when the connection ends, or the client breaks the protocol.
   */
  async serve(connection: Connection, message: Message): Promise<void> {
    const link: CopyLink = new CopyLink(connection);
    const open = readCopyMessage(message.tag, message.data);
    if (typeof open === 'string') link.breach(open);
    if (open.type !== 'open') link.breach(CopyFault.OUT_OF_TURN);
    const { want, path } = open;
    const counts = { files: 0, bytes: 0, failed: 0, skipped: 0 };
    const listener: ReceiveListener = {
      onStored: (_, bytes) => {
        counts.files++;
        counts.bytes += bytes;
      },
      onFailed: () => counts.failed++,
      onSkipped: () => counts.skipped++,
    };
    const report = (refused: string | null): void =>
      this.#tell({ client: connection.id, want, path, ...counts, refused });
    const found = await this.#lookFor(want, path);
    if (found.refusal !== undefined) {
      report(found.refusal);
      await link.send({ type: 'refused', reason: shortReason(found.refusal) });
      return;
    }
    const own = slotsOf(connection.buffer.length);
    await link.send({ type: 'opened', found: found.kind, ...own });
    try {
      if (want === 'put') await receiveTree(link, own, this.#place, path, listener);
      else {
        await link.send(await this.#total(connection, path));
        const openFile = (below: string): Promise<FileHandle> => this.#place.open(joinPath(path, below));
        await sendTree(link, open, { entries: this.#place.walk(path), open: openFile }, listener);
      }
    } finally {
      report(null);
    }
  }

  /** Nobody waits for it when the connection has ended. */
  async #total(connection: Connection, path: string): Promise<CopyMessageOf<'total'>> {
    let hasEnded = false;
    const onClosed = (): void => {
      hasEnded = true;
    };
    connection.once('closed', onClosed);
    try {
      return await totalOf(this.#place.walk(path), () => {
        if (hasEnded)
          throw new RdmaError('ERR_RDMA_CONNECTION_LOST', 'the client left before its copy began');
      });
    } finally {
      connection.off('closed', onClosed);
    }
  }

  async #lookFor(
    want: 'get' | 'put',
    path: string,
  ): Promise<
    | { readonly refusal: string }
    | { readonly refusal?: never; readonly kind: 'nothing' | 'file' | 'directory' }
  > {
    if (want === 'put' && !this.#isWritable) {
      return { refusal: 'the share is read-only; the server allows changes with --share-writable' };
    }
    try {
      const found = await this.#place.look(path);
      if (found === undefined) {
        return want === 'put' ? { kind: 'nothing' } : { refusal: `${path} does not exist` };
      }
      if (found.isFile()) return { kind: 'file' };
      if (found.isDirectory()) return { kind: 'directory' };
      return { refusal: `${path} ${specialKind(found)}` };
    } catch (error) {
      return { refusal: why(error) };
    }
  }
}
