/**
 * `npm run goodput`: measures how much of a lossy link one connection fills with useful bytes, over loss rates and
 * bandwidth-delay products, beside what go-back-N can reach, and writes docs/goodput.md. With `--json`, the same numbers
 * as one JSON object a line on standard output, and no file.
 */
import { writeFileSync } from 'node:fs';
import { bdpPackets, type GoodputCase, type GoodputResult, GoodputRun } from './goodput-model.js';

const MTU = 4096;
const QUEUE_PACKETS = 64;
const LOSSES = [0, 0.0001, 0.001, 0.01, 0.05, 0.1];
const PATHS = [
  { name: '10 Gbit/s, 10 µs', bitsPerSecond: 10e9, rttMicros: 10 },
  { name: '10 Gbit/s, 100 µs', bitsPerSecond: 10e9, rttMicros: 100 },
  { name: '10 Gbit/s, 1 ms', bitsPerSecond: 10e9, rttMicros: 1000 },
  { name: '1 Gbit/s, 100 µs', bitsPerSecond: 1e9, rttMicros: 100 },
  { name: '1 Gbit/s, 10 ms', bitsPerSecond: 1e9, rttMicros: 10_000 },
];
const SEEDS = [7, 8, 9, 10, 11];

interface Cell {
  readonly path: string;
  readonly operation: 'WRITE' | 'READ';
  readonly loss: number;
  readonly share: number;
  readonly bound: number;
  readonly textbookBound: number;
}

/**
 * What go-back-N reaches at best, as the document explains. `behind`: packets behind the lost one that it takes to hear
 * of it; 0 = a timer that is never wrong.
 */
function boundOf(c: GoodputCase, behind: number): number {
  const arrives = 1 - c.loss;
  const lostSlots = 1 + behind + bdpPackets(c);
  const mends = c.read ? arrives * arrives : arrives;
  return 1 / (1 + (c.loss * lostSlots) / mends);
}

/** The same without what is lost of requests and NAKs: (1 - p) / (1 - p + p W), the formula of textbooks. */
const textbookBound = (c: GoodputCase): number => boundOf({ ...c, read: false }, 0);

function baseCase(path: (typeof PATHS)[number], read: boolean): GoodputCase {
  return {
    bitsPerSecond: path.bitsPerSecond,
    rttMicros: path.rttMicros,
    loss: 0,
    queuePackets: QUEUE_PACKETS,
    ecnPackets: 0,
    mtu: MTU,
    read,
    maxRdAtomic: 16,
    connections: 1,
    seed: 7,
  };
}

/** Long enough for some hundred losses, or a few hundred round trips. */
function measure(c: GoodputCase): GoodputResult {
  const packetMicros = ((MTU + 78) * 8e6) / c.bitsPerSecond;
  const roundTrips = c.loss >= 0.01 ? 800 : 300;
  const micros = Math.max(8000 * packetMicros, roundTrips * c.rttMicros);
  return new GoodputRun(c).run(Math.max(100 * c.rttMicros, 500 * packetMicros), micros);
}

function measureCells(): Cell[] {
  const cells: Cell[] = [];
  for (const operation of ['WRITE', 'READ'] as const) {
    for (const path of PATHS) {
      process.stderr.write(`\r${operation} ${path.name}      `);
      for (const loss of LOSSES) {
        const c = { ...baseCase(path, operation === 'READ'), loss };
        const shares = SEEDS.map((seed) => measure({ ...c, seed }).share);
        const share = shares.reduce((sum, value) => sum + value, 0) / shares.length;
        const bounds = { bound: boundOf(c, 1), textbookBound: textbookBound(c) };
        cells.push({ path: path.name, operation, loss, share, ...bounds });
      }
    }
  }
  process.stderr.write('\n');
  return cells;
}

interface Incast {
  readonly queuePackets: number;
  readonly ecnPackets: number;
  readonly connections: number;
  readonly share: number;
  readonly dropped: number;
}

/** Several connections through one short queue, such as that of a socket, with and without marks. */
function measureIncast(): Incast[] {
  const rows: Incast[] = [];
  const path = PATHS[1] as (typeof PATHS)[number];
  for (const [queuePackets, ecnPackets] of [
    [64, 0],
    [64, 16],
    [25, 0],
  ] as const) {
    for (const connections of [1, 2, 10]) {
      const result = measure({ ...baseCase(path, false), queuePackets, ecnPackets, connections });
      rows.push({
        queuePackets,
        ecnPackets,
        connections,
        share: result.share,
        dropped: result.tailDropped / Math.max(1, result.packets),
      });
    }
  }
  return rows;
}

const lowest = (cells: readonly Cell[], bound: 'bound' | 'textbookBound'): number =>
  Math.min(...cells.map((cell) => cell.share / cell[bound]));

const percent = (share: number): string => `${(share * 100).toFixed(share < 0.1 ? 1 : 0)}`;

function table(cells: readonly Cell[], operation: string): string {
  const header = LOSSES.map((loss) => `${loss * 100} %`).join(' | ');
  const rows = PATHS.map((path) => {
    const packets = bdpPackets(baseCase(path, false)).toFixed(0);
    const columns = LOSSES.map((loss) => {
      const cell = cells.find(
        (candidate) =>
          candidate.path === path.name && candidate.operation === operation && candidate.loss === loss,
      );
      if (cell === undefined) return '';
      return `${percent(cell.share)} / ${percent(cell.bound)} (${percent(cell.share / cell.bound)} %)`;
    });
    return `| ${path.name} (${packets}) | ${columns.join(' | ')} |`;
  });
  return [
    `| path (packets of one round trip) | ${header} |`,
    `|---|${LOSSES.map(() => '---').join('|')}|`,
    ...rows,
  ].join('\n');
}

function incastTable(rows: readonly Incast[]): string {
  const lines = rows.map(
    (row) =>
      `| ${row.queuePackets} | ${row.ecnPackets || 'never'} | ${row.connections} | ${percent(row.share)} | ${(row.dropped * 100).toFixed(2)} |`,
  );
  return [
    '| queue, packets | marks above | connections | goodput, % of the link | packets dropped, % |',
    '|---|---|---|---|---|',
    ...lines,
  ].join('\n');
}

function report(cells: readonly Cell[], incast: readonly Incast[]): string {
  const missed = cells.filter((cell) => cell.share < 0.8 * cell.bound);
  const nameOf = (cell: Cell): string => `${cell.operation} over ${cell.path} at ${cell.loss * 100} % loss`;
  const below = cells.filter((cell) => cell.share < 0.8 * cell.textbookBound);
  const verdict = [
    missed.length === 0
      ? `All ${cells.length} measurements reach 80 % of the bound; the lowest has ${percent(lowest(cells, 'bound'))} %.`
      : `${cells.length - missed.length} of ${cells.length} measurements reach 80 % of the bound. These do not: ` +
        `${missed.map((cell) => `${nameOf(cell)} (${percent(cell.share / cell.bound)} %)`).join('; ')}.`,
    below.length === 0
      ? 'All of them reach 80 % of the textbook formula too.'
      : `Of the textbook formula ${cells.length - below.length} reach 80 %. These do not: ` +
        `${below.map((cell) => `${nameOf(cell)} (${percent(cell.share / cell.textbookBound)} %)`).join('; ')}.`,
  ].join('\n\n');
  return `# Goodput on lossy links

Written by \`npm run goodput\`, from the network simulator: the production engine in virtual time, one connection, 1 MiB
messages back to back, path MTU ${MTU}, a queue of ${QUEUE_PACKETS} packets in front of the receiver, random loss of
packets in **both** directions. Goodput is payload that was acknowledged, as a share of the payload that the link carries
at most, after a warm-up of 100 round trips; the mean of ${SEEDS.length} seeds.

Each cell: goodput / bound (goodput as a share of the bound), in per cent.

## The bound

RC prescribes go-back-N. A packet that arrives takes one slot of the link, the time in which it carries one packet. A packet
that is lost makes W slots useless: what left behind it is dropped until the lost one has been sent again. Textbooks on ARQ
protocols give

    useful share = (1 − p) / (1 − p + p·W),  W = 1 + packets of one round trip without queues

for loss probability p, by a sender with a timer that expires in the very moment in which the acknowledgement is due. RC has no
such timer, as none could tell a loss from a moment's delay. Two things are different:

1. *The packet behind a lost one tells of it*, one slot later: W = 2 + packets of one round trip. A timer only helps where there
   is no packet behind, and is later still.
2. *For READs, asking again takes two packets that arrive*, the request and the answer, which happens with probability (1 − p)²;
   a WRITE only needs the packet itself. So a READ packet costs p / (1 − p)² times W slots, a WRITE packet p / (1 − p) times.

The bound in the tables is therefore 1 / (1 + p·W / (1 − p)) for WRITEs and 1 / (1 + p·W / (1 − p)²) for READs, with the W of 1.
It still knows no lost acknowledgements and NAKs, no timers, no READ request that is lost the first time (which makes W slots
useless as well, the rarer the more is asked for at once) and no start of a connection. These measurements have them all.

${verdict}

## WRITE

${table(cells, 'WRITE')}

## READ (16 requests outstanding at most)

${table(cells, 'READ')}

## Short queues, several senders

WRITEs over 10 Gbit/s and 100 µs without random loss; "marks above": packets that find more than so many before them are
marked (ECN), and answered by congestion notifications. 25 packets of 4 KiB are what a UDP socket of stock size holds.

${incastTable(incast)}
`;
}

const cells = measureCells();
const incast = measureIncast();
if (process.argv.includes('--json')) {
  for (const value of [...cells, ...incast]) process.stdout.write(`${JSON.stringify(value)}\n`);
} else {
  writeFileSync(new URL('../../../docs/goodput.md', import.meta.url), report(cells, incast));
  process.stdout.write('wrote docs/goodput.md\n');
}
