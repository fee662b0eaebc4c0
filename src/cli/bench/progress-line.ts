/** One line on a terminal that shows how far something is; nothing where nobody sees it. */

const EVERY_MILLIS = 100;
const BAR_CHARS = 30;

export class ProgressLine {
  readonly #stream: NodeJS.WriteStream;
  readonly #total: number;
  readonly #title: string;
  readonly #startedAt = performance.now();
  #shownAt = 0;
  #chars = 0;

  constructor(title: string, total: number, stream: NodeJS.WriteStream = process.stderr) {
    this.#title = title;
    this.#total = total;
    this.#stream = stream;
  }

  update(done: number): void {
    if (!this.#stream.isTTY) return;
    const now = performance.now();
    if (now - this.#shownAt < EVERY_MILLIS) return;
    this.#shownAt = now;
    const share = done / this.#total;
    const full = Math.round(share * BAR_CHARS);
    const bar = '█'.repeat(full) + '░'.repeat(BAR_CHARS - full);
    const leftSeconds = share === 0 ? 0 : ((now - this.#startedAt) / share) * (1 - share) * 1e-3;
    this.#show(`${this.#title}  ${bar}  ${Math.round(share * 100)} %, ${leftSeconds.toFixed(0)} s left`);
  }

  /** Takes the line away again. */
  end(): void {
    if (this.#chars > 0) this.#show('');
  }

  #show(text: string): void {
    this.#stream.write(`\r${text.padEnd(this.#chars)}${text === '' ? '\r' : ''}`);
    this.#chars = text.length;
  }
}
