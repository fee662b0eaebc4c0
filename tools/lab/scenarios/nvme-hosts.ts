/** Our NVMe host: beside Linux's at one target, and against the kernel's target, on the soft device and on rxe0. */

import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { deviceName, PLACES, type Place } from '../cm-ends.js';
import type { Machine } from '../machine.js';
import { HERE, THERE } from '../network.js';
import { verifyByFio } from '../nvme-host.js';
import { withKernelTarget } from '../nvmet.js';
import {
  type ProgramArguments,
  type Running,
  resultOf,
  startQueuepair,
  startQueuepairThere,
} from '../programs.js';
import type { Lab } from '../scenario.js';

const KERNEL_NQN = 'nqn.2026-01.queuepair:nvmet';
const KERNEL_MIB = 64;
const COPY_BYTES = 32 << 20;

/** Linux writes and verifies while our host in the machine reads the same disk over rxe0. */
export async function besideLinux(machine: Machine, nqn: string, device: string): Promise<string> {
  const reading = startQueuepairThere(machine, [
    ...['nvme', 'bench', '--json', '-d', 'rxe0', '--seconds', 5, '--depth', 8, HERE[4], nqn],
  ]);
  const told = await verifyByFio(machine, device, '--rw=randrw --bs=4k --iodepth=16 --size=4m');
  return `Linux ${told}; ours ${(await resultOf(reading, 'perSecond')).toFixed(0)} reads/s`;
}

export async function kernelTarget({ results, machine }: Lab, folder: string): Promise<void> {
  for (const place of PLACES) {
    await results.run(
      `our host uses the kernel's target, ours on ${place}`,
      { role: 'host', device: place },
      () =>
        withKernelTarget(machine, { address: THERE[4], nqn: KERNEL_NQN, mib: KERNEL_MIB }, () =>
          useTarget(machine, place, folder),
        ),
    );
  }
}

async function useTarget(machine: Machine, place: Place, folder: string): Promise<string> {
  const device = await deviceName(place, 4);
  const nvme = (command: string, ...args: ProgramArguments): Running => {
    const all = ['nvme', command, '--json', '-d', device, THERE[4], ...args];
    return place === 'soft' ? startQueuepair(all) : startQueuepairThere(machine, all);
  };
  const found = await nvme('discover').events;
  if (!found.some(({ nqn }) => nqn === KERNEL_NQN)) throw new Error(`it found ${JSON.stringify(found)}`);
  const seconds = place === 'soft' ? await copyFromHere(nvme, folder) : await copyThere(machine, nvme);
  const none = await nvme('bench', 'nqn.2026-01.queuepair:none').events.then(
    () => 'connected',
    (error: Error) => error.message,
  );
  if (!/which the target does not serve/.test(none)) throw new Error(`a wrong name: ${none}`);
  const rate = await resultOf(nvme('bench', KERNEL_NQN, '--seconds', 2), 'perSecond');
  return `32 MiB written and read in ${seconds.toFixed(1)} s, ${rate.toFixed(0)} reads/s of 4 KiB, a wrong name told`;
}

type Nvme = (command: string, ...args: ProgramArguments) => Running;

async function copyFromHere(nvme: Nvme, folder: string): Promise<number> {
  const [source, copy] = [join(folder, 'source'), join(folder, 'copy')];
  writeFileSync(source, randomBytes(COPY_BYTES));
  const wrote = await resultOf(nvme('write', KERNEL_NQN, source, '--offset', 4096), 'seconds');
  const read = await resultOf(
    nvme('read', KERNEL_NQN, copy, '--offset', 4096, '--length', COPY_BYTES, '--queues', 2),
    'seconds',
  );
  if (!readFileSync(copy).equals(readFileSync(source))) throw new Error('other bytes came back');
  return wrote + read;
}

async function copyThere(machine: Machine, nvme: Nvme): Promise<number> {
  await machine.runOrThrow(`head -c ${COPY_BYTES} /dev/urandom > /tmp/source`);
  const wrote = await resultOf(nvme('write', KERNEL_NQN, '/tmp/source'), 'seconds');
  const read = await resultOf(nvme('read', KERNEL_NQN, '/tmp/copy', '--length', COPY_BYTES), 'seconds');
  await machine.runOrThrow('cmp /tmp/source /tmp/copy && rm /tmp/source /tmp/copy');
  return wrote + read;
}
