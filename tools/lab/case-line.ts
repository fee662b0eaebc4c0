/**
 * One line on a terminal that says what the lab does now and for how long: how many cases there are is known at the end alone, so there
 * is no bar. Nothing where nobody sees it.
 */
import { timeText } from '../../src/cli/progress-line.js';

const EVERY_MILLIS = 1000;

export class CaseLine {
  readonly #stream: NodeJS.WriteStream;
  readonly #startedAt: number;
  readonly #nowMillis: () => number;
  #timer: NodeJS.Timeout | undefined;
  #what = '';
  #beganAt = 0;
  #ended = 0;
  #failed = 0;
  #chars = 0;

  constructor(
    stream: NodeJS.WriteStream = process.stderr,
    nowMillis: () => number = () => performance.now(),
  ) {
    this.#stream = stream;
    this.#nowMillis = nowMillis;
    this.#startedAt = nowMillis();
  }

  /** Something has begun: a case, or what goes before them. */
  begin(what: string): void {
    this.#what = what;
    this.#beganAt = this.#nowMillis();
    if (!this.#stream.isTTY) return;
    this.#timer ??= setInterval(() => this.#show(), EVERY_MILLIS).unref();
    this.#show();
  }

  /** A case has come to its end. */
  end(hasFailed: boolean): void {
    this.#ended++;
    if (hasFailed) this.#failed++;
    this.clear();
  }

  /** Takes the line away, for what is written next. */
  clear(): void {
    if (this.#chars > 0) this.#stream.write(`\r${''.padEnd(this.#chars)}\r`);
    this.#chars = 0;
  }

  stop(): void {
    clearInterval(this.#timer);
    this.clear();
  }

  #show(): void {
    const now = this.#nowMillis();
    const failed = this.#failed === 0 ? '' : `, ${this.#failed} failed`;
    const done = `${timeText(now - this.#startedAt)}  ${this.#ended} done${failed}`;
    const text = `${done}  ${this.#what} (${timeText(now - this.#beganAt)})`;
    const line = text.slice(0, Math.max(20, (this.#stream.columns ?? 80) - 1));
    this.#stream.write(`\r${line.padEnd(this.#chars)}`);
    this.#chars = line.length;
  }
}
