/**
 * Gives clients that were let in what they came for: a place, a lifeline that is up, a connection and its handler; and takes
 * everything back when that has ended.
 *
 * Invariants: however a client ends, its objects, its place and its slot are freed, and no other client notices. What is kept of a
 * connection that is up is a `ServedClient`, and no function that waits.
 */
import { ProcessHold } from '../../process-hold.js';
import { asRdmaError, RdmaError } from '../../verbs/errors.js';
import { Attendance } from '../common/attendance.js';
import { StepName, StepReporter } from '../common/steps.js';
import { Lifeline } from '../lifeline/lifeline.js';
import { internalRefusal, Refused } from '../lifeline/refused.js';
import type { Rendezvous } from '../lifeline/rendezvous.js';
import type { Resumptions } from '../lifeline/resumption.js';
import type { Connection } from '../program/connection.js';
import { watchConnection } from '../program/connection-watch.js';
import type { Place, ServingHost } from '../program/serving-host.js';
import type { RecoveryLimits } from '../terms/options.js';
import type { Admission } from './admission.js';
import type { Arrival } from './reception.js';
import { ServedClient } from './served-client.js';
import type { ServerNews } from './server-news.js';

export interface ClientServiceOptions {
  readonly host: ServingHost;
  readonly admission: Admission;
  readonly resumptions: Resumptions;
  readonly news: ServerNews;
  readonly limits: RecoveryLimits;
}

export class ClientService {
  readonly connections = new Set<Connection>();
  /** Sessions; that of a client with a slot counts until the slot is free again. */
  readonly attendance = new Attendance();
  readonly #options: ClientServiceOptions;
  #lastId = 0;

  constructor(options: ClientServiceOptions) {
    this.#options = options;
  }

  /** Ends when the connection is up; `#onClosed` has the rest. The client is counted already. */
  async serve({ rendezvous, admitted }: Arrival): Promise<void> {
    const { news, resumptions, limits } = this.#options;
    const reporter = new StepReporter(++this.#lastId, news.onStep);
    const point = resumptions.create();
    const client = new ServedClient(this.#onClosed, rendezvous, admitted, reporter, point, limits);
    reporter.report(StepName.TLS, { peer: rendezvous.remoteAddress, slot: admitted.slot });
    try {
      if (await this.#bringUp(client, rendezvous)) return;
    } catch (error) {
      await this.#release(client);
      throw error;
    }
    await this.#release(client);
  }

  /** The server is closing: connections that never were up do not wait for their clients any more. */
  giveUpAwaiting(): void {
    this.#options.resumptions.close(new RdmaError('ERR_RDMA_CLOSED', 'the server is closing'));
  }

  /** Returns whether there is a connection now. */
  async #bringUp(client: ServedClient, rendezvous: Rendezvous): Promise<boolean> {
    const { news } = this.#options;
    const { reporter, admitted } = client;
    const place = await this.#place(client, rendezvous);
    if (place === undefined) return false;
    client.dataPath = place.plane;
    const lifeline = new Lifeline(rendezvous, client);
    client.point.lifeline = lifeline;
    place.bind(lifeline);
    try {
      await lifeline.establish();
    } catch (error) {
      client.failure = asRdmaError(error, 'the session was not established');
      this.#turnAway(rendezvous, client.failure);
      return false;
    }
    const owner = { hold: new ProcessHold(), note: news.note(reporter.connection) };
    const connection = place.connection(lifeline, owner);
    client.connection = connection;
    client.rendezvous = null;
    news.connected(connection, admitted);
    watchConnection(connection, client);
    this.connections.add(connection);
    news.handedOut(connection);
    place.serve(connection, news.onMistake);
    return true;
  }

  /** `undefined` when there is none: the client has been told. */
  async #place({ reporter, admitted }: ServedClient, rendezvous: Rendezvous): Promise<Place | undefined> {
    try {
      const order = { id: reporter.connection, limits: admitted.limits, reporter };
      return await this.#options.host.place(order);
    } catch (error) {
      const refused = error instanceof Refused ? error : internalRefusal(error);
      this.#turnAway(rendezvous, refused);
      rendezvous.fail(refused, refused.answer);
      return undefined;
    }
  }

  #turnAway(rendezvous: Rendezvous, error: RdmaError): void {
    const { news, admission } = this.#options;
    news.turnedAway(rendezvous, error, admission.isClosed);
  }

  readonly #onClosed = async (
    client: ServedClient,
    connection: Connection,
    error: RdmaError | undefined,
  ): Promise<void> => {
    // The program hears of the connection itself first.
    await null;
    this.connections.delete(connection);
    this.#options.news.disconnected(connection, error);
    client.failure = error;
    await this.#release(client);
  };

  /** The rendezvous goes before the slot, as the last thing that a client holds. Idempotent. */
  async #release(client: ServedClient): Promise<void> {
    if (client.isReleased) return;
    client.isReleased = true;
    const { resumptions, admission } = this.#options;
    const { point, rendezvous, admitted, reporter } = client;
    resumptions.delete(point, client.failure);
    await rendezvous?.close();
    admission.release(admitted);
    reporter.report(StepName.SLOT_FREED, { slot: admitted.slot });
    this.attendance.leave();
  }
}
