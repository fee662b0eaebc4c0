/** Makes the records of what a server has to answer for, and follows connections for them. */
import type { RdmaError } from '../../verbs/errors.js';
import { tell } from '../../verbs/listeners.js';
import type { AuditEvent, AuditListener, AuditSubject } from '../options/audit-record.js';
import type { Connection } from '../program/connection.js';
import { type ConnectionWatch, watchConnection } from '../program/connection-watch.js';
import type { Grant } from '../program/grant.js';
import type { Admitted } from './admission.js';

export class Audit {
  readonly #listener: AuditListener | undefined;

  constructor(listener: AuditListener | undefined) {
    this.#listener = listener;
  }

  record(subject: AuditSubject, event: AuditEvent): void {
    // A file that is full must not keep a client's slot.
    if (this.#listener !== undefined)
      tell(this.#listener, { time: new Date().toISOString(), ...subject, ...event });
  }

  /** Records the life of a connection, from now on to its end. */
  follow(connection: Connection, { slot, limits }: Pick<Admitted, 'slot' | 'limits'>): void {
    if (this.#listener === undefined) return;
    const { id, remoteAddress: address, peer, isEncrypted: encrypted } = connection;
    const subject = { connection: id, address, peer };
    const { bufferBytes, rights } = limits;
    this.record(subject, { event: 'connected', slot, bufferBytes, rights, encrypted });
    // Not by its events: programs may remove every listener.
    watchConnection(connection, new Followed(this, subject));
  }
}

class Followed implements ConnectionWatch {
  readonly #audit: Audit;
  readonly #subject: AuditSubject;

  constructor(audit: Audit, subject: AuditSubject) {
    this.#audit = audit;
    this.#subject = subject;
  }

  onReconnected(): void {
    this.#audit.record(this.#subject, { event: 'recovered' });
  }

  onGranted({ id: grant, remote, rights }: Grant): void {
    this.#audit.record(this.#subject, { event: 'granted', grant, bytes: remote.length, rights });
  }

  onRevoked({ id: grant }: Grant, reason: string): void {
    this.#audit.record(this.#subject, { event: 'revoked', grant, reason });
  }

  onClosed(error: RdmaError | undefined): void {
    const code = error?.code ?? null;
    this.#audit.record(this.#subject, { event: 'ended', code, reason: error?.message ?? null });
  }
}
