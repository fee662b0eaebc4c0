/**
 * Who writes a partial file: a process of this machine that can be told from all others, so that its part is written on by another one
 * only when it has ended.
 *
 * Invariant: `hasEnded` says so only when it is certain; a process of another machine, of another container, or of before this machine
 * started may be there.
 */
import { readFile, readlink } from 'node:fs/promises';
import { hostname } from 'node:os';

export interface PartOwner {
  /** The machine since it started, and the process numbers that count there. */
  readonly machine: string;
  readonly pid: number;
  /** When the process began, as the system counts; empty where that cannot be read. */
  readonly startedAt: string;
}

let self: Promise<PartOwner> | undefined;

export function thisProcess(): Promise<PartOwner> {
  self ??= readSelf();
  return self;
}

/** Whether this process is the one. */
export async function isSelf(owner: PartOwner): Promise<boolean> {
  const { machine, pid, startedAt } = await thisProcess();
  return owner.machine === machine && owner.pid === pid && owner.startedAt === startedAt;
}

export async function hasEnded(owner: PartOwner): Promise<boolean> {
  if (owner.machine !== (await thisProcess()).machine) return false;
  const startedAt = await startOf(owner.pid);
  if (startedAt !== undefined && owner.startedAt !== '') return startedAt !== owner.startedAt;
  try {
    process.kill(owner.pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}

async function readSelf(): Promise<PartOwner> {
  const [boot, numbers] = await Promise.all([
    readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => ''),
    readlink('/proc/self/ns/pid').catch(() => ''),
  ]);
  const machine = [hostname(), boot.trim(), numbers].join(' ');
  return { machine, pid: process.pid, startedAt: (await startOf(process.pid)) ?? '' };
}

/** Of a process that is there, on Linux. */
async function startOf(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => undefined);
  // The name of the program, in parentheses, may have any characters.
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
}
