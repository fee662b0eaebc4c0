/**
 * Asks a judge, in a process of its own, about the code of a copy of the build.
 *
 * A judge that ran into its time limit has noticed nothing: whoever waits that long learns that something is slow or
 * stuck, not what is wrong. The same holds for a test that failed by its own time limit only.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { endWithUs, killGroup } from '../end-with-us.js';
import type { BuildCopy } from './build-copy.js';
import type { Judge } from './fault.js';

export interface Verdict {
  readonly noticed: boolean;
  /** The first sign, or why there is none. */
  readonly sign: string;
  /** Nothing was noticed within the time, which says nothing about what would have been. */
  readonly isLate: boolean;
}

const DEFAULT_SEEDS = '1..100';
const MAX_OUTPUT_CHARS = 1_000_000;
/** For open handles to be closed after a test process is told to go. */
const GRACE_MILLIS = 2_000;

export async function askJudge(copy: BuildCopy, judge: Judge, limitMillis: number): Promise<Verdict> {
  const script = (name: string): string => join(copy.build, 'tools/mutation/judges', `${name}.js`);
  const [kind = '', detail] = judge.split(':');
  if (kind === 'sim') return run(copy, [script('sim'), detail ?? DEFAULT_SEEDS], limitMillis);
  if (kind === 'connections') return run(copy, [script('connections'), detail ?? DEFAULT_SEEDS], limitMillis);
  if (kind === 'cm') return run(copy, [script('cm'), detail ?? DEFAULT_SEEDS], limitMillis);
  if (kind === 'fuzz') return run(copy, [script('fuzz'), detail ?? ''], limitMillis);
  const reporter = `--test-reporter=${script('failures')}`;
  const files = testFiles(copy.build, judge).map((path) => join(copy.build, path));
  if (files.length === 0) return { noticed: true, sign: 'there is no such test', isLate: false };
  return run(copy, [reporter, script('tests'), ...files], limitMillis);
}

/** Paths of test files under `build`, without a leading slash; none when nothing is there. */
export function testFiles(build: string, judge: Judge): readonly string[] {
  const path = join(build, judge);
  if (existsSync(`${path}.test.js`)) return [`${judge}.test.js`];
  if (!existsSync(path) || !statSync(path).isDirectory()) return [];
  return readdirSync(path, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.js'))
    .sort()
    .map((name) => join(judge, name));
}

async function run(copy: BuildCopy, args: readonly string[], limitMillis: number): Promise<Verdict> {
  const child = spawn(process.execPath, ['--enable-source-maps', ...args], {
    cwd: copy.build,
    env: copy.environment,
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own, so that what a test started ends with it.
    detached: true,
  });
  const ended = endWithUs(() => kill(child));
  const stopped = new AbortController();
  let isLate = false;
  void delay(limitMillis, undefined, { signal: stopped.signal, ref: false }).then(
    () => {
      isLate = true;
      kill(child);
    },
    () => undefined,
  );
  const { code, signal, stdout, stderr } = await outputOf(child);
  stopped.abort();
  kill(child);
  ended();
  const failures = stdout
    .split('\n')
    .filter((line) => line.startsWith('noticed: '))
    .map((line) => line.slice('noticed: '.length));
  const [first] = failures;
  if (first !== undefined) return { noticed: true, sign: first, isLate: false };
  if (isLate) return { noticed: false, sign: `no verdict within ${limitMillis / 1000} s`, isLate };
  if (stdout.includes('timed out: '))
    return { noticed: false, sign: 'only a time limit was exceeded', isLate: true };
  if (code === 0) return { noticed: false, sign: 'nothing objected', isLate: false };
  const lastWords =
    stderr
      .trim()
      .split('\n')
      .find((line) => /error/i.test(line)) ?? stderr.trim().split('\n').at(-1);
  const sign = `the process ended with ${signal ?? `code ${code}`}: ${lastWords ?? ''}`;
  return { noticed: true, sign, isLate: false };
}

const kill = ({ pid }: ChildProcess): void => killGroup(pid);

interface Output {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

function outputOf(child: ChildProcess): Promise<Output> {
  const text = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]?.setEncoding('utf8').on('data', (part: string) => {
      text[name] = (text[name] + part).slice(-MAX_OUTPUT_CHARS);
      // One sign is enough.
      if (name === 'stdout' && /^noticed: .*\n/m.test(text.stdout)) kill(child);
    });
  }
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    const finish = (code: number | null, signal: NodeJS.Signals | null): void =>
      resolve({ code, signal, ...text });
    child.on('close', finish);
    // A grandchild may keep the pipes open.
    child.on('exit', (code, signal) => setTimeout(finish, GRACE_MILLIS, code, signal).unref());
  });
}
