/** One rsocket of a player: it connects, or listens and takes the first client. */
import { once } from 'node:events';
import { ByteStream } from '../../../../src/connection/program/byte-stream.js';
import type { RsocketChannel } from '../../../../src/net/rsocket/rsocket-channel.js';
import type { RsocketOptions } from '../../../../src/net/rsocket/rsocket-options.js';
import { type RsocketStream, RsocketTransport } from '../../../../src/net/rsocket/rsocket-transport.js';
import type { ListeningTransport, TransportStream } from '../../../../src/net/transport.js';
import { type PlayerOptions, TIMEOUT_MILLIS } from '../player.js';

const ANY_ADDRESS = '0.0.0.0';

export interface OneStream {
  readonly stream: ByteStream;
  readonly channel: RsocketChannel;
  /** Resolves when both ends have said all, and the port is free. */
  over(): Promise<void>;
}

export async function oneStream(options: PlayerOptions, more: RsocketOptions = {}): Promise<OneStream> {
  const transport = new RsocketTransport(options.device, { timeoutMillis: TIMEOUT_MILLIS, ...more });
  const { host, port, bind = ANY_ADDRESS, onListening } = options;
  if (host !== undefined) {
    const signal = new AbortController().signal;
    return opened(await transport.connect({ host, addresses: [host], port, signal }));
  }
  let listening: ListeningTransport | undefined;
  const first = new Promise<TransportStream>((resolve, reject) => {
    const listener = { onStream: resolve, onFailure: reject };
    transport.listen({ host: bind, port }, listener).then((opening) => {
      listening = opening;
      onListening();
    }, reject);
  });
  const one = opened((await first) as RsocketStream);
  return { ...one, over: () => one.over().then(() => listening?.close()) };
}

function opened({ channel }: RsocketStream): OneStream {
  const stream = new ByteStream();
  stream.attach(channel);
  return { stream, channel, over: () => channel.closed };
}

/** What comes, in pieces of a wanted size. */
export class Pieces {
  readonly #chunks: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(stream: ByteStream) {
    this.#chunks = stream.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>;
  }

  async next(bytes: number): Promise<Buffer> {
    const chunks = [this.#rest];
    let length = this.#rest.length;
    while (length < bytes) {
      const { done, value } = await this.#chunks.next();
      if (done === true) throw new Error(`the stream ended ${bytes - length} bytes before its time`);
      chunks.push(value);
      length += value.length;
    }
    const all = chunks.length === 1 ? this.#rest : Buffer.concat(chunks);
    this.#rest = all.subarray(bytes);
    return all.subarray(0, bytes);
  }

  /** To the end, of which nothing more is wanted. */
  async end(): Promise<void> {
    while ((await this.#chunks.next()).done !== true);
  }
}

/** Waits for room. */
export async function write(stream: ByteStream, bytes: Uint8Array): Promise<void> {
  if (!stream.write(bytes)) await once(stream, 'drain');
}

/** To the end of either direction. For who has sent the last bytes: a stock program that still polls for them takes the whole end for a failure. */
export async function endOf(stream: ByteStream, pieces: Pieces): Promise<void> {
  stream.end();
  await pieces.end();
  if (!stream.closed) await once(stream, 'close');
}

/**
 * `rshutdown(SHUT_RDWR)` and `rclose`, for who has got the last bytes: what it wrote has arrived before. The last word of the other
 * end is not waited for: it may never come (docs/rsocket.md).
 */
export function leave(stream: ByteStream): void {
  stream.end();
  stream.destroy();
}
