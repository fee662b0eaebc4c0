/**
 * Which parts of src/ have run in this thread, from V8's precise block coverage: nothing to install or to instrument,
 * and it slows the code by a tenth. (A fuzzing engine from the registry was the alternative. Its own inputs know nothing
 * of packets, it instruments CommonJS modules where these are ES modules, and it brings a compiler plug-in and a native
 * library along.) Reading the coverage costs two milliseconds, so a campaign asks after a batch of inputs, and looks at
 * single ones only when the batch reached something new.
 *
 * Invariant: what counts is whether a character of the compiled code was inside a block that ran, because V8 merges
 * blocks with equal counts, so that block boundaries change from run to run.
 */
import { type Profiler, Session } from 'node:inspector';

export class Coverage {
  readonly #session = new Session();
  /** By script: one byte for each character, 1 = it ran. */
  readonly #covered = new Map<string, Uint8Array>();
  /** Where each part began when it was first reached, `script:offset`. */
  readonly edges = new Set<string>();

  /** Only scripts with this part in their path count. */
  readonly #path: string;

  constructor(path = '/src/') {
    this.#path = path;
    this.#session.connect();
    this.#session.post('Profiler.enable', throwError);
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true }, throwError);
  }

  /** What ran since the last question. */
  take(): Map<string, Uint8Array> {
    const ran = new Map<string, Uint8Array>();
    this.#session.post('Profiler.takePreciseCoverage', (error, { result }) => {
      throwError(error);
      for (const { url, functions } of result) {
        const at = url.lastIndexOf(this.#path);
        if (at >= 0 && !url.includes('node_modules')) ran.set(url.slice(at + 1), paint(functions));
      }
    });
    return ran;
  }

  /** Whether anything in `ran` had never run before. */
  hasNew(ran: ReadonlyMap<string, Uint8Array>): boolean {
    for (const [script, now] of ran) {
      const covered = this.#covered.get(script);
      if (now.some((flag, i) => flag === 1 && covered?.[i] !== 1)) return true;
    }
    return false;
  }

  /** Remembers what ran; returns whether any of it is new. */
  add(ran: ReadonlyMap<string, Uint8Array>): boolean {
    const before = this.edges.size;
    for (const [script, now] of ran) this.#addScript(script, now);
    return this.edges.size > before;
  }

  stop(): void {
    this.#session.post('Profiler.stopPreciseCoverage', throwError);
    this.#session.disconnect();
  }

  #addScript(script: string, now: Uint8Array): void {
    let covered = this.#covered.get(script);
    if (covered === undefined || covered.length < now.length) {
      const larger = new Uint8Array(now.length);
      if (covered !== undefined) larger.set(covered);
      covered = larger;
      this.#covered.set(script, covered);
    }
    let inside = false;
    for (let i = 0; i < now.length; i++) {
      const isNew = now[i] === 1 && covered[i] === 0;
      if (isNew) covered[i] = 1;
      if (isNew && !inside) this.edges.add(`${script}:${i}`);
      inside = isNew;
    }
  }
}

/** One byte for each character of the script. Outer ranges come before inner ones. */
function paint(functions: readonly Profiler.FunctionCoverage[]): Uint8Array {
  let end = 0;
  for (const { ranges } of functions) for (const { endOffset } of ranges) end = Math.max(end, endOffset);
  const flags = new Uint8Array(end);
  for (const { ranges } of functions) {
    for (const { startOffset, endOffset, count } of ranges) {
      flags.fill(count > 0 ? 1 : 0, startOffset, endOffset);
    }
  }
  return flags;
}

function throwError(error: Error | null): void {
  if (error !== null) throw error;
}
