/** Memory that the peer may use until it is told otherwise, as the program that granted it sees it. */
import { usageError } from '../../verbs/errors.js';
import { nameOf } from '../../verbs/option-check.js';
import type { RemoteBuffer } from '../memory/remote-buffer.js';
import type { MemoryRights } from '../terms/options.js';

export interface GrantOptions {
  /** The peer may read. Default false. */
  readonly read?: boolean;
  /** The peer may write. Default false. */
  readonly write?: boolean;
  /** When the grant ends by itself. Default: with the connection. */
  readonly expires?: Date;
}

export interface GrantParts {
  readonly id: number;
  readonly rights: MemoryRights;
  readonly remote: RemoteBuffer;
  readonly expires: Date | undefined;
  readonly ended: Promise<string>;
  /** Resolves when the grant is over. */
  readonly revoke: (reason: string) => Promise<void>;
}

export class Grant implements AsyncDisposable {
  /** Unique in its connection. */
  readonly id: number;
  readonly rights: MemoryRights;
  /** What the peer needs: send it `remote.encode()`, which the peer gives to `RemoteBuffer.decode`. */
  readonly remote: RemoteBuffer;
  readonly expires: Date | undefined;
  /** Resolves when the grant is over, with the reason. */
  readonly ended: Promise<string>;
  readonly #revoke: (reason: string) => Promise<void>;

  /** Made by `Connection.grant`. */
  constructor({ id, rights, remote, expires, ended, revoke }: GrantParts) {
    this.id = id;
    this.rights = rights;
    this.remote = remote;
    this.expires = expires;
    this.ended = ended;
    this.#revoke = revoke;
  }

  /**
   * Takes the memory back: what the peer asks for from now on gets a remote access error. Idempotent.
   *
   * @throws RdmaError ERR_RDMA_INVALID_ARGUMENT for a reason that is no text.
   */
  async revoke(reason = 'revoked'): Promise<void> {
    if (typeof reason !== 'string') throw usageError(`reason must be a text, not ${nameOf(reason)}`);
    await this.#revoke(reason);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.revoke();
  }
}
