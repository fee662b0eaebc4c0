/**
 * A connection to one of several servers: those that the program names or DNS does, one after the other in the order of
 * server-order.ts, until one takes it.
 *
 * Invariants: what is wrong on this side (a certificate, a device, an option) is told at once, not tried again elsewhere. Each
 * server is verified by its own handshake. A connection that is up stays where it is: only that server knows it.
 */
import type { LookupFunction } from 'node:net';
import { asRdmaError, type ConnectAttempt, RdmaError } from '../../verbs/errors.js';
import type { ConnectOptions } from '../options/connect-options.js';
import { type Candidate, candidateName, candidateOf } from '../options/server-address.js';
import { domainOf, lookUpService, lookupBy } from '../options/service-records.js';
import type { Connection } from '../program/connection.js';
import { DEFAULT_HANDSHAKE_DEADLINE_MILLIS, DEFAULT_PORT } from '../terms/options.js';
import { orderServers, ServerHealth } from './server-order.js';

/** Servers of a service that one call tries: DNS may name thousands, also one that means harm. The next call tries others first. */
const MOST_OF_SERVICE = 32;
/** Of those that failed; all are in `attempts`. */
const TOLD_ATTEMPTS = 4;

/** Of the whole process: that a server fails is a fact of the world, whoever found it out. */
const health = new ServerHealth();

/** Where a connection goes, and by which name the certificate there is checked. */
export interface Place {
  readonly host: string;
  readonly port: number;
  readonly servername?: string;
  readonly lookup?: LookupFunction;
}

/**
 * @throws RdmaError ERR_RDMA_NO_SERVER where none of several took it; of one alone, and of what is wrong here, the error itself.
 */
export async function connectToAny(
  options: ConnectOptions,
  connectTo: (place: Place) => Promise<Connection>,
): Promise<Connection> {
  const servers = await serversOf(options);
  const restsUntil = (server: Candidate): number => health.restsUntil(candidateName(server));
  const attempts: ConnectAttempt[] = [];
  const order = orderServers(servers, restsUntil, performance.now(), Math.random);
  const most = options.srv === undefined ? order.length : MOST_OF_SERVICE;
  for (const server of order.slice(0, most)) {
    const name = candidateName(server);
    try {
      const connection = await connectTo(placeOf(options, server));
      watch(connection, name);
      return connection;
    } catch (failure) {
      const error = asRdmaError(failure, 'connecting failed');
      if (!isOfServer(error)) throw error;
      noteFailure(name);
      attempts.push({ server: name, error });
    }
  }
  throw noServer(attempts, Math.max(0, order.length - most));
}

async function serversOf(options: ConnectOptions): Promise<readonly Candidate[]> {
  const { hosts = [], srv, resolver, signal } = options;
  if (srv === undefined) return hosts.map((given) => candidateOf(given, options.port ?? DEFAULT_PORT));
  const timeoutMillis = options.handshakeDeadlineMillis ?? DEFAULT_HANDSHAKE_DEADLINE_MILLIS;
  return await lookUpService(srv, { resolver, timeoutMillis, signal });
}

/** Where DNS named the server, the name that the program gave counts, not the one that DNS said. */
function placeOf({ servername, srv, resolver }: ConnectOptions, { host, port }: Candidate): Place {
  const name = servername ?? (srv === undefined ? undefined : domainOf(srv));
  return {
    host,
    port,
    ...(name === undefined ? {} : { servername: name }),
    ...(resolver === undefined ? {} : { lookup: lookupBy(resolver) }),
  };
}

/** A server that takes connections and loses them is no better than one that takes none. */
function watch(connection: Connection, server: string): void {
  health.noteSuccess(server);
  void connection.closed.then((error) => {
    if (error !== undefined && isOfServer(error)) noteFailure(server);
  });
}

const noteFailure = (server: string): void => health.noteFailure(server, performance.now(), Math.random);

/** Whether another server may do better: what is wrong here is wrong for all of them. */
const isOfServer = ({ fault }: RdmaError): boolean => fault === 'network' || fault === 'peer';

function noServer(attempts: readonly ConnectAttempt[], untried: number): RdmaError {
  const [first] = attempts;
  if (first !== undefined && attempts.length === 1) return first.error;
  const told = attempts.slice(0, TOLD_ATTEMPTS).map(({ server, error }) => `${server}: ${error.message}`);
  const more = attempts.length - told.length;
  const rest = more === 0 ? '' : `; and ${more} more`;
  const left = untried === 0 ? '' : `, and ${untried} that DNS named as well were not tried`;
  const message = `none of ${attempts.length} servers took the connection (${told.join('; ')}${rest})${left}`;
  const cause = attempts.at(-1)?.error;
  return new RdmaError('ERR_RDMA_NO_SERVER', message, {
    attempts,
    cause,
    ...(untried === 0 ? {} : { untried }),
  });
}
