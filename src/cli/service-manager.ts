/**
 * The service manager that started this process, as systemd is one: the socket that it hands over (sd_listen_fds), and what it hears
 * of us (sd_notify): ready, alive, stopping.
 *
 * Node.js has no datagram sockets of the UNIX domain, so `systemd-notify` says it. A process that is told nothing runs on all the same.
 */
import { spawn } from 'node:child_process';
import { usageError } from '../verbs/errors.js';

/** The first descriptor that is handed over. */
const FIRST_FD = 3;

type Environment = Record<string, string | undefined>;

export class ServiceManager {
  /** A TCP socket that listens, when one was handed over. */
  readonly fd: number | undefined;
  readonly #isListening: boolean;
  readonly #watchdogMillis: number | undefined;
  readonly #env: NodeJS.ProcessEnv;
  #watchdog: NodeJS.Timeout | undefined;
  #isBusy = false;
  #isMute = false;

  /**
   * Takes what is meant for this process out of `env`: children must not take it for theirs.
   *
   * @throws RdmaError ERR_RDMA_INVALID_ARGUMENT for more than one socket.
   */
  constructor(env: Environment = process.env, pid = process.pid) {
    this.#env = { PATH: env['PATH'], NOTIFY_SOCKET: env['NOTIFY_SOCKET'] };
    this.#isListening = (env['NOTIFY_SOCKET'] ?? '') !== '';
    this.fd = handedOver(env, pid);
    this.#watchdogMillis = isMeant(env['WATCHDOG_PID'] ?? String(pid), pid)
      ? millisOf(env['WATCHDOG_USEC'])
      : undefined;
    for (const name of [
      'LISTEN_PID',
      'LISTEN_FDS',
      'LISTEN_FDNAMES',
      'NOTIFY_SOCKET',
      'WATCHDOG_PID',
      'WATCHDOG_USEC',
    ])
      delete env[name];
  }

  /** Clients are served from now on; says so as long as the event loop turns, where a watchdog asks for that. */
  ready(status: string): void {
    this.#tell('READY=1', `STATUS=${status}`);
    if (!this.#isListening || this.#watchdogMillis === undefined) return;
    this.#watchdog = setInterval(() => this.#tell('WATCHDOG=1'), this.#watchdogMillis / 2);
    this.#watchdog.unref();
  }

  stopping(): void {
    clearInterval(this.#watchdog);
    this.#isBusy = false;
    this.#tell('STOPPING=1');
  }

  #tell(...words: string[]): void {
    if (!this.#isListening || this.#isMute || this.#isBusy) return;
    this.#isBusy = true;
    const child = spawn('systemd-notify', words, { env: this.#env, stdio: 'ignore' });
    child.unref();
    child.once('error', (error) => this.#onMute(error));
    child.once('exit', () => {
      this.#isBusy = false;
    });
  }

  #onMute(error: Error): void {
    this.#isMute = true;
    clearInterval(this.#watchdog);
    process.stderr.write(
      `queuepair: the service manager does not hear of us (NOTIFY_SOCKET): systemd-notify cannot be run: ${error.message}\n`,
    );
  }
}

function handedOver(env: Environment, pid: number): number | undefined {
  const { LISTEN_PID: listenPid, LISTEN_FDS: count = '0' } = env;
  if (!isMeant(listenPid, pid) || count === '0') return undefined;
  if (count !== '1') {
    throw usageError(
      `the service manager hands over ${Number(count)} sockets (LISTEN_FDS); a server takes one, of TCP`,
    );
  }
  return FIRST_FD;
}

const isMeant = (text: string | undefined, pid: number): boolean => text === String(pid);

function millisOf(micros: string | undefined): number | undefined {
  const millis = Number(micros) / 1000;
  return millis >= 1 ? millis : undefined;
}
