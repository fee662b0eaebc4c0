/**
 * One connection after the other, for programs that say themselves how to go on at a server that knows nothing of what was:
 * connects, hands the connection out, and when the program asks for the next one ends it and connects again.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { asRdmaError, RdmaError } from '../../verbs/errors.js';
import { ReconnectPace } from '../lifeline/reconnect-pace.js';
import type { ConnectOptions } from '../options/connect-options.js';
import type { Connection } from '../program/connection.js';
import { connect } from './client.js';

/**
 * Connections with the same options, each after the one before has ended:
 *
 *     for await (const connection of reconnecting({ hosts, ca, cert, key })) {
 *       try {
 *         await work(connection); // from where the program knows that it was
 *         break;
 *       } catch (error) {
 *         if (!error.retryable) throw error;
 *       }
 *     }
 *
 * A connection that is left, by whatever way, is closed in order. Failures to connect that may pass are tried again, after pauses
 * that grow to half a minute; `signal` ends the waiting.
 *
 * @throws RdmaError of `connect`, where another try makes no sense (`retryable`), ERR_RDMA_ABORTED.
 */
export async function* reconnecting(
  options: ConnectOptions = {},
): AsyncGenerator<Connection, void, undefined> {
  const pace = new ReconnectPace();
  for (let isFirst = true; ; isFirst = false) {
    if (!isFirst) await pause(pace.pauseMillis(Math.random), options.signal);
    let connection: Connection;
    try {
      connection = await connect(options);
    } catch (error) {
      if (!asRdmaError(error, 'connecting failed').retryable) throw error;
      pace.failed();
      continue;
    }
    pace.connected(performance.now());
    try {
      yield connection;
    } finally {
      await connection.close();
    }
    pace.ended(performance.now());
  }
}

async function pause(millis: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(millis, undefined, signal === undefined ? {} : { signal });
  } catch (cause) {
    throw new RdmaError('ERR_RDMA_ABORTED', 'connecting again was aborted', {
      cause: signal?.reason ?? cause,
    });
  }
}
