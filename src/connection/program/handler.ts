/**
 * What serves one client: a function of the program, or the default export of a module. It runs in the main thread or in a
 * worker, the same way in both.
 */
import { RdmaError, thrownText, usageError } from '../../verbs/errors.js';
import { nameOf } from '../../verbs/option-check.js';
import type { Connection } from './connection.js';
import { type ConnectionWatch, watchConnection } from './connection-watch.js';

/**
 * Serves one client, usually as an async function. When it returns or what it returned resolves, the connection is closed; when
 * it throws, it is aborted.
 */
export type ConnectionHandler = (connection: Connection) => unknown;

/**
 * Loads the module at `address`.
 *
 * @throws RdmaError ERR_RDMA_INVALID_ARGUMENT when it cannot be loaded, or exports no function as its default.
 */
export async function loadHandler(address: string): Promise<ConnectionHandler> {
  let module: { readonly default?: unknown };
  try {
    module = (await import(address)) as typeof module;
  } catch (cause) {
    throw new RdmaError(
      'ERR_RDMA_INVALID_ARGUMENT',
      `the handler module ${address} cannot be loaded: ${thrownText(cause)}`,
      { cause },
    );
  }
  const handler = module.default;
  if (typeof handler === 'function') return handler as ConnectionHandler;
  throw usageError(
    `the handler module ${address} must export a function as its default, not ${nameOf(handler)}`,
  );
}

/** Gets what a handler threw, unless that was the connection's own failure. */
export type OnMistake = (connection: Connection, error: unknown) => void;

/**
 * Has `handler` serve `connection`, and ends that as the handler ends. Nobody waits for the handler: one that ignores the end of
 * its connection keeps nothing.
 */
export function serveBy(handler: ConnectionHandler, connection: Connection, onMistake: OnMistake): void {
  const serving = new Serving(connection, onMistake);
  watchConnection(connection, serving);
  let served: unknown;
  try {
    served = handler(connection);
  } catch (error) {
    // Later, as that of a handler that rejects.
    served = Promise.reject(error);
  }
  Promise.resolve(served).then(
    () => serving.onReturned(),
    (error: unknown) => serving.onThrown(error),
  );
}

/** A handler at work. */
class Serving implements ConnectionWatch {
  readonly #connection: Connection;
  readonly #onMistake: OnMistake;
  #hasEnded = false;

  constructor(connection: Connection, onMistake: OnMistake) {
    this.#connection = connection;
    this.#onMistake = onMistake;
  }

  onClosed(): void {
    this.#hasEnded = true;
  }

  onReturned(): void {
    void this.#connection.close();
  }

  onThrown(error: unknown): void {
    // What a handler gets from a connection that is gone is no fault of the handler.
    const ownFailure = this.#hasEnded || (error instanceof RdmaError && !isMisuse(error));
    if (!ownFailure) this.#onMistake(this.#connection, error);
    const failure =
      error instanceof RdmaError ? error : new RdmaError('ERR_RDMA_ABORTED', 'the handler failed');
    this.#connection.abort(failure);
  }
}

/** The handler called something wrongly: its own bug, although the error is ours. */
const isMisuse = ({ code }: RdmaError): boolean =>
  code === 'ERR_RDMA_INVALID_ARGUMENT' || code === 'ERR_RDMA_INVALID_STATE' || code === 'ERR_RDMA_INTERNAL';
