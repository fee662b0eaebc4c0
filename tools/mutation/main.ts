/**
 * `npm run mutate`: how many of the faults that were planted by hand the tests notice. Exit code 1 when too few were
 * noticed, 2 when a fault no longer fits its source or a judge objects without any.
 */
import { fileURLToPath } from 'node:url';
import { Random } from '../../testkit/random.js';
import { runTool, WrongUsage } from '../command-line.js';
import { FAULTS } from './catalog.js';
import { type Fault, ROOMS, type Room } from './fault.js';
import { CannotJudge, type HarnessOptions, type Outcome, tryFaults } from './harness.js';
import { type MutateOptions, parseOptions, USAGE } from './options.js';

const HARNESS: Omit<HarnessOptions, 'jobs'> = {
  root: fileURLToPath(new URL('../../../', import.meta.url)),
  limitMillis: 120_000,
};

const EXIT_CANNOT_JUDGE = 2;
/** Share of the faults of a room. */
const LEAST_NOTICED = 0.95;

function chosen({ only, sample, seed }: MutateOptions): readonly Fault[] {
  const faults = FAULTS.filter(
    ({ id, room, equivalent }) =>
      equivalent === undefined && (only.length === 0 || only.includes(id) || only.includes(room)),
  );
  const unknown = only.find((name) => !faults.some(({ id, room }) => id === name || room === name));
  if (unknown !== undefined) throw new WrongUsage(`there is no room and no fault to plant '${unknown}'`);
  const random = new Random(seed);
  const left = [...faults];
  const drawn: Fault[] = [];
  while (drawn.length < Math.min(sample, faults.length)) {
    drawn.push(...left.splice(Math.floor(random.unit() * left.length), 1));
  }
  return drawn;
}

function scoreOf(outcomes: readonly Outcome[]): { planted: number; noticed: number } {
  return { planted: outcomes.length, noticed: outcomes.filter(({ noticed }) => noticed).length };
}

const isSample = ({ sample }: MutateOptions): boolean => sample !== Number.POSITIVE_INFINITY;

function summarize(outcomes: readonly Outcome[], options: MutateOptions): void {
  const ofRoom = (room: Room): readonly Outcome[] => outcomes.filter(({ fault }) => fault.room === room);
  const rooms = ROOMS.filter((room) => ofRoom(room).length > 0);
  const byRoom = Object.fromEntries(rooms.map((room) => [room, scoreOf(ofRoom(room))]));
  if (options.json) {
    const seed = isSample(options) ? { seed: options.seed } : {};
    process.stdout.write(`${JSON.stringify({ ...scoreOf(outcomes), byRoom, ...seed })}\n`);
    return;
  }
  for (const [room, { planted, noticed }] of Object.entries(byRoom)) {
    process.stdout.write(`${room.padEnd(12)}${noticed} of ${planted} noticed\n`);
  }
}

async function main(options: MutateOptions): Promise<number> {
  const faults = chosen(options);
  let done = 0;
  let missed = 0;
  const onOutcome = ({ fault, noticed, by, sign, millis }: Outcome): void => {
    done++;
    if (!noticed) missed++;
    const { id, room, wrong, file } = fault;
    if (options.json) {
      process.stdout.write(`${JSON.stringify({ id, room, noticed, by, sign, millis })}\n`);
    } else if (!noticed) {
      process.stdout.write(`not noticed: ${id} (${file}): ${wrong}: ${sign}\n`);
    }
    process.stderr.write(`\r${done} of ${faults.length} faults, ${missed} not noticed `);
  };
  const drawn = isSample(options) ? `, drawn with --seed ${options.seed}` : '';
  process.stderr.write(`${faults.length} faults${drawn}; first the judges look at the code without any\n`);
  const outcomes = await tryFaults(faults, { ...HARNESS, jobs: options.jobs }, onOutcome);
  process.stderr.write('\n');
  summarize(outcomes, options);
  // A room with many faults must not hide one with few; of a sample a room has too few to be judged.
  const isWhole = !isSample(options) && options.only.length === 0;
  const judged = isWhole
    ? ROOMS.map((room) => outcomes.filter(({ fault }) => fault.room === room))
    : [outcomes];
  return judged.map(scoreOf).every(({ planted, noticed }) => noticed >= planted * LEAST_NOTICED) ? 0 : 1;
}

await runTool(USAGE, async (args) => {
  try {
    return await main(parseOptions(args));
  } catch (error) {
    if (!(error instanceof CannotJudge)) throw error;
    process.stderr.write(`${error.message}\n`);
    return EXIT_CANNOT_JUDGE;
  }
});
