/**
 * `grant` of a connection: checks what the program gives, asks the data plane, and hands out a grant that knows when it is
 * over. The data plane knows grants by the numbers that they have here.
 *
 * Invariant: of each grant that a program got it is told once that it is over, and of no other.
 */
import { closedError, usageError } from '../../verbs/errors.js';
import { bytesOf, type Memory, mayShrink } from '../common/memory-argument.js';
import type { ProgramPlane } from '../data-path/data-plane.js';
import { RemoteBuffer } from '../memory/remote-buffer.js';
import { checkGrant } from './call-rules.js';
import { Grant, type GrantOptions } from './grant.js';

export interface GrantHost {
  /** Nothing new is begun any more. */
  readonly isEnding: boolean;
  onGranted(grant: Grant): void;
  onRevoked(grant: Grant, reason: string): void;
}

/** A grant that was asked for and is not over. */
interface Asked {
  /** Until the data plane has answered there is none. */
  grant: Grant | undefined;
  /** Why it is over, told before it was answered. */
  reason: string | undefined;
  resolveEnded: (reason: string) => void;
}

export class GrantAccess {
  readonly #host: GrantHost;
  readonly #plane: Pick<ProgramPlane, 'grant' | 'revoke'>;
  readonly #asked = new Map<number, Asked>();
  #lastId = 0;

  constructor(host: GrantHost, plane: Pick<ProgramPlane, 'grant' | 'revoke'>) {
    this.#host = host;
    this.#plane = plane;
  }

  /** @throws RdmaError as `Connection.grant`. */
  async grant(memory: Memory, options: GrantOptions): Promise<Grant> {
    checkGrant(options);
    const bytes = bytesOf(memory, 'buffer');
    if (mayShrink(bytes))
      throw usageError('buffer must be memory of a fixed size: the peer may use all of it');
    const plane = this.#plane;
    if (this.#host.isEnding) throw closedError('the connection');
    const { read = false, write = false, expires } = options;
    const id = ++this.#lastId;
    const asked: Asked = { grant: undefined, reason: undefined, resolveEnded: () => {} };
    const ended = new Promise<string>((resolve) => {
      asked.resolveEnded = resolve;
    });
    this.#asked.set(id, asked);
    const expiresAtMillis = expires?.getTime() ?? null;
    const granted = await plane.grant(id, bytes, { read, write, expiresAtMillis }).catch((error: unknown) => {
      this.#asked.delete(id);
      throw error;
    });
    const remote = new RemoteBuffer(granted.addr, granted.rkey, granted.length);
    const revoke = (reason: string): Promise<void> => plane.revoke(id, reason);
    const grant = new Grant({ id, rights: { read, write }, remote, expires, ended, revoke });
    asked.grant = grant;
    this.#host.onGranted(grant);
    if (asked.reason !== undefined) this.onEnded(id, asked.reason);
    return grant;
  }

  /** The data plane tells that a grant is over. */
  onEnded(id: number, reason: string): void {
    const asked = this.#asked.get(id);
    if (asked === undefined) return;
    if (asked.grant === undefined) {
      asked.reason = reason;
      return;
    }
    this.#asked.delete(id);
    this.#host.onRevoked(asked.grant, reason);
    asked.resolveEnded(reason);
  }
}
