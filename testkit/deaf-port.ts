/**
 * A TCP port that answers nothing, as behind a firewall: its process is stopped, and the queue of connections that it has not
 * accepted is full, so that the kernel drops whatever else asks.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

const LISTENER = `
const server = require('node:net').createServer();
server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => process.stdout.write(String(server.address().port)));
`;
/** More than the queue takes. */
const CALLERS = 6;

export class DeafPort implements AsyncDisposable {
  readonly port: number;
  readonly #child: ChildProcess;
  readonly #callers: Socket[] = [];

  static async open(): Promise<DeafPort> {
    const child = spawn(process.execPath, ['-e', LISTENER], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [text] = (await once(child.stdout as NodeJS.ReadableStream, 'data')) as [Buffer];
    child.kill('SIGSTOP');
    const deaf = new DeafPort(Number(text.toString()), child);
    await deaf.#fill();
    return deaf;
  }

  private constructor(port: number, child: ChildProcess) {
    this.port = port;
    this.#child = child;
  }

  /** Until the last that called got no answer, while those before did. */
  async #fill(): Promise<void> {
    for (let i = 0; i < CALLERS; i++) {
      const caller = connect(this.port, '127.0.0.1');
      caller.on('error', () => {});
      this.#callers.push(caller);
    }
    await Promise.race(this.#callers.map((caller) => once(caller, 'connect')));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const caller of this.#callers) caller.destroy();
    this.#child.kill('SIGKILL');
    await once(this.#child, 'exit');
  }
}
