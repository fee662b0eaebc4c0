/** Runs programs of the host, bounded in time; none of them outlives this process, however it ends. */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

export interface CommandResult {
  readonly code: number;
  /** Standard output and standard error, as they came. */
  readonly output: string;
}

export interface CommandOptions {
  readonly timeoutMillis?: number;
  readonly cwd?: string;
  readonly input?: string;
}

const DEFAULT_TIMEOUT_MILLIS = 60_000;

/** The kernel kills the child when this process ends, even by SIGKILL. */
export function spawnBound(command: string, args: readonly string[], options: SpawnOptions): ChildProcess {
  return spawn('setpriv', ['--pdeathsig', 'KILL', '--', command, ...args], options);
}

/** Runs to the end; does not throw for exit codes. @throws Error when it cannot start or takes too long. */
export function run(
  command: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const timeoutMillis = options.timeoutMillis ?? DEFAULT_TIMEOUT_MILLIS;
  return new Promise((resolve, reject) => {
    const child = spawnBound(command, args, {
      cwd: options.cwd,
      stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    });
    let output = '';
    const onText = (text: string): void => {
      output += text;
    };
    child.stdout?.setEncoding('utf8').on('data', onText);
    child.stderr?.setEncoding('utf8').on('data', onText);
    child.stdin?.on('error', () => {}).end(options.input);
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`${command} took longer than ${timeoutMillis / 1000} s: ${lastLines(output, 3)}`));
    }, timeoutMillis);
    child.on('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve({ code: code ?? 1, output });
    });
  });
}

/** As `run`, and @throws Error for an exit code that is not 0. */
export async function runOrThrow(
  command: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<string> {
  const { code, output } = await run(command, args, options);
  if (code === 0) return output;
  throw new Error(`${command} ${args.join(' ')} ended with ${code}: ${lastLines(output, 5)}`);
}

export const lastLines = (text: string, count: number): string =>
  text.trim().split('\n').slice(-count).join(' | ');

/** What Node prints of an error, without the lines that say where it was made. */
export const withoutFrames = (text: string): string =>
  text.replaceAll(/^ +(at |\.\.\. \d+ lines matching).*\n/gm, '');

export function hasCommand(name: string): boolean {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return folders.some((folder) => canExecute(join(folder, name)));
}

function canExecute(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
