/**
 * The greeting of a server that runs under librspreload with RDMAV_FORK_SAFE=1. It meets its clients by TCP, as it may fork between
 * `accept` and its first `read` or `write`. Only at that one does it listen for the rsocket, at the same port; four zero bytes over TCP
 * say that it does.
 *
 * Invariant: the TCP connection carries nothing else. It is the caller's once it is greeted, and gone when that fails.
 */
import { connect, type Socket } from 'node:net';
import { RdmaError } from '../../verbs/errors.js';

const GREETING_BYTES = 4;

/**
 * Resolves when the server listens for the rsocket. Destroy the TCP connection when that is there.
 *
 * @throws RdmaError ERR_RDMA_CONNECTION_LOST, ERR_RDMA_PROTOCOL, ERR_RDMA_TIMEOUT, ERR_RDMA_ABORTED.
 */
export function awaitGreeting(
  host: string,
  port: number,
  timeoutMillis: number,
  signal: AbortSignal,
): Promise<Socket> {
  const where = `${host}, TCP port ${port}`;
  const socket = connect({ host, port });
  return new Promise((resolve, reject) => {
    let greeting = Buffer.alloc(0);
    const settle = (error?: RdmaError): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
      socket.removeAllListeners().on('error', () => {});
      if (error === undefined) resolve(socket.pause());
      else {
        socket.destroy();
        reject(error);
      }
    };
    const fail = (code: 'ERR_RDMA_CONNECTION_LOST' | 'ERR_RDMA_TIMEOUT', what: string, cause?: Error): void =>
      settle(new RdmaError(code, what, cause === undefined ? {} : { cause }));
    const abort = (): void => settle(new RdmaError('ERR_RDMA_ABORTED', 'the socket was destroyed'));
    const timer = setTimeout(
      () => fail('ERR_RDMA_TIMEOUT', `${where} takes a connection and does not listen for the rsocket`),
      timeoutMillis,
    );
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) abort();
    socket.on('error', (cause) =>
      fail('ERR_RDMA_CONNECTION_LOST', `${where} does not take a connection: ${cause.message}`, cause),
    );
    socket.on('end', () =>
      fail('ERR_RDMA_CONNECTION_LOST', `${where} has closed the connection before the rsocket`),
    );
    socket.on('data', (bytes: Buffer) => {
      greeting = Buffer.concat([greeting, bytes]);
      if (!greeting.equals(Buffer.alloc(greeting.length)) || greeting.length > GREETING_BYTES) {
        settle(
          new RdmaError(
            'ERR_RDMA_PROTOCOL',
            `${where} is no server under librspreload with RDMAV_FORK_SAFE=1`,
          ),
        );
      } else if (greeting.length === GREETING_BYTES) settle();
    });
  });
}
