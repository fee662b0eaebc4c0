/** The place of one connection in a worker: hands what the worker says of it to those in the main thread whom it is for. */
import { fromPlainError, RdmaError } from '../../verbs/errors.js';
import type { SessionEnds } from '../lifeline/connection-life.js';
import type { Lifeline } from '../lifeline/lifeline.js';
import type { Connection, ConnectionOwner } from '../program/connection.js';
import type { OnMistake } from '../program/handler.js';
import type { Place, PlaceOrder } from '../program/serving-host.js';
import type { Counted, FromWorker, ToWorker } from './contract.js';
import { DistantConnection } from './distant-connection.js';
import { WorkerPlane } from './worker-plane.js';

export class DistantPlace implements Place {
  readonly plane: WorkerPlane;
  readonly #order: PlaceOrder;
  readonly #post: (message: ToWorker) => void;
  readonly #onFree: () => void;
  #lifeline: Lifeline | undefined;
  #connection: DistantConnection | undefined;
  #onMistake: OnMistake | undefined;
  /** What diagnostics call the server. */
  #server = '';

  constructor(order: PlaceOrder, post: (message: ToWorker) => void, onFree: () => void) {
    this.#order = order;
    this.#post = post;
    this.#onFree = onFree;
    const { id, limits } = order;
    this.plane = new WorkerPlane({ id, post, encrypts: limits.encryption !== undefined });
    post({ type: 'begin', id, limits: { ...limits, sharesBuffer: true } });
  }

  bind(lifeline: Lifeline): void {
    this.#lifeline = lifeline;
    const { id } = this.#order;
    void lifeline.closed.then((error) => {
      this.#post({ type: 'ended', id, error: error?.toJSON() });
      this.#onFree();
    });
  }

  connection(lifeline: Lifeline, owner: ConnectionOwner): Connection {
    const { id, limits } = this.#order;
    const { plane } = this;
    const post = this.#post;
    const connection = new DistantConnection({
      id,
      lifeline,
      plane,
      limits,
      owner,
      tell: (what) => post({ type: 'tell', id, what }),
    });
    this.#connection = connection;
    this.#server = owner.note?.server ?? '';
    const here = lifeline.listener;
    lifeline.listener = {
      onReconnecting(cause) {
        here?.onReconnecting(cause);
        post({ type: 'reconnecting', id, cause: cause.toJSON() });
      },
      onReconnected() {
        here?.onReconnected();
        post({ type: 'reconnected', id, ends: endsOf(lifeline) });
      },
      onParted: () => post({ type: 'parted', id }),
      onClosed: (error) => here?.onClosed(error),
    };
    return connection;
  }

  serve(connection: Connection, onMistake: OnMistake): void {
    this.#onMistake = onMistake;
    const lifeline = this.#lifeline;
    const terms = lifeline?.peerTerms;
    if (lifeline === undefined || terms === undefined) return;
    const { id } = this.#order;
    const { isEncrypted, session } = connection;
    this.#post({
      type: 'serve',
      id,
      served: { server: this.#server, ends: endsOf(lifeline), session, terms, isEncrypted },
    });
  }

  /** What the worker says of this connection. */
  onMessage(message: FromWorker): void {
    switch (message.type) {
      case 'step':
        this.#order.reporter.report(message.name, message.details);
        break;
      case 'granted':
        this.#connection?.grantedInWorker(message.grant);
        break;
      case 'revoked':
        this.#connection?.revokedInWorker(message.grant, message.reason);
        break;
      case 'close':
        void this.#lifeline?.close();
        break;
      case 'abort':
        this.#lifeline?.abort(RdmaError.fromJSON(message.error));
        break;
      case 'mistake':
        if (this.#connection !== undefined)
          this.#onMistake?.(this.#connection, fromPlainError(message.error));
        break;
      case 'counted':
        this.count(message.counted);
        break;
      default:
        this.plane.onMessage(message);
    }
  }

  onAlive(hasProgressed: boolean): void {
    const { listener } = this.plane;
    if (hasProgressed) listener?.onProgress();
    else listener?.onSignOfLife();
  }

  onSpoken(): void {
    this.plane.listener?.onSpoken();
  }

  count(counted: Counted): void {
    this.#connection?.count(counted);
  }

  /** The worker is no more: so is the connection. */
  lose(error: RdmaError): void {
    this.#connection?.lose('the worker has died');
    this.#lifeline?.abort(error);
    this.plane.lose(error);
  }
}

function endsOf({ rendezvous }: Lifeline): SessionEnds {
  const { peer, remoteAddress, remotePort, localAddress, localPort } = rendezvous;
  return { peer, remoteAddress, remotePort, localAddress, localPort };
}
