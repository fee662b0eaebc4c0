/**
 * Two network namespaces joined by a pair of interfaces, both named qp0, and processes of Node.js in them that a test
 * talks to over their IPC channels. Needs root.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';

let made = 0;

export class VethLink {
  readonly namespaces: readonly [string, string];

  static reasonToSkip(): string | false {
    if (process.getuid?.() !== 0) return 'network namespaces need root';
    if (spawnSync('ip', ['-V']).error !== undefined) return 'ip is not installed';
    const name = `qp${process.pid}t`;
    if (spawnSync('ip', ['netns', 'add', name]).status !== 0) return 'network namespaces cannot be made here';
    spawnSync('ip', ['netns', 'del', name]);
    return false;
  }

  constructor(addresses: readonly [string, string]) {
    made++;
    const [a, b] = [`qp${process.pid}a${made}`, `qp${process.pid}b${made}`];
    this.namespaces = [a, b];
    for (const name of this.namespaces) run('ip', 'netns', 'add', name);
    run('ip', '-n', a, 'link', 'add', 'qp0', 'type', 'veth', 'peer', 'name', 'qp0', 'netns', b);
    this.address(0, 'add', addresses[0]);
    this.address(1, 'add', addresses[1]);
    for (const side of [0, 1] as const) this.set(side, 'up');
  }

  address(side: 0 | 1, verb: 'add' | 'del', address: string): void {
    const isIpv6 = address.includes(':');
    const name = this.namespaces[side];
    const extra = isIpv6 && verb === 'add' ? ['nodad'] : [];
    run('ip', '-n', name, 'address', verb, `${address}/${isIpv6 ? 64 : 24}`, 'dev', 'qp0', ...extra);
  }

  set(side: 0 | 1, state: 'up' | 'down'): void {
    run('ip', '-n', this.namespaces[side], 'link', 'set', 'qp0', state);
  }

  /** Runs a command there until it ends. */
  inside(side: 0 | 1, command: string, ...args: string[]): void {
    run('ip', 'netns', 'exec', this.namespaces[side], command, ...args);
  }

  start(side: 0 | 1, command: string, ...args: string[]): ChildProcess {
    const stdio: ('ignore' | 'inherit' | 'pipe' | 'ipc')[] = ['ignore', 'inherit', 'pipe'];
    if (command === process.execPath) stdio.push('ipc');
    return spawn('ip', ['netns', 'exec', this.namespaces[side], command, ...args], { stdio });
  }

  remove(): void {
    for (const name of this.namespaces) spawnSync('ip', ['netns', 'del', name]);
  }
}

function run(command: string, ...args: string[]): void {
  execFileSync(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

/** The next message of a peer; rejects with what it said when it ends instead. */
export function hear<T>(peer: ChildProcess): Promise<T> {
  return new Promise((resolve, reject) => {
    let said = '';
    const onText = (text: unknown): void => {
      said += String(text);
    };
    const onMessage = (message: unknown): void => {
      peer.off('close', onClose);
      peer.stderr?.off('data', onText);
      resolve(message as T);
    };
    const onClose = (code: number | null, signal: string | null): void => {
      peer.off('message', onMessage);
      reject(new Error(`a peer ended (${signal ?? code}): ${said}`));
    };
    peer.stderr?.on('data', onText);
    peer.once('message', onMessage);
    peer.once('close', onClose);
  });
}

export async function tell<T>(peer: ChildProcess, order: object): Promise<T> {
  const answer = hear<T>(peer);
  peer.send(order);
  return answer;
}
