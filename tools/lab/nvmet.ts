/** The kernel's NVMe target in the machine, with a file as its disk. */
import type { Machine } from './machine.js';
import { NVME_PORT } from './nvme-host.js';

const ROOT = '/sys/kernel/config/nvmet';
const FILE = '/tmp/nvmet.img';

export interface KernelTarget {
  /** The file with its blocks. */
  readonly file: string;
  /** Ends all connections, and takes none any more. */
  leave(): Promise<void>;
  comeAgain(): Promise<void>;
}

/** Serves a disk of `mib` MiB at `address` while `work` runs. */
export async function withKernelTarget<T>(
  machine: Machine,
  { address, nqn, mib }: { address: string; nqn: string; mib: number },
  work: (target: KernelTarget) => Promise<T>,
): Promise<T> {
  const subsystem = `${ROOT}/subsystems/${nqn}`;
  const port = `${ROOT}/ports/1`;
  // Files in memory cannot be opened past the cache.
  const up = [
    `truncate -s ${mib}M ${FILE}`,
    `mkdir ${subsystem} && echo 1 > ${subsystem}/attr_allow_any_host`,
    `mkdir ${subsystem}/namespaces/1 && echo 1 > ${subsystem}/namespaces/1/buffered_io`,
    `echo -n ${FILE} > ${subsystem}/namespaces/1/device_path && echo 1 > ${subsystem}/namespaces/1/enable`,
    `mkdir ${port} && echo ipv4 > ${port}/addr_adrfam && echo rdma > ${port}/addr_trtype`,
    `echo ${address} > ${port}/addr_traddr && echo ${NVME_PORT} > ${port}/addr_trsvcid`,
    `ln -s ${subsystem} ${port}/subsystems/`,
  ];
  const down = [
    `rm -f ${port}/subsystems/*`,
    `rmdir ${port}`,
    `rmdir ${subsystem}/namespaces/1 ${subsystem}`,
    `rm ${FILE}`,
  ];
  await machine.runOrThrow('mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config');
  for (const command of up) await machine.runOrThrow(command);
  try {
    return await work({
      file: FILE,
      leave: async () => void (await machine.runOrThrow(`rm ${port}/subsystems/*`)),
      comeAgain: async () => void (await machine.runOrThrow(`ln -s ${subsystem} ${port}/subsystems/`)),
    });
  } finally {
    for (const command of down) await machine.run(command);
  }
}
