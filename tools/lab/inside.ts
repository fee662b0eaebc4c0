/**
 * The lab's second process, in a network and mount namespace of its own: sets the network up, boots the machine, runs
 * the scenario in this process (the soft device too, at full speed), and reports. Started by main.ts alone.
 */
import { persistently } from './boot-watch.js';
import type { GuestImage } from './guest-image.js';
import { Machine } from './machine.js';
import { setUpNetwork } from './network.js';
import { type LabOptions, parseOptions, type ScenarioName } from './options.js';
import { createReport, type Report } from './report.js';
import { exitCodeOf, OneReason, ResultCollector, type Summary } from './results.js';
import type { Scenario } from './scenario.js';
import { boot } from './scenarios/boot.js';
import { cm } from './scenarios/cm.js';
import { conformance } from './scenarios/conformance.js';
import { doctor } from './scenarios/doctor.js';
import { errors } from './scenarios/errors.js';
import { interop } from './scenarios/interop.js';
import { nvme } from './scenarios/nvme.js';
import { overhead } from './scenarios/overhead.js';
import { perftest } from './scenarios/perftest.js';
import { pingpong } from './scenarios/pingpong.js';
import { rsocket } from './scenarios/rsocket.js';
import { session } from './scenarios/session.js';

const SCENARIOS: Readonly<Record<ScenarioName, Scenario>> = {
  boot,
  conformance,
  session,
  doctor,
  pingpong,
  perftest,
  overhead,
  interop,
  errors,
  cm,
  nvme,
  rsocket,
};

/** Tells main.ts that no summary was written. */
const BROKEN_EXIT_CODE = 3;

async function runScenario(image: GuestImage, options: LabOptions, report: Report): Promise<Summary> {
  const { scenario, only, repeat } = options;
  const results = new ResultCollector(scenario, only, report.result, undefined, report.begin, repeat);
  report.say(`booting Linux ${image.kernelVersion}…`);
  report.begin('the machine boots');
  const start = performance.now();
  const onConsole = (text: string): void => {
    if (options.verbose) process.stderr.write(text);
  };
  const bootOnce = (): Promise<Machine> => Machine.boot(image, options.accelerator, onConsole);
  const machine = await persistently(bootOnce, report.say);
  try {
    report.say(`booted in ${((performance.now() - start) / 1000).toFixed(1)} s`);
    await SCENARIOS[scenario]({ machine, results, options, say: report.say });
  } catch (error) {
    if (!(error instanceof OneReason)) throw error;
    report.say(`stopped, as every case fails for one reason: ${error.message}`);
  } finally {
    await machine.close();
  }
  return results.summary();
}

const [imageText, ...args] = process.argv.slice(2);
const image = JSON.parse(imageText ?? '') as GuestImage;
const options = parseOptions(args);
const report = createReport(options.json);
try {
  await setUpNetwork();
  const summary = await runScenario(image, options, report);
  report.summary(summary);
  process.exitCode = exitCodeOf(summary);
} catch (error) {
  report.say((error as Error).stack ?? String(error));
  process.exitCode = BROKEN_EXIT_CODE;
}
