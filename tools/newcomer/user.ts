/** A user without rights and without a compiler: how programs of the newcomer are started. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';

const LIMIT_MILLIS = 120_000;
/** What a machine needs to reach its registry. */
const REACHING = /^(NODE_EXTRA_CA_CERTS|SSL_CERT_FILE|SSL_CERT_DIR|(HTTPS?|NO)_PROXY)$/i;
/** `nobody` of Linux. */
const NOBODY = 65_534;

export const isRoot = process.getuid?.() === 0;
export const userId: number = isRoot ? NOBODY : (process.getuid?.() ?? 0);

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Place {
  /** Where programs run. */
  readonly folder: string;
  /** All that is found by name. */
  readonly path: string;
  readonly home: string;
  readonly cache: string;
}

/** Runs a program to its end; `onLine` hears the first line that it prints. */
export async function runAsUser(
  command: readonly string[],
  { folder, path, home, cache }: Place,
  onLine?: (line: string) => void,
): Promise<Outcome> {
  const reaching = Object.entries(process.env).filter(([name]) => REACHING.test(name));
  const env = {
    ...Object.fromEntries(reaching),
    npm_config_update_notifier: 'false',
    PATH: path,
    HOME: home,
    XDG_CONFIG_HOME: home,
    npm_config_cache: cache,
    LANG: 'C.UTF-8',
  };
  const as = ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups', '--no-new-privs'];
  const [program = '', ...args] = isRoot ? [...as, ...command] : command;
  const child = spawn(program === 'setpriv' ? '/usr/bin/setpriv' : program, args, {
    cwd: folder,
    env,
    timeout: LIMIT_MILLIS,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (piece) => {
    const isFirst = !stdout.includes('\n');
    stdout += String(piece);
    if (isFirst && stdout.includes('\n')) onLine?.(stdout.slice(0, stdout.indexOf('\n')));
  });
  child.stderr.on('data', (piece) => (stderr += String(piece)));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}
