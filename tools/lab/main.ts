/**
 * `npm run lab -- SCENARIO`: prepares what the lab needs, then runs it in namespaces of its own.
 *
 * Invariants: the run is bounded in time, and no process of it is left behind, however this one ends: every process
 * is killed by the kernel when its parent ends, and namespaces, tap device and mounts go with the last of them.
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';
import { runTool } from '../command-line.js';
import { spawnBound } from './commands.js';
import { type GuestImage, prepareImage } from './guest-image.js';
import { type LabOptions, parseOptions, USAGE } from './options.js';
import { CannotRun, prepareMachine } from './prerequisites.js';
import { createReport, type Report } from './report.js';

const INSIDE = fileURLToPath(new URL('./inside.js', import.meta.url));
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

async function main(options: LabOptions, args: readonly string[], report: Report): Promise<number> {
  let image: GuestImage;
  try {
    await prepareMachine(report.say);
    image = await prepareImage(report.say);
  } catch (error) {
    if (!(error instanceof CannotRun)) throw error;
    report.skipped(options.scenario, error.message);
    return 0;
  }
  const child = spawnBound(
    'unshare',
    [
      '--net',
      '--mount',
      '--',
      process.execPath,
      '--enable-source-maps',
      INSIDE,
      JSON.stringify(image),
      ...args,
    ],
    { stdio: ['ignore', 'inherit', 'inherit'] },
  );
  return await endOf(child, options, report);
}

/** The exit code; the child's own when it came to its end. */
async function endOf(child: ChildProcess, options: LabOptions, report: Report): Promise<number> {
  let interrupt: NodeJS.Signals | undefined;
  const kill = (): void => void child.kill('SIGKILL');
  const onSignal = (signal: NodeJS.Signals): void => {
    interrupt = signal;
    kill();
  };
  const timer = setTimeout(() => {
    report.say(`stopped after ${options.timeoutSeconds} s`);
    kill();
  }, options.timeoutSeconds * 1000);
  for (const signal of SIGNALS) process.on(signal, onSignal);
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  clearTimeout(timer);
  if (interrupt !== undefined) return 128 + constants.signals[interrupt];
  if (code === 0 || code === 1) return code;
  report.say(`the scenario did not come to its end (${signal ?? `exit code ${code}`})`);
  report.summary({ scenario: options.scenario, passed: 0, failed: 1, skipped: 0 });
  return 1;
}

process.env['PATH'] = `${process.env['PATH']}:/usr/sbin:/sbin`;
await runTool(USAGE, (args) => {
  const options = parseOptions(args);
  return main(options, args, createReport(options.json));
});
