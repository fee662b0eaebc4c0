/** A TCP proxy on loopback that can cut what goes through it, stall it, and refuse what is new. */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { RecordGate } from './record-gate.js';

export class TcpCutter implements AsyncDisposable {
  /** New connections are cut at once. */
  refuses = false;
  /** Before the server, for what comes while it is here. */
  gate: RecordGate | null = null;
  /** How many were. */
  refused = 0;
  readonly port: number;
  readonly #server: Server;
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  #isStalled = false;

  static async to(target: { readonly host: string; readonly port: number }): Promise<TcpCutter> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new TcpCutter(server, target);
  }

  private constructor(server: Server, target: { readonly host: string; readonly port: number }) {
    this.#server = server;
    this.port = (server.address() as { port: number }).port;
    server.on('connection', (near) => this.#join(near, target));
  }

  /** Resets all connections; returns how many there were. */
  cut(): number {
    const pairs = [...this.#pairs];
    this.#pairs.clear();
    for (const pair of pairs) for (const socket of pair) socket.resetAndDestroy();
    return pairs.length;
  }

  /** While it is stalled, nothing is carried in either direction, but all connections stay. */
  set isStalled(isStalled: boolean) {
    this.#isStalled = isStalled;
    for (const pair of this.#pairs) for (const socket of pair) this.#flow(socket);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #join(near: Socket, target: { readonly host: string; readonly port: number }): void {
    if (this.refuses) {
      this.refused++;
      near.resetAndDestroy();
      return;
    }
    const far = connect(target.port, target.host);
    const pair = [near, far] as const;
    this.#pairs.add(pair);
    for (const [from, to] of [pair, [far, near] as const]) {
      from.on('data', (data: Buffer) =>
        to.write(from === near && this.gate !== null ? this.gate.pass(data) : data),
      );
      from.on('end', () => to.end());
      from.on('error', () => to.destroy());
      from.on('close', () => {
        to.destroy();
        this.#pairs.delete(pair);
      });
      this.#flow(from);
    }
  }

  #flow(socket: Socket): void {
    if (this.#isStalled) socket.pause();
    else socket.resume();
  }
}
