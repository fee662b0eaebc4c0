/**
 * Child processes for the scripts: run one to its end with signals forwarded, and end this process as it ended.
 *
 * Invariant: while a child runs, a signal sent to this process reaches the child and does not end this process
 * first, so whoever called `run` always gets to clean up.
 */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';

const FORWARDED_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/**
 * Runs a program to its end.
 * @param {string} command
 * @param {string[]} args
 * @param {import('node:child_process').SpawnOptions} options
 * @returns {Promise<{ code: number, signal: NodeJS.Signals | null, output: string }>} `code` is 128 + the signal's
 *   number when a signal ended it; `output` holds what was written to pipes.
 */
export function run(command, args, options) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, options);
    let output = '';
    let forwarded = null;
    const forward = (signal) => {
      forwarded = signal;
      child.kill(signal);
    };
    const stopForwarding = () => {
      for (const signal of FORWARDED_SIGNALS) process.off(signal, forward);
    };
    for (const signal of FORWARDED_SIGNALS) process.on(signal, forward);
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text) => {
        output += text;
      });
    }
    child.on('error', (error) => {
      stopForwarding();
      reject(error);
    });
    child.on('close', (code, signal) => {
      stopForwarding();
      // A program that caught the signal and gave up still counts as ended by it.
      const cause = signal || (code === 0 ? null : forwarded);
      resolve({ code: cause ? 128 + constants.signals[cause] : code, signal: cause, output });
    });
  });
}

/** Ends this process the way a child ended: by the same signal, or with the same code. */
export function exitLike({ code, signal }) {
  process.exitCode = code;
  if (signal) process.kill(process.pid, signal);
  else process.exit(code);
}
