/**
 * The way of a socket to its peer: the addresses of its name, and the attempts to reach one of them. The socket tells each step, as
 * sockets of node:net do.
 *
 * Invariants: an event is told in a tick of its own, so that an exception of its listener is no failure of the attempt; none is told
 * once the socket has given up.
 */
import { type BlockList, isIP } from 'node:net';
import { addressesOf } from './addresses.js';
import { type NetAttempt, netError, nodeError } from './net-errors.js';
import type { SocketConnectOptions } from './options.js';
import type { AttemptWatcher, TransportStream } from './transport.js';
import { transportOf } from './transports.js';

/** What of a socket tells its steps. */
interface Teller {
  emit(event: string, ...values: unknown[]): boolean;
  autoSelectFamilyAttemptedAddresses: string[] | undefined;
}

/** @throws Error in the words of node:net. Without meaning when `signal` has aborted. */
export async function reach(
  options: SocketConnectOptions,
  signal: AbortSignal,
  socket: Teller,
): Promise<TransportStream> {
  const { port, blockList } = options;
  // Agents give '' and null for what they do not have.
  const host = options.host || 'localhost';
  let attempted: NetAttempt = { syscall: 'getaddrinfo' };
  try {
    const transport = transportOf(options);
    const addresses = allowed(await lookUp(host, options, signal, socket), blockList);
    signal.throwIfAborted();
    attempted = { syscall: 'connect', address: addresses[0] ?? host, port };
    const watcher = new Watcher(socket, port, signal, addresses.length > 1);
    return await transport.connect({ host, addresses, port, signal, watcher });
  } catch (error) {
    throw netError(error, attempted);
  }
}

/** Tells what the transport tries. */
class Watcher implements AttemptWatcher {
  readonly #socket: Teller;
  readonly #port: number;
  readonly #signal: AbortSignal;

  constructor(socket: Teller, port: number, signal: AbortSignal, isOneOfMany: boolean) {
    this.#socket = socket;
    this.#port = port;
    this.#signal = signal;
    socket.autoSelectFamilyAttemptedAddresses = isOneOfMany ? [] : undefined;
  }

  onAttempt(address: string): void {
    this.#socket.autoSelectFamilyAttemptedAddresses?.push(`${address}:${this.#port}`);
    this.#tell('connectionAttempt', address);
  }

  onAttemptFailed(address: string, failure: unknown): void {
    const error = netError(failure, { syscall: 'connect', address, port: this.#port });
    this.#tell('connectionAttemptFailed', address, error);
  }

  #tell(event: string, address: string, ...more: unknown[]): void {
    void tell(this.#socket, this.#signal, event, address, this.#port, isIP(address), ...more);
  }
}

async function lookUp(
  host: string,
  options: SocketConnectOptions,
  signal: AbortSignal,
  socket: Teller,
): Promise<readonly string[]> {
  try {
    const found = await addressesOf(host, options);
    if (isIP(host) === 0) {
      for (const { address, family } of found)
        await tell(socket, signal, 'lookup', null, address, family, host);
    }
    return found.map(({ address }) => address);
  } catch (error) {
    await tell(socket, signal, 'lookup', error, undefined, undefined, host);
    throw error;
  }
}

/** @throws Error ERR_IP_BLOCKED when none is left. */
function allowed(addresses: readonly string[], blockList: BlockList | undefined): readonly string[] {
  if (blockList === undefined) return addresses;
  const left = addresses.filter((address) => !isBlocked(blockList, address));
  if (left.length > 0) return left;
  throw nodeError('ERR_IP_BLOCKED', `IP(${addresses.join()}) is blocked by net.BlockList`);
}

export const isBlocked = (blockList: BlockList, address: string): boolean =>
  blockList.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');

function tell(socket: Teller, signal: AbortSignal, event: string, ...values: unknown[]): Promise<void> {
  return new Promise((resolve) => {
    process.nextTick(() => {
      resolve();
      if (!signal.aborted) socket.emit(event, ...values);
    });
  });
}
