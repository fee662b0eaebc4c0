/**
 * `npm run bench`: compares queue pairs with what else moves bytes on this machine. Everything runs on 127.0.0.1, each
 * subject as a pair of processes; progress goes to standard error, results to standard output.
 *
 * Exit code 0: all that can run here gave a value, whether or not goals are met. 1: something failed. 2: wrong usage.
 */
import { join } from 'node:path';
import { loadOrCreateDevCertificates } from '../../src/certificates/dev-certificates.js';
import { packageRoot } from '../../src/cli/package-root.js';
import { type Benchmark, isNamed } from './benchmark.js';
import { endChildrenWithUs } from './child-group.js';
import { findDataPath } from './data-path.js';
import { describeEnvironment } from './environment.js';
import { type BenchOptions, readOptions, USAGE } from './options.js';
import { jsonEnvironment, jsonOutcome, textEnvironment, textOutcome } from './report.js';
import { runBenchmark } from './rounds.js';
import type { SuiteContext } from './subjects.js';
import { createSuite } from './suite.js';
import { prepareUdpFloor } from './udp-floor.js';

const HOST = '127.0.0.1';
const DEVICE = `soft:${HOST}?port=0`;
const QUICK_HASTE = 10;
const EXIT_USAGE = 2;

await main();

async function main(): Promise<void> {
  const options = optionsOrExit();
  endChildrenWithUs();
  const certificates = join(packageRoot(), 'build', 'bench', 'certificates');
  await loadOrCreateDevCertificates(certificates);
  const dataPath = await findDataPath(DEVICE);
  const udpFloor = prepareUdpFloor();
  const side = { host: HOST, device: DEVICE };
  const haste = options.quick ? QUICK_HASTE : 1;
  const context = { server: side, client: side, certificates, dataPath, udpFloor, haste };
  const benchmarks = chooseOrExit(context, options.only);
  const environment = describeEnvironment(dataPath, udpFloor);
  print((options.json ? jsonEnvironment : textEnvironment)(environment, options.rounds));
  let failed = false;
  for (const benchmark of benchmarks) {
    const outcome = await runBenchmark(benchmark, options.rounds, tell);
    print((options.json ? jsonOutcome : textOutcome)(outcome));
    failed ||= outcome.rows.some((row) => row.failed !== undefined);
  }
  process.exitCode = failed ? 1 : 0;
}

function optionsOrExit(): BenchOptions {
  try {
    const options = readOptions(process.argv.slice(2));
    if (!options.help) return options;
    process.stdout.write(USAGE);
    process.exit(0);
  } catch (error) {
    tell(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`);
    process.exit(EXIT_USAGE);
  }
}

function chooseOrExit(context: SuiteContext, only: readonly string[]): Benchmark[] {
  const suite = createSuite(context);
  const unknown = only.find((name) => !suite.some((benchmark) => isNamed(benchmark.name, name)));
  if (unknown !== undefined) {
    tell(`there is no benchmark '${unknown}'; there are ${suite.map(({ name }) => name).join(', ')}`);
    process.exit(EXIT_USAGE);
  }
  return suite.filter(({ name }) => only.length === 0 || only.some((wanted) => isNamed(name, wanted)));
}

function print(lines: readonly string[]): void {
  process.stdout.write(`${lines.join('\n')}\n`);
}

function tell(progress: string): void {
  process.stderr.write(`${progress}\n`);
}
