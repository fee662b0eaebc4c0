/** The virtual machine: boots it, runs commands in it, and ends it. It cannot outlive this process. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { BootWatch } from './boot-watch.js';
import { lastLines, spawnBound } from './commands.js';
import { projectFolder } from './folders.js';
import type { GuestImage } from './guest-image.js';
import { AGENT_PORT, LINK_MTU_BYTES, PEER_PORT, TAP, THERE } from './network.js';

const BOOT_POLL_MILLIS = 100;
const SHUTDOWN_LIMIT_MILLIS = 5000;
const CONSOLE_CHARS = 20_000;
const MEMORY_MIB = 1024;

export interface GuestResult {
  readonly code: number;
  readonly output: string;
}

export class Machine {
  readonly #process: ChildProcess;
  readonly #exited: Promise<unknown>;
  readonly #boot = new BootWatch(Date.now());
  #console = '';
  #running = true;

  /** @throws StoodStill; Error when it does not come up in time, with the last lines of its console. */
  static async boot(
    image: GuestImage,
    accelerator: 'tcg' | 'kvm',
    onConsole: (text: string) => void,
  ): Promise<Machine> {
    const machine = new Machine(image, accelerator, onConsole);
    try {
      await machine.#waitForAgent();
      return machine;
    } catch (error) {
      await machine.close();
      throw error;
    }
  }

  private constructor(image: GuestImage, accelerator: 'tcg' | 'kvm', onConsole: (text: string) => void) {
    const args = qemuArguments(image, accelerator);
    this.#process = spawnBound('qemu-system-x86_64', args, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#exited = once(this.#process, 'close');
    this.#process.once('close', () => {
      this.#running = false;
    });
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#console = (this.#console + text).slice(-CONSOLE_CHARS);
        this.#boot.heard(Date.now());
        onConsole(text);
      });
    }
  }

  /**
   * Runs a shell command in the guest to its end. `onOutput` hears of what it prints while it prints it.
   *
   * @throws Error when it takes too long or the machine is gone; an exit code that is not 0 is a result.
   */
  async run(
    command: string,
    timeoutMillis = 60_000,
    onOutput: (piece: string) => void = () => {},
  ): Promise<GuestResult> {
    if (/[\n\0]/.test(command)) throw new Error('a command is one line');
    const socket = connect({ host: THERE[4], port: AGENT_PORT });
    const timer = setTimeout(() => {
      socket.destroy(new Error(`${command} took longer than ${timeoutMillis / 1000} s in the guest`));
    }, timeoutMillis);
    try {
      await once(socket, 'connect');
      socket.write(`${command}\n`);
      return await readResult(socket, onOutput);
    } finally {
      clearTimeout(timer);
      socket.destroy();
    }
  }

  /** As `run`, and @throws Error for an exit code that is not 0. */
  async runOrThrow(command: string, timeoutMillis?: number): Promise<string> {
    const { code, output } = await this.run(command, timeoutMillis);
    if (code === 0) return output;
    throw new Error(`${command} ended with ${code} in the guest: ${lastLines(output, 3)}`);
  }

  get console(): string {
    return this.#console;
  }

  /** Powers off, or kills what does not want to. Idempotent. */
  async close(): Promise<void> {
    if (!this.#running) return;
    const socket = connect({ host: THERE[4], port: AGENT_PORT });
    socket.on('error', () => {});
    socket.write('exit\n');
    await Promise.race([this.#exited, delay(SHUTDOWN_LIMIT_MILLIS, undefined, { ref: false })]);
    socket.destroy();
    if (this.#running) this.#process.kill('SIGKILL');
    await this.#exited;
  }

  async #waitForAgent(): Promise<void> {
    for (;;) {
      if (!this.#running) throw new Error(`the machine ended: ${lastLines(this.#console, 5)}`);
      if ((await answers(PEER_PORT)) && (await answers(AGENT_PORT))) return;
      this.#boot.check(Date.now(), this.#console);
      await delay(BOOT_POLL_MILLIS);
    }
  }
}

function qemuArguments(image: GuestImage, accelerator: 'tcg' | 'kvm'): string[] {
  const environment = [
    `LAB_MTU=${LINK_MTU_BYTES}`,
    `LAB_IPV4=${THERE[4]}`,
    `LAB_IPV6=${THERE[6]}`,
    `LAB_AGENT_PORT=${AGENT_PORT}`,
    `LAB_PEER_PORT=${PEER_PORT}`,
    `LAB_PROJECT="${projectFolder()}"`,
    `LAB_NODE="${dirname(process.execPath)}"`,
  ];
  const kernelArguments = [
    'console=ttyS0',
    'panic=-1',
    'net.ifnames=0',
    'mitigations=off',
    'tsc=reliable',
    'clocksource=tsc',
  ];
  const share = (id: string, path: string): string[] => [
    ...[
      '-fsdev',
      `local,id=${id},path=${path.replaceAll(',', ',,')},security_model=none,readonly=on,multidevs=remap`,
    ],
    ...['-device', `virtio-9p-pci,fsdev=${id},mount_tag=${id}`],
  ];
  return [
    ...['-accel', accelerator === 'kvm' ? 'kvm' : 'tcg,thread=multi', '-cpu', 'max'],
    ...['-m', String(MEMORY_MIB), '-smp', '2', '-nographic', '-no-reboot', '-nodefaults'],
    ...['-serial', 'stdio', '-monitor', 'none'],
    ...['-kernel', image.kernel, '-initrd', image.initramfs],
    ...['-append', [...kernelArguments, ...environment].join(' ')],
    ...share('hostroot', '/'),
    ...share('lab', image.labFolder),
    ...['-netdev', `tap,id=net,ifname=${TAP},script=no,downscript=no,vhost=off`],
    ...['-device', 'virtio-net-pci,netdev=net,romfile='],
  ];
}

/** Whether somebody listens at the port. */
function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: THERE[4], port });
    const end = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(1000, () => end(false));
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
  });
}

/** The output, and behind a NUL the exit code. */
async function readResult(socket: Socket, onOutput: (piece: string) => void): Promise<GuestResult> {
  let text = '';
  socket.setEncoding('utf8');
  for await (const piece of socket as AsyncIterable<string>) {
    text += piece;
    onOutput(piece);
    const mark = text.indexOf('\0');
    if (mark >= 0 && text.endsWith('\n')) {
      return { code: Number(text.slice(mark + 1)), output: text.slice(0, mark) };
    }
  }
  throw new Error(`the machine closed the connection: ${lastLines(text, 2)}`);
}
