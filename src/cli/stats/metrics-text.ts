/**
 * Reads metrics in the text format of Prometheus, as `queuepair serve --metrics` shows them.
 *
 * Invariant: whatever a server sends, reading ends, and what cannot be read is left out.
 */
export interface Sample {
  /** With its labels as they were written: `queuepair_drops_total{reason="icrc"}`. */
  readonly name: string;
  readonly value: number;
  /** It only grows, so that its rate means something. */
  readonly isCounter: boolean;
}

const MAX_SAMPLES = 20_000;

export function readMetrics(text: string): Map<string, Sample> {
  const types = new Map<string, string>();
  const samples = new Map<string, Sample>();
  for (const line of text.split('\n')) {
    const [, typed, type] = /^# TYPE (\S+) (\w+)/.exec(line) ?? [];
    if (typed !== undefined && type !== undefined) types.set(typed, type);
    const [, name, labels = '', number] = /^([a-zA-Z_:][\w:]*)(\{.*\})? (\S+)$/.exec(line) ?? [];
    const value = Number(number);
    if (name === undefined || number === undefined || Number.isNaN(value)) continue;
    if (samples.size >= MAX_SAMPLES) break;
    const isCounter = types.get(name) === 'counter' || /_(count|sum|total)$/.test(name);
    samples.set(`${name}${labels}`, { name: `${name}${labels}`, value, isCounter });
  }
  return samples;
}

export interface Reading {
  readonly name: string;
  readonly value: number;
  /** A second; `null` for what is no counter, and after a restart of the server. */
  readonly perSecond: number | null;
}

export function compare(
  before: ReadonlyMap<string, Sample>,
  now: ReadonlyMap<string, Sample>,
  seconds: number,
): Reading[] {
  return [...now.values()].map(({ name, value, isCounter }) => {
    const was = before.get(name)?.value ?? (before.size === 0 ? undefined : 0);
    const grown = was === undefined ? -1 : value - was;
    return { name, value, perSecond: isCounter && grown >= 0 && seconds > 0 ? grown / seconds : null };
  });
}
