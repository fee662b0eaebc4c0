/**
 * What all peers share. A peer is one process of a measured pair; it gets its configuration as JSON in its first
 * argument and talks to the orchestrator in JSON lines:
 *
 *   peer → {"hello":{…}}    where and how the other one reaches it
 *   peer ← {"hello":{…}}    the other one's
 *   peer → {"ready":true}   it is set up
 *   peer ← {"go":true}      both are; now measure
 *   peer → {"result":{…}}   from the client or the server
 *   peer ← {"bye":true}     leave
 *
 * A peer whose part is done stays until it is told to leave: its device may still have to acknowledge what the other
 * peer waits for. Both know all counts beforehand, because a loop that polls cannot read standard input. A peer bounds its own life:
 * it leaves at its deadline and, where its event loop turns, when the orchestrator is gone.
 */
import type { PeerConfig, PeerResult } from '../peer-protocol.js';

const EXIT_DEADLINE = 3;
const EXIT_ORPHANED = 4;
/** Spins between two looks at the clock. */
const SPINS_MASK = 0xffff;

export class PeerLink {
  readonly #deadlineAt: number;
  readonly #lines: string[] = [];
  #partial = '';
  #waiter: ((line: string) => void) | null = null;
  #spins = 0;

  constructor(deadlineMillis: number) {
    this.#deadlineAt = performance.now() + deadlineMillis;
    setTimeout(leaveAtDeadline, deadlineMillis);
    process.stdin.setEncoding('utf8');
    process.stdin.on('data', (text: string) => this.#onText(text));
    process.stdin.on('end', () => process.exit(EXIT_ORPHANED));
  }

  /** Says hello, and returns what the other peer said. */
  async exchange(hello: object): Promise<Record<string, string | number>> {
    write({ hello });
    const line = JSON.parse(await this.#nextLine()) as { hello: Record<string, string | number> };
    return line.hello;
  }

  /** Resolves when both peers are set up. */
  async ready(): Promise<void> {
    write({ ready: true });
    await this.#nextLine();
  }

  result(result: PeerResult): void {
    write({ result });
  }

  async bye(): Promise<void> {
    await this.#nextLine();
  }

  /** To be called in every turn of a loop that never returns to the event loop. */
  checkDeadline(): void {
    if ((++this.#spins & SPINS_MASK) === 0 && performance.now() > this.#deadlineAt) leaveAtDeadline();
  }

  #onText(text: string): void {
    const lines = (this.#partial + text).split('\n');
    this.#partial = lines.pop() ?? '';
    for (const line of lines) {
      if (this.#waiter === null) this.#lines.push(line);
      else this.#waiter(line);
      this.#waiter = null;
    }
  }

  #nextLine(): Promise<string> {
    const line = this.#lines.shift();
    if (line !== undefined) return Promise.resolve(line);
    return new Promise((resolve) => {
      this.#waiter = resolve;
    });
  }
}

/** Runs a peer module: `play` resolves when its part is done. */
export async function runPeer<Config extends PeerConfig>(
  play: (config: Config, link: PeerLink) => Promise<void>,
): Promise<void> {
  try {
    const config = JSON.parse(process.argv[2] ?? '') as Config;
    const link = new PeerLink(config.deadlineMillis);
    await play(config, link);
    await link.bye();
    process.exit(0);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  }
}

function leaveAtDeadline(): never {
  process.stderr.write('the peer reached its deadline before the benchmark was done\n');
  process.exit(EXIT_DEADLINE);
}

const write = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`);
