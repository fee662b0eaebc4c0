/**
 * How sockets reach each other, without a hint of the means: over sessions (session-transport.ts) or by rsocket
 * (rsocket/). A socket asks its transport for one stream and knows nothing more of it; a server asks it to listen.
 *
 * Invariants: a stream that `connect` resolved with, or that `onStream` was given, is open in both directions and belongs to whoever
 * got it; what `connect` rejects with has left nothing open; both tell failures as RdmaError, which the socket translates.
 */
import type { ByteChannel } from '../connection/streams/byte-channel.js';
import type { RsocketIomap } from './rsocket/rsocket-iomap.js';

/** One end of a stream, in the words of node:net. */
export interface EndAddress {
  readonly address: string;
  readonly port: number;
}

/** A way for bytes to and from one peer. */
export interface TransportStream {
  readonly channel: ByteChannel;
  readonly local: EndAddress;
  readonly remote: EndAddress;
  /** Of rsockets alone. */
  readonly iomap?: RsocketIomap;
  /** Has the transport look every now and then whether the peer is there; of rsockets alone, as sessions always look. */
  setKeepAlive?(isOn: boolean, everyMillis: number): void;
  /** Told once, when the channel was closed. */
  release(): void;
}

export interface ConnectTarget {
  /** As the program named it. */
  readonly host: string;
  /** Addresses of `host`, to be tried one after the other. Never empty. */
  readonly addresses: readonly string[];
  readonly port: number;
  /** The socket was destroyed meanwhile: nobody waits any more. */
  readonly signal: AbortSignal;
  readonly watcher?: AttemptWatcher;
}

/** Hears which addresses are tried. */
export interface AttemptWatcher {
  onAttempt(address: string): void;
  onAttemptFailed(address: string, failure: unknown): void;
}

export interface ListenTarget {
  readonly host: string;
  /** 0 = any free one. */
  readonly port: number;
  readonly backlog?: number;
}

/** What a server hears. */
export interface StreamListener {
  /** A client has opened a stream. */
  onStream(stream: TransportStream): void;
  /** Nothing more can come, because of this. */
  onFailure(error: Error): void;
}

export interface ListeningTransport {
  readonly address: EndAddress;
  /** Takes no more streams. Those that are open go on. Idempotent. */
  stop(): void;
  /** Frees everything; the streams are over by then, or end now. Resolves when the port is free. Idempotent. */
  close(): Promise<void>;
}

export interface Transport {
  /** @throws RdmaError why the peer was not reached. */
  connect(target: ConnectTarget): Promise<TransportStream>;
  /** @throws RdmaError ERR_RDMA_ADDRESS when the port is taken or the address not of this machine, and others. */
  listen(target: ListenTarget, listener: StreamListener): Promise<ListeningTransport>;
}
