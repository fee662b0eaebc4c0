/** The TCP connection beside the queue pair over which some programs agree on what to do: bytes of known lengths, in turns. */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { TIMEOUT_MILLIS } from './player.js';

export class ControlSocket {
  readonly #socket: Socket;
  #arrived = Buffer.alloc(0);
  #isOver = false;
  #look = (): void => {};

  static async connect(host: string, port: number): Promise<ControlSocket> {
    const socket = connect({ host, port });
    await once(socket, 'connect');
    return new ControlSocket(socket);
  }

  /** The first who comes. */
  static async accept(
    host: string | undefined,
    port: number,
    onListening: () => void,
  ): Promise<ControlSocket> {
    const server = createServer({ allowHalfOpen: true });
    server.listen({ port, ...(host === undefined ? {} : { host }) });
    await once(server, 'listening');
    onListening();
    const [socket] = (await once(server, 'connection')) as [Socket];
    server.close();
    return new ControlSocket(socket);
  }

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setTimeout(TIMEOUT_MILLIS, () => socket.destroy(new Error('the control connection is silent')));
    socket.on('data', (bytes: Buffer) => {
      this.#arrived = Buffer.concat([this.#arrived, bytes]);
      this.#look();
    });
    for (const event of ['end', 'close', 'error']) {
      socket.on(event, () => {
        this.#isOver = true;
        this.#look();
      });
    }
  }

  write(bytes: Uint8Array | string): void {
    this.#socket.write(bytes);
  }

  /** @throws Error when the peer closes the connection before. */
  async read(length: number): Promise<Buffer> {
    while (this.#arrived.length < length) {
      if (this.#isOver) throw new Error('the control connection ended early');
      await new Promise<void>((resolve) => {
        this.#look = resolve;
      });
    }
    const bytes = this.#arrived.subarray(0, length);
    this.#arrived = this.#arrived.subarray(length);
    return bytes;
  }

  /** @throws Error unless the peer sends just this. */
  async expect(text: string): Promise<void> {
    const read = (await this.read(text.length)).toString('latin1');
    if (read !== text) throw new Error(`expected ${JSON.stringify(text)}, not ${JSON.stringify(read)}`);
  }

  close(): void {
    this.#socket.end();
    this.#socket.destroySoon();
  }
}
