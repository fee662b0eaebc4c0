/** Where the commands of a client come from: a flag, a pipe, or a person at a terminal. */
import { createInterface, type Interface } from 'node:readline';
import { splitCommands } from './command-line.js';

export interface CommandSource {
  /** A person who can try again: a failed command is no reason to end. */
  readonly interactive: boolean;
  /** The next command; `undefined` when there are no more. */
  next(): Promise<string | undefined>;
  close(): void;
}

/** The commands of `--exec`. */
export function fixedCommands(text: string): CommandSource {
  const commands = splitCommands(text);
  return { interactive: false, next: async () => commands.shift(), close: () => {} };
}

/** Lines of standard input: with a prompt and a history on a terminal, silent on a pipe. */
export function typedCommands(prompt: string): CommandSource {
  const interactive = process.stdin.isTTY === true && process.stdout.isTTY === true;
  const reader = createInterface({
    input: process.stdin,
    ...(interactive ? { output: process.stdout, prompt, historySize: 500 } : {}),
    terminal: interactive,
  });
  return new LineSource(reader, interactive);
}

class LineSource implements CommandSource {
  readonly interactive: boolean;
  readonly #reader: Interface;
  readonly #commands: string[] = [];
  #ended = false;
  #wake: () => void = () => {};

  constructor(reader: Interface, interactive: boolean) {
    this.interactive = interactive;
    this.#reader = reader;
    reader.on('line', (line) => {
      const commands = splitCommands(line);
      this.#commands.push(...commands);
      if (commands.length === 0 && interactive) reader.prompt();
      this.#wake();
    });
    // The terminal does not send it while a line is edited.
    reader.on('SIGINT', () => process.kill(process.pid, 'SIGINT'));
    reader.on('close', () => {
      this.#ended = true;
      this.#wake();
    });
  }

  async next(): Promise<string | undefined> {
    while (this.#commands.length === 0 && !this.#ended) {
      if (this.interactive) this.#reader.prompt();
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#commands.shift();
  }

  close(): void {
    this.#reader.close();
  }
}
