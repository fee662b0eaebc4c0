/**
 * What a connection has for its program beside messages: streams, grants, reads and writes. It is told what the lifeline and the
 * data plane tell, and tells watchers and the program.
 *
 * What most programs do not use is made when it is used: thousands of connections wait for a message and do nothing else.
 */
import type { EventEmitter } from 'node:events';
import type { ProcessHold } from '../../process-hold.js';
import type { RdmaError } from '../../verbs/errors.js';
import { announce } from '../../verbs/listeners.js';
import type { ProgramListener, ProgramPlane } from '../data-path/data-plane.js';
import type { ConnectionLife, LifelineListener } from '../lifeline/connection-life.js';
import type { StreamId } from '../streams/stream-table.js';
import type { ConnectionEvents } from './connection-events.js';
import type { ConnectionStream } from './connection-stream.js';
import { tellWatches } from './connection-watch.js';
import type { Grant } from './grant.js';
import { GrantAccess, type GrantHost } from './grant-access.js';
import { RemoteAccess } from './remote-access.js';
import { StreamAccess, type StreamHost } from './stream-access.js';

export class ProgramSide implements LifelineListener, ProgramListener, StreamHost, GrantHost {
  recoveries = 0;
  readonly #connection: EventEmitter<ConnectionEvents>;
  readonly #life: ConnectionLife;
  readonly #plane: ProgramPlane;
  #streams: StreamAccess | null = null;
  /** Number of the last stream that the peer takes. */
  #lastStream: number;
  #refusesStreams = false;
  #grants: GrantAccess | null = null;
  #remote: RemoteAccess | null = null;
  readonly #hold: ProcessHold;
  #hasClosed = false;

  /** It ends `hold`. */
  constructor(
    connection: EventEmitter<ConnectionEvents>,
    life: ConnectionLife,
    plane: ProgramPlane,
    hold: ProcessHold,
  ) {
    this.#hold = hold;
    this.#connection = connection;
    this.#life = life;
    this.#plane = plane;
    this.#lastStream = life.peerTerms?.streams.open ?? 0;
    // Whoever has just got the connection has time to listen.
    process.nextTick(() => plane.listenToStreams());
  }

  /** Nothing new is begun any more. */
  get isEnding(): boolean {
    return this.#life.isEnding;
  }

  get streams(): StreamAccess {
    this.#streams ??= new StreamAccess(this, this.#plane, this.#lastStream, this.#refusesStreams);
    return this.#streams;
  }

  /** Takes no more streams of the peer. */
  refuseStreams(): void {
    this.#refusesStreams = true;
    this.#streams?.refuse();
  }

  /** The connection is about to end in order: what was written until now shall reach the peer first. */
  closeStreams(): void {
    this.refuseStreams();
    this.#streams?.close();
  }

  get grants(): GrantAccess {
    this.#grants ??= new GrantAccess(this, this.#plane);
    return this.#grants;
  }

  get remote(): RemoteAccess {
    this.#remote ??= new RemoteAccess(this, this.#plane);
    return this.#remote;
  }

  get writes(): number {
    return this.#remote?.writes ?? 0;
  }

  get reads(): number {
    return this.#remote?.reads ?? 0;
  }

  // --- what its parts tell --------------------------------------------------------------------------------------------

  onGranted(grant: Grant): void {
    tellWatches(this.#connection, (watch) => watch.onGranted?.(grant));
    announce(() => this.#connection.emit('granted', grant));
  }

  onRevoked(grant: Grant, reason: string): void {
    tellWatches(this.#connection, (watch) => watch.onRevoked?.(grant, reason));
    announce(() => this.#connection.emit('revoked', grant, reason));
  }

  onStream(stream: ConnectionStream): boolean {
    // It is told in a tick of its own, so that what a listener throws stops nothing.
    return this.#connection.emit('stream', stream);
  }

  // --- what the lifeline tells ----------------------------------------------------------------------------------------

  onReconnecting(cause: RdmaError): void {
    tellWatches(this.#connection, (watch) => watch.onReconnecting?.(cause));
    announce(() => this.#connection.emit('reconnecting', cause));
  }

  onReconnected(): void {
    this.recoveries++;
    tellWatches(this.#connection, (watch) => watch.onReconnected?.());
    announce(() => this.#connection.emit('reconnected'));
  }

  onClosed(error: RdmaError | undefined): void {
    if (this.#hasClosed) return;
    this.#hasClosed = true;
    this.#hold.end();
    tellWatches(this.#connection, (watch) => watch.onClosed?.(error));
    announce(() => this.#connection.emit('closed', error));
  }

  // --- what the data plane tells --------------------------------------------------------------------------------------

  onGrantEnded(id: number, reason: string): void {
    this.#grants?.onEnded(id, reason);
  }

  onStreamOpened(id: StreamId): void {
    this.streams.onStreamOpened(id);
  }

  onStreamBytes(id: StreamId, bytes: Uint8Array, isLast: boolean): void {
    this.#streams?.onStreamBytes(id, bytes, isLast);
  }

  onStreamReset(id: StreamId, code: number, isWhole: boolean): void {
    this.#streams?.onStreamReset(id, code, isWhole);
  }

  onStreamLimit(last: number): void {
    this.#lastStream = Math.max(this.#lastStream, last);
    this.#streams?.onStreamLimit(last);
  }

  onStreamsEnded(error: RdmaError, isInOrder: boolean): void {
    this.#streams?.onStreamsEnded(error, isInOrder);
  }
}
