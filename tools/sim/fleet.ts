/**
 * `npm run fleet`: what becomes of the clients of servers that die, in virtual time (fleet-model.ts). With `--json` one object a line.
 */
import { DEFAULT_RECOVERY_MILLIS } from '../../src/connection/terms/options.js';
import { type FleetCase, FleetRun } from './fleet-model.js';

const USUAL: FleetCase = {
  servers: 100,
  clients: 100_000,
  dead: 1,
  backAfterMillis: Number.POSITIVE_INFINITY,
  recoveryMillis: DEFAULT_RECOVERY_MILLIS,
  // docs/scale.md: one core, mutual TLS.
  handshakesPerSecond: 292,
  maxHandshakes: 128,
  pause: 'pace',
  seed: 1,
};

/** Ten servers with 1,000 clients each do what a hundred do, in a hundredth of the time. */
const HALF = { servers: 10, clients: 10_000, dead: 5 };
const ONE = { servers: 1, clients: 1000, backAfterMillis: 1000 };
const ROOM = { maxHandshakes: 4096 };

const CASES: readonly { readonly name: string; readonly fleet: Partial<FleetCase> }[] = [
  { name: '1 of 100 servers dies for good', fleet: {} },
  { name: '10 of 100 die for good', fleet: { dead: 10 } },
  { name: 'half of the servers die for good', fleet: HALF },
  { name: 'half of them, `maxHandshakes` 4096', fleet: { ...HALF, ...ROOM } },
  { name: 'the only server of 1,000 clients is back after 1 s', fleet: ONE },
  { name: 'the same, `maxHandshakes` 4096', fleet: { ...ONE, ...ROOM } },
  {
    name: 'the same, 128, and clients that only try again every 200 ms',
    fleet: { ...ONE, recoveryMillis: 0, pause: 200 },
  },
];

const isJson = process.argv.includes('--json');
const seconds = (millis: number): string =>
  Number.isFinite(millis) ? (millis / 1000).toFixed(1) : 'not in 120';

if (!isJson)
  process.stdout.write(
    '| | clients | half back, s | 99 %, s | all, s | handshakes each | most on one server |\n|---|---|---|---|---|---|---|\n',
  );
for (const { name, fleet } of CASES) {
  const result = new FleetRun({ ...USUAL, ...fleet }).run();
  if (isJson) process.stdout.write(`${JSON.stringify({ name, ...result })}\n`);
  else {
    const { lost, halfMillis, mostMillis, allMillis, handshakesEach, mostConnections } = result;
    const times = [halfMillis, mostMillis, allMillis].map(seconds).join(' | ');
    process.stdout.write(
      `| ${name} | ${lost} | ${times} | ${handshakesEach.toFixed(2)} | ${mostConnections} |\n`,
    );
  }
}
