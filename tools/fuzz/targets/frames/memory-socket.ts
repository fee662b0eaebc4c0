/**
 * The plaintext side of a TLS connection without TLS and network: what the fuzzer feeds comes out of it as if the peer
 * had sent it, in the same pieces. TLS records are not what is under test here; whoever gets past them sends bytes.
 */
import { createHash } from 'node:crypto';
import { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';

type Callback = (error?: Error | null) => void;

export class MemorySocket extends Duplex {
  readonly remoteAddress = '192.0.2.7';
  readonly remotePort = 50_123;
  readonly localAddress = '192.0.2.1';
  readonly authorized = false;
  /** What the session under test has sent. */
  readonly sent: Buffer[] = [];
  /** The peer does not read: nothing of what is written ever leaves. */
  readonly #deaf: boolean;
  #isHungUp = false;

  constructor(deaf: boolean) {
    super({ allowHalfOpen: false });
    this.#deaf = deaf;
  }

  /** As the type that the control channel asks for, which uses no more of it than there is here. */
  get asTls(): TLSSocket {
    return this as unknown as TLSSocket;
  }

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  /** As of one TLS connection: it depends on label and context alone. */
  exportKeyingMaterial(lengthBytes: number, label: string, context: Buffer): Buffer {
    const hash = createHash('sha512').update(label).update('\0').update(context).digest();
    return hash.subarray(0, lengthBytes);
  }

  /** A piece of the peer's bytes arrives. */
  feed(bytes: Uint8Array): void {
    if (!this.destroyed && !this.#isHungUp && bytes.length > 0) this.push(Buffer.from(bytes));
  }

  /** The peer ends its direction. */
  hangUp(): void {
    if (this.destroyed || this.#isHungUp) return;
    this.#isHungUp = true;
    this.push(null);
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: Callback): void {
    if (this.#deaf) return;
    this.sent.push(chunk);
    callback();
  }
}
