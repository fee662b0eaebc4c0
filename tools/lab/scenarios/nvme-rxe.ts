/** Our target on rxe0 in the machine: Linux's host beside it uses its disk, and ours from outside. */
import { orKill } from '../cm-ends.js';
import type { Machine } from '../machine.js';
import { THERE } from '../network.js';
import { hostNumber, keepsFiles, LinuxDisk, NVME_PORT, runNvme, verifyByFio } from '../nvme-host.js';
import { startQueuepairThere } from '../programs.js';
import type { Lab } from '../scenario.js';
import { copyFromHere, nvmeAt } from './nvme-hosts.js';

const NQN = 'nqn.2026-01.queuepair:there';
const HOST = hostNumber(2);
const COPY_MIB = 16;
const FILES = 200;

export async function targetOnRxe({ results, machine }: Lab, folder: string): Promise<void> {
  await results.run(
    'our target on rxe0: Linux finds it, ext4 with files mounted again, fio verifies',
    { what: 'our target', device: 'rxe', host: 'Linux' },
    () => withTargetThere(machine, () => linuxUses(machine)),
  );
  await results.run(
    'our target on rxe0: our host on the soft device finds, writes and reads it',
    { what: 'our target', device: 'rxe', host: 'ours' },
    () =>
      withTargetThere(machine, async () => {
        const nvme = await nvmeAt(machine, 'soft', THERE[4]);
        const found = await nvme('discover').events;
        if (!found.some(({ nqn }) => nqn === NQN)) throw new Error(`it found ${JSON.stringify(found)}`);
        const seconds = await copyFromHere(nvme, NQN, folder, COPY_MIB);
        return `${COPY_MIB} MiB written and read in ${seconds.toFixed(1)} s, hashes equal`;
      }),
  );
}

async function withTargetThere(machine: Machine, work: () => Promise<string>): Promise<string> {
  const target = startQueuepairThere(machine, [
    ...['nvme', 'serve', '--json', '-d', 'rxe0', '--bind', THERE[4], '--memory', '64MiB', '--nqn', NQN],
  ]);
  await target.listening;
  return await orKill([target], async () => {
    const told = await work();
    await target.stop();
    const closed = await target.when('closed');
    if (closed['buffersInUse'] !== 0)
      throw new Error(`the target still holds ${closed['buffersInUse']} buffers`);
    return told;
  });
}

async function linuxUses(machine: Machine): Promise<string> {
  const said = await runNvme(
    machine,
    `discover -t rdma -a ${THERE[4]} -s ${NVME_PORT} --hostnqn ${HOST.nqn} --hostid ${HOST.id}`,
  );
  if (!said.includes(NQN)) throw new Error(`it found ${said}`);
  const disk = await LinuxDisk.connect(machine, THERE[4], NQN, HOST);
  try {
    const told = await verifyByFio(machine, disk.device, '--rw=randrw --bs=4k --iodepth=32 --size=2m');
    await keepsFiles(machine, disk, FILES);
    return `${FILES} files, fsck finds nothing; fio ${told}`;
  } finally {
    await disk.disconnect().catch(() => {});
  }
}
