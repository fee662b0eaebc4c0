/** Our NVMe host: beside Linux's at one target, and against the kernel's target, on the soft device and on rxe0. */
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { Capture } from '../capture.js';
import { deviceName, PLACES, type Place } from '../cm-ends.js';
import type { Machine } from '../machine.js';
import { HERE, THERE } from '../network.js';
import { verifyByFio } from '../nvme-host.js';
import { type KernelTarget, withKernelTarget } from '../nvmet.js';
import {
  type ProgramArguments,
  type Running,
  resultOf,
  startQueuepair,
  startQueuepairThere,
} from '../programs.js';
import type { Lab } from '../scenario.js';
import { judgeNvmeWire } from './nvme-wire.js';

const KERNEL_NQN = 'nqn.2026-01.queuepair:nvmet';
const KERNEL_MIB = 320;
/** In the machine everything is emulated, and lies in its memory. */
const COPY_MIB: Readonly<Record<Place, number>> = { soft: 256, rxe: 64 };
const LOST_MIB = 48;
/** Blocks of 512 bytes that the target has by then. */
const LOST_AFTER_BLOCKS = 16_384;

/** Linux writes and verifies while our host in the machine reads the same disk over rxe0. */
export async function besideLinux(machine: Machine, nqn: string, device: string): Promise<string> {
  const reading = startQueuepairThere(machine, [
    ...['nvme', 'bench', '--json', '-d', 'rxe0', '--seconds', 5, '--depth', 8, HERE[4], nqn],
  ]);
  const told = await verifyByFio(machine, device, '--rw=randrw --bs=4k --iodepth=16 --size=4m');
  return `Linux ${told}; ours ${(await resultOf(reading, 'perSecond')).toFixed(0)} reads/s`;
}

/** Starts a command of our host with JSON, where its device is. */
export type Nvme = (command: string, ...args: ProgramArguments) => Running;

export async function nvmeAt(machine: Machine, place: Place, target: string): Promise<Nvme> {
  const device = await deviceName(place, 4);
  return (command, ...args) => {
    const all = ['nvme', command, '--json', '-d', device, target, ...args];
    return place === 'soft' ? startQueuepair(all) : startQueuepairThere(machine, all);
  };
}

export async function kernelTarget(lab: Lab, folder: string): Promise<void> {
  const { results, machine } = lab;
  const where = { address: THERE[4], nqn: KERNEL_NQN, mib: KERNEL_MIB };
  for (const place of PLACES) {
    await results.run(
      `our host uses the kernel's target, ours on ${place}`,
      { what: 'our host', device: place },
      () => withKernelTarget(machine, where, () => useTarget(machine, place, folder)),
    );
  }
  const capture = await Capture.start();
  try {
    await results.run(
      "the kernel's target goes amid our host's writes and comes again: nothing is lost",
      { what: 'reconnect', device: 'soft' },
      () => withKernelTarget(machine, where, (target) => loseTarget(machine, target, folder)),
    );
    await judgeNvmeWire(lab, capture, 'our host and the kernel’s target');
  } finally {
    capture.close();
  }
}

async function useTarget(machine: Machine, place: Place, folder: string): Promise<string> {
  const nvme = await nvmeAt(machine, place, THERE[4]);
  const found = await nvme('discover').events;
  if (!found.some(({ nqn }) => nqn === KERNEL_NQN)) throw new Error(`it found ${JSON.stringify(found)}`);
  const mib = COPY_MIB[place];
  const seconds =
    place === 'soft'
      ? await copyFromHere(nvme, KERNEL_NQN, folder, mib)
      : await copyThere(machine, nvme, KERNEL_NQN, mib);
  const errors = await tellErrors(nvme, await smallFile(machine, place, folder));
  const rate = await resultOf(nvme('bench', KERNEL_NQN, '--seconds', 2), 'perSecond');
  return `${mib} MiB written, flushed and read in ${seconds.toFixed(1)} s, hashes equal; ${rate.toFixed(0)} reads/s of 4 KiB; ${errors}`;
}

/** What a user does wrong, and the words that it must be told in. */
async function tellErrors(nvme: Nvme, small: string): Promise<string> {
  const wrong: readonly (readonly [string, () => Running, RegExp])[] = [
    [
      'a wrong name',
      () => nvme('bench', 'nqn.2026-01.queuepair:none'),
      /nqn\.2026-01\.queuepair:none, which the target does not serve/,
    ],
    [
      'a wrong size',
      () => nvme('write', KERNEL_NQN, small),
      /has 5 bytes, which is no multiple of the disk's blocks/,
    ],
    [
      'beyond the end',
      () => nvme('read', KERNEL_NQN, '/dev/null', '--offset', `${KERNEL_MIB}MiB`, '--length', 4096),
      /reaches beyond the end of the disk, which has \d+ bytes/,
    ],
  ];
  for (const [what, start, words] of wrong) {
    const said = await start().events.then(
      () => 'nothing',
      (error: Error) => error.message,
    );
    if (!words.test(said)) throw new Error(`${what}: it says ${said}`);
  }
  return `${wrong.map(([what]) => what).join(', ')} told in words`;
}

async function smallFile(machine: Machine, place: Place, folder: string): Promise<string> {
  const file = place === 'soft' ? join(folder, 'small') : '/tmp/small';
  if (place === 'soft') writeFileSync(file, 'short');
  else await machine.runOrThrow(`printf short > ${file}`);
  return file;
}

/** Returns seconds. */
export async function copyFromHere(nvme: Nvme, nqn: string, folder: string, mib: number): Promise<number> {
  const [source, copy] = [join(folder, 'source'), join(folder, 'copy')];
  writeRandom(source, mib);
  const wrote = await resultOf(nvme('write', nqn, source, '--offset', 4096), 'seconds');
  const read = await resultOf(
    nvme('read', nqn, copy, '--offset', 4096, '--length', `${mib}MiB`, '--queues', 2),
    'seconds',
  );
  await expectEqual(source, copy);
  return wrote + read;
}

async function copyThere(machine: Machine, nvme: Nvme, nqn: string, mib: number): Promise<number> {
  await machine.runOrThrow(`head -c ${mib}M /dev/urandom > /tmp/source`);
  const wrote = await resultOf(nvme('write', nqn, '/tmp/source'), 'seconds');
  const read = await resultOf(nvme('read', nqn, '/tmp/copy', '--length', `${mib}MiB`), 'seconds');
  await machine.runOrThrow('cmp /tmp/source /tmp/copy && rm /tmp/source /tmp/copy');
  return wrote + read;
}

async function loseTarget(machine: Machine, target: KernelTarget, folder: string): Promise<string> {
  const nvme = await nvmeAt(machine, 'soft', THERE[4]);
  const [source, copy] = [join(folder, 'source'), join(folder, 'copy')];
  writeRandom(source, LOST_MIB);
  const writing = nvme('write', KERNEL_NQN, source, '--reconnect', 60);
  await machine.runOrThrow(
    `until [ $(stat -c %b ${target.file}) -gt ${LOST_AFTER_BLOCKS} ]; do sleep 0.1; done`,
  );
  await target.leave();
  const { message } = await writing.when('reconnecting');
  await target.comeAgain();
  const back = await writing.when('reconnected');
  await writing.events;
  await nvme('read', KERNEL_NQN, copy, '--length', `${LOST_MIB}MiB`).events;
  await expectEqual(source, copy);
  return `${message}; ${back['message']}; ${LOST_MIB} MiB written, hashes equal`;
}

function writeRandom(file: string, mib: number): void {
  writeFileSync(file, Buffer.concat(Array.from({ length: mib }, () => randomBytes(1 << 20))));
}

async function expectEqual(one: string, other: string): Promise<void> {
  const [first, second] = await Promise.all([one, other].map(hashOf));
  if (first !== second) throw new Error(`other bytes came back: ${first}, ${second}`);
}

async function hashOf(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}
