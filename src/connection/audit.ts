/** Makes the records of what a server has to answer for, and follows connections for them. */
import type { Admitted } from './admission.js';
import type { AuditEvent, AuditListener, AuditSubject } from './audit-record.js';
import type { Connection } from './connection.js';
import { watchConnection } from './connection-watch.js';

export class Audit {
  readonly #listener: AuditListener | undefined;

  constructor(listener: AuditListener | undefined) {
    this.#listener = listener;
  }

  record(subject: AuditSubject, event: AuditEvent): void {
    this.#listener?.({ time: new Date().toISOString(), ...subject, ...event });
  }

  /** Records the life of a connection, from now on to its end. */
  follow(connection: Connection, { slot, limits }: Pick<Admitted, 'slot' | 'limits'>): void {
    const { id, remoteAddress: address, peer, isEncrypted: encrypted } = connection;
    const subject = { connection: id, address, peer };
    const { bufferBytes, rights } = limits;
    this.record(subject, { event: 'connected', slot, bufferBytes, rights, encrypted });
    // Not by its events: programs may remove every listener.
    watchConnection(connection, {
      onReconnected: () => this.record(subject, { event: 'recovered' }),
      onGranted: ({ id: grant, remote, rights }) =>
        this.record(subject, { event: 'granted', grant, bytes: remote.length, rights }),
      onRevoked: ({ id: grant }, reason) => this.record(subject, { event: 'revoked', grant, reason }),
    });
    void connection.closed.then((error) => {
      const code = error?.code ?? null;
      this.record(subject, { event: 'ended', code, reason: error?.message ?? null });
    });
  }
}
