/**
 * Linux's NVMe host in the machine, and a disk that `queuepair nvme serve` serves on the soft device of this side: a file system, fio,
 * several hosts, a network that loses packets, and a target that is killed in the middle of writes.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeBad, makeGood, readDamage } from '../bad-network.js';
import { bundlePrograms } from '../bundle.js';
import { Capture } from '../capture.js';
import { orKill } from '../cm-ends.js';
import { writePart } from '../interop-document.js';
import type { Machine } from '../machine.js';
import { HERE } from '../network.js';
import { renderNvme } from '../nvme-document.js';
import { hostNumber, keepsFiles, LinuxDisk, NVME_PORT, runNvme, verifyByFio } from '../nvme-host.js';
import { type ProgramArguments, type Running, startQueuepair, useBundles } from '../programs.js';
import type { Lab } from '../scenario.js';
import { softDeviceName } from '../soft-device.js';
import { besideLinux, kernelTarget } from './nvme-hosts.js';
import { targetOnRxe } from './nvme-rxe.js';
import { judgeNvmeWire } from './nvme-wire.js';

const NQN = 'nqn.2026-01.queuepair:disk';
const HOST = hostNumber(1);
const FILES = 1000;
const SMALL_FIO = '--rw=randrw --bs=4k --iodepth=32 --size=8m';
/** A lost packet costs the kernel's device a second. */
const LOSSY_FIO = '--rw=randrw --bs=4k --iodepth=32 --size=512k';
const LOSSY_MILLIS = 300_000;
/** It serves for a whole case. */
const TARGET_MILLIS = 400_000;
const LARGE_FIO = '--rw=write --bs=1m --iodepth=4 --size=32m';

export async function nvme(lab: Lab): Promise<void> {
  const bundles = await bundlePrograms();
  useBundles(bundles);
  const folder = mkdtempSync(join(tmpdir(), 'queuepair-nvme-'));
  try {
    await onGoodNetwork(lab, join(folder, 'disk.img'));
    await badNetwork(lab);
    await twoHosts(lab);
    await targetOnRxe(lab, folder);
    await kernelTarget(lab, folder);
    if (lab.options.writeDocs) await writePart(lab, 'nvme', renderNvme);
  } finally {
    bundles.remove();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function startTarget(args: ProgramArguments): Promise<Running> {
  const device = await softDeviceName(4);
  const running = startQueuepair(
    ['nvme', 'serve', '--json', '-d', device, '--bind', HERE[4], ...args],
    TARGET_MILLIS,
  );
  await running.listening;
  return running;
}

/** Runs `work` with a target that ends in order, and tells what it counted. */
async function withTarget(args: ProgramArguments, work: () => Promise<string>): Promise<string> {
  const target = await startTarget(args);
  return await orKill([target], async () => {
    const told = await work();
    await target.stop();
    const closed = await target.when('closed');
    if (closed['buffersInUse'] !== 0)
      throw new Error(`the target still holds ${closed['buffersInUse']} buffers`);
    return told;
  });
}

/** Runs `work` with the disk of a host, which leaves afterwards, whatever happens. */
async function withDisk(
  machine: Machine,
  nqn: string,
  work: (disk: LinuxDisk) => Promise<string>,
  host = HOST,
): Promise<string> {
  const disk = await LinuxDisk.connect(machine, HERE[4], nqn, host);
  try {
    return await work(disk);
  } finally {
    await disk.disconnect().catch(() => {});
  }
}

const MEMORY: ProgramArguments = ['--memory', '128MiB', '--nqn', NQN];

/** All of it is captured, and looked at afterwards. */
async function onGoodNetwork(lab: Lab, file: string): Promise<void> {
  const capture = await Capture.start();
  try {
    await firstSteps(lab);
    await fileSystem(lab);
    await killedTarget(lab, file);
    await judgeNvmeWire(lab, capture, 'Linux and our target');
  } finally {
    capture.close();
  }
}

async function firstSteps({ results, machine }: Lab): Promise<void> {
  await results.run('a host discovers the disk', { what: 'discover' }, () =>
    withTarget(MEMORY, async () => {
      const said = await runNvme(
        machine,
        `discover -t rdma -a ${HERE[4]} -s ${NVME_PORT} --hostnqn ${HOST.nqn} --hostid ${HOST.id}`,
      );
      if (!said.includes(NQN) || !said.includes(HERE[4])) throw new Error(`it found ${said}`);
      return 'the subsystem at our address';
    }),
  );
  await results.run('a host connects, writes and reads', { what: 'connect' }, () =>
    withTarget(MEMORY, () => withDisk(machine, NQN, (disk) => firstBlocks(machine, disk))),
  );
  await results.run('nvme-cli reads what the controller says of itself', { what: 'admin' }, () =>
    withTarget(MEMORY, () => withDisk(machine, NQN, (disk) => adminCommands(machine, disk))),
  );
  await results.run('a name that nobody serves is refused in words', { what: 'refused' }, () =>
    withTarget(MEMORY, async () => {
      const said = await LinuxDisk.connect(machine, HERE[4], 'nqn.2026-01.queuepair:none', HOST).then(
        () => 'connected',
        (error: Error) => error.message,
      );
      if (!/SUBNQN|subsysnqn|Invalid Parameter/i.test(said)) throw new Error(`it says ${said}`);
      return said.slice(0, 100);
    }),
  );
}

/** Every size by which data can travel: in the capsule, one page, the largest. */
async function firstBlocks(machine: Machine, { device }: LinuxDisk): Promise<string> {
  await machine.runOrThrow('head -c 1048576 /dev/urandom > /tmp/data');
  for (const size of ['4k', '64k', '1M']) {
    await machine.runOrThrow(
      `dd if=/tmp/data of=${device} bs=${size} count=1 oflag=direct conv=fsync status=none`,
    );
    await machine.runOrThrow(`dd if=${device} of=/tmp/again bs=${size} count=1 iflag=direct status=none`);
    await machine.runOrThrow(`cmp -n $(stat -c %s /tmp/again) /tmp/data /tmp/again`);
  }
  await machine.runOrThrow(`blkdiscard -f ${device} && blkdiscard -z -l 1M ${device}`);
  return '4 KiB, 64 KiB, 1 MiB, discard and zeroes';
}

async function adminCommands(machine: Machine, { controller, device }: LinuxDisk): Promise<string> {
  const commands = [
    `id-ctrl ${controller}`,
    `id-ns ${device}`,
    `smart-log ${controller}`,
    `effects-log ${controller}`,
    `fw-log ${controller}`,
    `error-log ${controller}`,
    `list-ns ${controller}`,
    `ns-descs ${device}`,
    `get-feature ${controller} -f 7`,
    `flush ${device}`,
    `compare ${device} -s 0 -c 0 -z 4096 -d /tmp/block`,
  ];
  await machine.runOrThrow(`dd if=${device} of=/tmp/block bs=4k count=1 iflag=direct status=none`);
  for (const command of commands) await runNvme(machine, command);
  const beyond = await machine.run(`nvme read ${device} -s 99999999 -c 0 -z 4096 2>&1`);
  if (!/LBA_RANGE|out of range|capacity/i.test(beyond.output))
    throw new Error(`beyond the end: ${beyond.output}`);
  await machine.runOrThrow('head -c 4096 /dev/urandom > /tmp/block');
  const differs = await machine.run(`nvme compare ${device} -s 0 -c 0 -z 4096 -d /tmp/block 2>&1`);
  if (!/compar/i.test(differs.output)) throw new Error(`other bytes: ${differs.output}`);
  return `${commands.length} commands; beyond the end: LBA out of range; other bytes: compare failure`;
}

async function fileSystem({ results, machine }: Lab): Promise<void> {
  await results.run(`ext4 with ${FILES} files, mounted again, all hashes equal`, { what: 'ext4' }, () =>
    withTarget(MEMORY, () =>
      withDisk(machine, NQN, async (disk) => {
        await keepsFiles(machine, disk, FILES);
        return `${FILES} files, fsck finds nothing`;
      }),
    ),
  );
  await results.run('fio verifies random reads and writes at depth 32', { what: 'fio' }, () =>
    withTarget(MEMORY, () =>
      withDisk(machine, NQN, async ({ device }) => {
        const small = await verifyByFio(machine, device, SMALL_FIO);
        return `4 KiB: ${small}; 1 MiB: ${await verifyByFio(machine, device, LARGE_FIO)}`;
      }),
    ),
  );
}

async function twoHosts({ results, machine }: Lab): Promise<void> {
  await results.run('two hosts at once: Linux, and ours on rxe0', { what: 'two hosts' }, () =>
    withTarget(MEMORY, () => withDisk(machine, NQN, ({ device }) => besideLinux(machine, NQN, device))),
  );
}

async function badNetwork({ results, machine }: Lab): Promise<void> {
  await results.run('fio verifies over a network that loses 1 %', { what: 'loss' }, () =>
    withTarget(MEMORY, () =>
      withDisk(machine, NQN, async ({ device }) => {
        await makeBad(machine, 'loss 1%');
        try {
          const told = await verifyByFio(machine, device, LOSSY_FIO, LOSSY_MILLIS);
          const { dropped, sent } = await readDamage(machine);
          return `${told}; ${dropped} of ${sent} packets lost`;
        } finally {
          await makeGood(machine);
        }
      }),
    ),
  );
}

/** The kernel holds what was not answered, comes again, and goes on. */
async function killedTarget({ results, machine }: Lab, file: string): Promise<void> {
  await results.run(
    'the target is killed amid writes: the host comes again, nothing is lost',
    { what: 'kill' },
    async () => {
      const args: ProgramArguments = [file, '--size', '64MiB', '--nqn', NQN];
      const first = await startTarget(args);
      let second: Running | undefined;
      return await orKill([first], () =>
        withDisk(machine, NQN, async ({ device, controller }) => {
          const verifying = verifyByFio(machine, device, '--rw=randwrite --bs=4k --iodepth=8 --size=24m');
          verifying.catch(() => {});
          // Of the path: the disk above it counts nothing.
          const writes = `awk '{ print $5 }' /sys/class/nvme/${controller.slice(5)}/nvme*/stat`;
          await machine.runOrThrow(`until [ $(${writes}) -gt 500 ]; do sleep 0.1; done`);
          await first.kill();
          second = await startTarget(args);
          return await verifying;
        }),
      ).finally(() => second?.kill());
    },
  );
}
