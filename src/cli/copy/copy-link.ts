/** The messages of a copy over a connection. A peer that breaks the protocol ends the connection. */
import type { Connection } from '../../connection/program/connection.js';
import { asRdmaError, RdmaError } from '../../verbs/errors.js';
import {
  CopyFault,
  type CopyMessage,
  type CopyMessageOf,
  type CopyMessageType,
  MAX_SLOTS,
  readCopyMessage,
  writeCopyMessage,
} from './copy-wire.js';

export class CopyLink {
  readonly connection: Connection;

  constructor(connection: Connection) {
    this.connection = connection;
  }

  /** Resolves when the peer has it. A failure ends the connection, so that nobody has to wait for it. */
  send(message: CopyMessage): Promise<void> {
    const { tag, text } = writeCopyMessage(message);
    const sent = this.connection.send(text, { tag });
    sent.catch((error: unknown) => this.giveUp(error));
    return sent;
  }

  /** Something that the copy needs has failed. */
  giveUp(error: unknown): void {
    this.connection.abort(asRdmaError(error, 'a copy failed on an internal error'));
  }

  /** @throws RdmaError why the connection ended. */
  async receive(): Promise<CopyMessage> {
    const message = await this.connection.receive();
    if (message === undefined) {
      throw new RdmaError('ERR_RDMA_CONNECTION_LOST', 'the other side ended in the middle of a copy');
    }
    const read = readCopyMessage(message.tag, message.data);
    return typeof read === 'string' ? this.breach(read) : read;
  }

  /** The next message, which must be of this type, or the refusal of what was asked for. */
  async expect<Type extends CopyMessageType>(
    type: Type,
  ): Promise<CopyMessageOf<Type> | CopyMessageOf<'refused'>> {
    const message = await this.receive();
    if (message.type === type || message.type === 'refused') {
      return message as CopyMessageOf<Type> | CopyMessageOf<'refused'>;
    }
    return this.breach(CopyFault.OUT_OF_TURN);
  }

  /** @throws RdmaError ERR_RDMA_PROTOCOL */
  breach(fault: CopyFault): never {
    const error = new RdmaError('ERR_RDMA_PROTOCOL', `the other side broke the rules of copying: ${fault}`);
    this.connection.abort(error);
    throw error;
  }
}

/** The memory that this end lends its peer, in slots. */
export interface SlotPlan {
  readonly slots: number;
  readonly slotBytes: number;
}

/** Each costs messages and calls at both ends, however long it is. */
const SLOT_BYTES = 1024 * 1024;
const MIN_SLOTS = 4;

export function slotsOf(bytes: number): SlotPlan {
  const slotBytes = Math.max(1, Math.min(SLOT_BYTES, Math.floor(bytes / MIN_SLOTS)));
  return { slots: Math.min(MAX_SLOTS, Math.max(1, Math.floor(bytes / slotBytes))), slotBytes };
}

/** What a client and a server with `--share` lend unless they are told otherwise. */
export const COPY_BUFFER_BYTES = 8 * SLOT_BYTES;
