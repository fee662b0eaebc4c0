/** Linux's NVMe host in the machine: what it connects to, and the disk that it has then. */
import { lastLines } from './commands.js';
import type { Machine } from './machine.js';
import { TIMEOUT_MILLIS } from './programs.js';

export const NVME_PORT = 4420;

export interface LinuxHost {
  readonly nqn: string;
  readonly id: string;
}

export const hostNumber = (number: number): LinuxHost => ({
  nqn: `nqn.2014-08.org.nvmexpress:uuid:00000000-0000-4000-8000-00000000000${number}`,
  id: `00000000-0000-4000-8000-00000000000${number}`,
});

/**
 * `-i 1`: one I/O queue; `-k`: keep-alive in seconds, for a machine that is emulated beside others; `-c`: seconds between attempts to
 * reconnect.
 */
const FLAGS = '-i 1 -k 15 -c 1 -l 120';

export class LinuxDisk {
  /** `/dev/nvme0n1`. */
  readonly device: string;
  /** `/dev/nvme0`, its controller. */
  readonly controller: string;
  readonly #machine: Machine;
  readonly #nqn: string;

  /** @throws Error with what `nvme` and the kernel say. */
  static async connect(machine: Machine, address: string, nqn: string, host: LinuxHost): Promise<LinuxDisk> {
    const to = `-t rdma -a ${address} -s ${NVME_PORT} -n ${nqn}`;
    await runNvme(machine, `connect ${to} ${FLAGS} --hostnqn ${host.nqn} --hostid ${host.id}`);
    const find = `grep -lx ${nqn} /sys/class/nvme-subsystem/*/subsysnqn`;
    const folder = (await machine.runOrThrow(`dirname $(${find})`)).trim();
    const name = `ls ${folder} | grep -xE 'nvme[0-9]+n[0-9]+'`;
    const disk = (await machine.runOrThrow(`until ${name}; do sleep 0.1; done`, TIMEOUT_MILLIS)).trim();
    const controller = (await machine.runOrThrow(`ls ${folder} | grep -xE 'nvme[0-9]+'`)).trim();
    await machine.runOrThrow(`until test -b /dev/${disk}; do sleep 0.1; done`);
    return new LinuxDisk(machine, nqn, `/dev/${disk}`, `/dev/${controller}`);
  }

  private constructor(machine: Machine, nqn: string, device: string, controller: string) {
    this.#machine = machine;
    this.#nqn = nqn;
    this.device = device;
    this.controller = controller;
  }

  async disconnect(): Promise<void> {
    await runNvme(this.#machine, `disconnect -n ${this.#nqn}`);
  }
}

/** @throws Error with what it printed, and what the kernel has to say. */
export async function runNvme(machine: Machine, command: string): Promise<string> {
  const { code, output } = await machine.run(`nvme ${command} 2>&1`, TIMEOUT_MILLIS);
  if (code === 0) return output;
  const said = await machine.runOrThrow('dmesg | grep nvme | tail -3 || true');
  throw new Error(
    `nvme ${command.split(' ')[0]} ended with ${code}: ${lastLines(output, 2)}; ${lastLines(said, 3)}`,
  );
}

/** fio writes and reads again, and looks at every byte. Returns operations a second. */
export async function verifyByFio(
  machine: Machine,
  device: string,
  options: string,
  timeoutMillis = TIMEOUT_MILLIS,
): Promise<string> {
  const command = `fio --name=lab --filename=${device} --direct=1 --ioengine=libaio --verify=crc32c --verify_fatal=1 --randrepeat=1 --output-format=terse --terse-version=3 ${options} 2>&1`;
  const { code, output } = await machine.run(`cd /tmp && ${command}`, timeoutMillis);
  if (code !== 0) throw new Error(`fio ended with ${code}: ${lastLines(output, 3)}`);
  const fields =
    output
      .split('\n')
      .find((line) => line.startsWith('3;'))
      ?.split(';') ?? [];
  return `${fields[7] ?? '?'} reads/s, ${fields[48] ?? '?'} writes/s`;
}

/** A file system with so many files: their hashes are the same when it is mounted again, and fsck finds nothing. */
export async function keepsFiles(machine: Machine, { device }: LinuxDisk, files: number): Promise<void> {
  const hash = '(cd /tmp/disk/tree && sha256sum * | sha256sum)';
  const mount = `mkdir -p /tmp/disk && mount ${device} /tmp/disk`;
  const run = (command: string): Promise<string> => machine.runOrThrow(command, TIMEOUT_MILLIS);
  await run(`mkfs.ext4 -q ${device} && ${mount} && mkdir /tmp/disk/tree`);
  await run(`head -c ${files}K /dev/urandom > /tmp/all`);
  await run('cd /tmp/disk/tree && split -b 1K -a 3 -d /tmp/all file');
  const before = await run(hash);
  await run(`umount /tmp/disk && ${mount}`);
  const after = await run(hash);
  const count = (await run('ls /tmp/disk/tree | wc -l')).trim();
  await run(`umount /tmp/disk && fsck.ext4 -fn ${device}`);
  if (before !== after || count !== String(files)) throw new Error(`${count} files, ${before} and ${after}`);
}
