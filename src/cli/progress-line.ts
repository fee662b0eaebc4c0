/** One line on a terminal that shows how far something is, how fast it goes and what time is left; nothing where nobody sees it. */
import { formatBytes } from './format.js';

const EVERY_MILLIS = 100;
const BAR_CHARS = 30;
/** The rate is that of about so long. */
const RATE_MILLIS = 3000;

export interface ProgressOptions {
  /** What is counted are bytes: their rate is shown. */
  readonly isBytes?: boolean;
  readonly stream?: NodeJS.WriteStream;
}

export class ProgressLine {
  readonly #stream: NodeJS.WriteStream;
  readonly #title: string;
  readonly #isBytes: boolean;
  #total: number;
  #shownAt = 0;
  #chars = 0;
  /** Where the rate is measured from: the older of two marks. */
  #mark = { at: performance.now(), done: 0 };
  #next = this.#mark;

  constructor(
    title: string,
    total: number,
    { isBytes = false, stream = process.stderr }: ProgressOptions = {},
  ) {
    this.#title = title;
    this.#total = total;
    this.#isBytes = isBytes;
    this.#stream = stream;
  }

  /** It became known, or changed. */
  set total(total: number) {
    this.#total = total;
  }

  update(done: number): void {
    if (!this.#stream.isTTY) return;
    const now = performance.now();
    if (now - this.#shownAt < EVERY_MILLIS) return;
    this.#shownAt = now;
    const perMilli = this.#rate(done, now);
    const share = Math.min(1, Math.max(0, done / Math.max(1, this.#total)));
    const full = Math.round(share * BAR_CHARS);
    const bar = '█'.repeat(full) + '░'.repeat(BAR_CHARS - full);
    const speed = this.#isBytes ? `, ${formatBytes(Math.round(perMilli * 1000))}/s` : '';
    const left = perMilli > 0 ? `, ${timeText((this.#total - done) / perMilli)} left` : '';
    this.#show(`${this.#title}  ${bar}  ${Math.floor(share * 100)} %${speed}${left}`);
  }

  /** Takes the line away again. */
  end(): void {
    if (this.#chars > 0) this.#show('');
  }

  #rate(done: number, now: number): number {
    if (now - this.#next.at > RATE_MILLIS) {
      this.#mark = this.#next;
      this.#next = { at: now, done };
    }
    return Math.max(0, done - this.#mark.done) / Math.max(1, now - this.#mark.at);
  }

  #show(text: string): void {
    const line = text.slice(0, Math.max(20, (this.#stream.columns ?? 80) - 1));
    this.#stream.write(`\r${line.padEnd(this.#chars)}${text === '' ? '\r' : ''}`);
    this.#chars = line.length;
  }
}

/** `12 s`, `3:05`, `1:02:03`. */
export function timeText(millis: number): string {
  const seconds = Math.max(0, Math.round(millis / 1000));
  if (seconds < 60) return `${seconds} s`;
  const two = (value: number): string => String(value).padStart(2, '0');
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}:${two(seconds % 60)}`;
  return `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(seconds % 60)}`;
}
