/**
 * `npm run bench`: compares queue pairs with what else moves bytes on this machine. Everything runs on 127.0.0.1, each
 * subject as a pair of processes; progress goes to standard error, results to standard output.
 *
 * Exit code 0: all that can run here gave a value, whether or not goals are met. 1: something failed. 2: wrong usage.
 */
import { join } from 'node:path';
import { loadOrCreateDevCertificates } from '../../src/certificates/dev-certificates.js';
import { packageRoot } from '../../src/cli/package-root.js';
import { runTool, WrongUsage } from '../command-line.js';
import { type Benchmark, isNamed } from './benchmark.js';
import { endChildrenWithUs } from './child-group.js';
import { findDataPath } from './data-path.js';
import { describeEnvironment } from './environment.js';
import { FAIRNESS, FAIRNESS_TITLE, runFairness } from './fairness/fairness.js';
import { parseOptions, USAGE } from './options.js';
import { jsonEnvironment, jsonOutcome, textEnvironment, textOutcome } from './report.js';
import { runBenchmark } from './rounds.js';
import { runScale, SCALE, SCALE_TITLE, scaleMissing } from './scale/scale-suite.js';
import type { SuiteContext } from './subjects.js';
import { createSuite } from './suite.js';
import { prepareUdpFloor } from './udp-floor.js';

const HOST = '127.0.0.1';
const DEVICE = `soft:${HOST}?port=0&io=`;
const QUICK_HASTE = 10;
/** Benchmarks that are no comparison of subjects. */
const OTHERS: readonly string[] = [SCALE, FAIRNESS];

await runTool(USAGE, main);

async function main(args: readonly string[]): Promise<number> {
  const options = parseOptions(args);
  endChildrenWithUs();
  const certificates = join(packageRoot(), 'build', 'bench', 'certificates');
  await loadOrCreateDevCertificates(certificates);
  const dataPath = findDataPath();
  const udpFloor = prepareUdpFloor();
  // Each benchmark says what carries its packets: by itself a device would take memory.
  const side = { host: HOST, device: `${DEVICE}${dataPath.kind}` };
  const haste = options.quick ? QUICK_HASTE : 1;
  const memoryDevice = `${DEVICE}shm`;
  const context = { server: side, client: side, memoryDevice, certificates, dataPath, udpFloor, haste };
  const benchmarks = chosen(context, options.only);
  const scale = options.only.length === 0 || options.only.includes(SCALE);
  const missing = scale ? scaleMissing({ connections: options.connections, haste }) : undefined;
  // Not after minutes of other benchmarks.
  if (missing !== undefined) throw new WrongUsage(missing);
  const environment = describeEnvironment(dataPath, udpFloor);
  print((options.json ? jsonEnvironment : textEnvironment)(environment, options.rounds));
  let failed = false;
  for (const benchmark of benchmarks) {
    const outcome = await runBenchmark(benchmark, options.rounds, tell);
    print((options.json ? jsonOutcome : textOutcome)(outcome));
    failed ||= outcome.rows.some((row) => row.failed !== undefined);
  }
  if (scale) {
    if (!options.json) print(['', SCALE_TITLE]);
    const { connections, json, lifeline } = options;
    const settings = { ...side, certificates, connections, lifeline, haste, json, tell };
    const isWhole = await runScale(settings, (line) => print([line]));
    failed ||= !isWhole;
  }
  if (options.only.length === 0 || options.only.includes(FAIRNESS)) {
    if (!options.json) print(['', FAIRNESS_TITLE]);
    const settings = { host: HOST, certificates, haste, json: options.json, tell };
    const isWhole = await runFairness(settings, (line) => print([line]));
    failed ||= !isWhole;
  }
  return failed ? 1 : 0;
}

function chosen(context: SuiteContext, only: readonly string[]): Benchmark[] {
  const suite = createSuite(context);
  const unknown = only.find(
    (name) => !OTHERS.includes(name) && !suite.some((benchmark) => isNamed(benchmark.name, name)),
  );
  if (unknown !== undefined) {
    const names = [...suite.map(({ name }) => name), ...OTHERS].join(', ');
    throw new WrongUsage(`there is no benchmark '${unknown}'; there are ${names}`);
  }
  return suite.filter(({ name }) => only.length === 0 || only.some((wanted) => isNamed(name, wanted)));
}

function print(lines: readonly string[]): void {
  process.stdout.write(`${lines.join('\n')}\n`);
}

function tell(progress: string): void {
  process.stderr.write(`${progress}\n`);
}
