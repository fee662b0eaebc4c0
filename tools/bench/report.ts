/** Writes outcomes: JSON lines for programs, tables for people. */
import type { Environment } from './environment.js';
import type { Outcome, Row } from './rounds.js';

export function jsonEnvironment(environment: Environment, rounds: number): string[] {
  return [JSON.stringify({ event: 'environment', ...environment, rounds })];
}

/** A line a value; parts are named `subject/part`. Lines that are not values have an `event`. */
export function jsonOutcome({ benchmark, rows, verdicts }: Outcome): string[] {
  const { name, unit } = benchmark;
  const lines: object[] = [];
  for (const { subject, spread, p99, parts, skipped, failed } of rows) {
    if (spread !== undefined) {
      const { value, low, high, rounds } = spread;
      lines.push({ name, subject, value, unit, low, high, rounds, ...(p99 === undefined ? {} : { p99 }) });
    }
    for (const { name: part, value, low, high, rounds } of parts) {
      lines.push({ name, subject: `${subject}/${part}`, value, unit, low, high, rounds });
    }
    if (skipped !== undefined) lines.push({ event: 'skipped', name, subject, reason: skipped });
    if (failed !== undefined) lines.push({ event: 'failed', name, subject, reason: failed });
  }
  for (const { text, met, detail } of verdicts) lines.push({ event: 'goal', name, goal: text, met, detail });
  return lines.map((line) => JSON.stringify(line));
}

export function textEnvironment(environment: Environment, rounds: number): string[] {
  const { queuepair, dataPath, cpu, cores, load, kernel, node, ucx, libfabric, udpFloor } = environment;
  return [
    `queuepair ${queuepair} over the ${dataPath === 'native' ? 'native UDP port' : 'node:dgram port'}, Node.js ${node}`,
    `${cpu}, ${cores} cores, load ${load}, ${kernel}`,
    `UCX: ${ucx}; libfabric: ${libfabric}; udp-floor: ${udpFloor}`,
    `medians of ${rounds} interleaved round${rounds === 1 ? '' : 's'}, with the lowest and the highest`,
  ];
}

const HEADINGS = ['subject', 'value', 'low – high', 'p99', 'ratio to queuepair', ''];

export function textOutcome({ benchmark, rows, verdicts }: Outcome): string[] {
  const { name, title, unit, better, ours } = benchmark;
  const reference = ours
    .map((subject) => rows.find((row) => row.subject === subject))
    .find((row) => row?.spread);
  const measured = rows.filter(({ spread }) => spread !== undefined);
  const cells = measured.flatMap((row) => rowCells(row, reference?.spread?.value));
  const lines = ['', `${name}: ${title} (${unit}, ${better} is better)`];
  if (cells.length > 0) lines.push(...align([HEADINGS, ...cells]).map((line) => `  ${line}`));
  for (const { subject, skipped, failed } of rows) {
    if (skipped !== undefined) lines.push(`  ${subject} skipped: ${skipped}`);
    if (failed !== undefined) lines.push(`  ${subject} FAILED: ${failed}`);
  }
  for (const { text, met, detail } of verdicts) {
    const verdict = met === null ? 'not judged' : met ? 'met' : 'NOT met';
    lines.push(`  goal ${text}: ${verdict} (${detail})`);
  }
  return lines;
}

function rowCells({ subject, spread, p99, parts, note }: Row, reference: number | undefined): string[][] {
  const ratio = (value: number): string =>
    reference === undefined ? '' : `${(value / reference).toFixed(2)} ×`;
  const of = (name: string, value: number, low: number, high: number, tail: string, remark: string) => [
    name,
    formatValue(value),
    `${formatValue(low)} – ${formatValue(high)}`,
    tail,
    ratio(value),
    remark,
  ];
  const cells: string[][] = [];
  if (spread !== undefined) {
    const tail = p99 === undefined ? '' : formatValue(p99);
    cells.push(of(subject, spread.value, spread.low, spread.high, tail, note ?? ''));
  }
  for (const { name, value, low, high } of parts) cells.push(of(`  ${name}`, value, low, high, '', ''));
  return cells;
}

/** Three digits that mean something; thousands are grouped. */
export function formatValue(value: number): string {
  if (!Number.isFinite(value)) return '–';
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString('en-US');
  if (Math.abs(value) >= 100) return value.toFixed(0);
  return value.toFixed(Math.abs(value) >= 10 ? 1 : 2);
}

/** Names to the left, numbers to the right, remarks as they are. */
function align(table: readonly (readonly string[])[]): string[] {
  const columns = HEADINGS.length;
  const widths = Array.from({ length: columns }, (_, i) =>
    Math.max(...table.map((row) => row[i]?.length ?? 0)),
  );
  return table.map((row) =>
    row
      .map((cell, i) => {
        if (i === columns - 1) return cell;
        return i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0);
      })
      .join('  ')
      .trimEnd(),
  );
}
