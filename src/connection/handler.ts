/**
 * What serves one client: a function of the program, or the default export of a module. It runs in the main thread or in a
 * worker, the same way in both.
 */
import { RdmaError, thrownText, usageError } from '../verbs/errors.js';
import { nameOf } from '../verbs/option-check.js';
import type { Connection } from './connection.js';

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

/**
 * Has `handler` serve `connection`, and ends that as the handler ends. Resolves then, or when the connection has ended: a
 * handler that ignores the end of its connection must not keep the slot. `onMistake` gets what the handler threw, unless
 * that was the connection's own failure.
 */
export async function serveBy(
  handler: ConnectionHandler,
  connection: Connection,
  onMistake: (error: unknown) => void,
): Promise<void> {
  let ended = false;
  void connection.closed.then(() => {
    ended = true;
  });
  // A handler that throws at once is one that rejects.
  const serve = async (): Promise<unknown> => handler(connection);
  const handled = serve().then(
    () => connection.close(),
    (error: unknown) => {
      // What a handler gets from a connection that is gone is no fault of the handler.
      const ownFailure = ended || (error instanceof RdmaError && !isMisuse(error));
      if (!ownFailure) onMistake(error);
      const failure =
        error instanceof RdmaError ? error : new RdmaError('ERR_RDMA_ABORTED', 'the handler failed');
      connection.abort(failure);
    },
  );
  await Promise.race([handled, connection.closed]);
}

/** The handler called something wrongly: its own bug, although the error is ours. */
const isMisuse = ({ code }: RdmaError): boolean =>
  code === 'ERR_RDMA_INVALID_ARGUMENT' || code === 'ERR_RDMA_INVALID_STATE' || code === 'ERR_RDMA_INTERNAL';
