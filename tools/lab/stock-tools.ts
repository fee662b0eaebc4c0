/** The stock tools of rdma-core and perftest, in the machine. */
import type { Machine } from './machine.js';
import { type IpVersion, THERE } from './network.js';
import { TIMEOUT_MILLIS } from './programs.js';

export interface StockServer {
  /** What it printed, once it has ended. */
  readonly output: Promise<string>;
}

/** Starts a server in the machine, and waits until it listens. */
export async function startStockServer(
  machine: Machine,
  command: string,
  port: number,
): Promise<StockServer> {
  const output = machine.runOrThrow(command, TIMEOUT_MILLIS);
  // Somebody must look at its failure even when the client fails first.
  output.catch(() => {});
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  const listens = `grep -q ':${hex} 0*:0000 0A' /proc/net/tcp /proc/net/tcp6`;
  await machine.runOrThrow(`until ${listens}; do sleep 0.05; done`, TIMEOUT_MILLIS);
  return { output };
}

/** The index of the RoCE v2 GID that rxe0 has for the machine's address. */
export async function findGidIndex(machine: Machine, ip: IpVersion): Promise<number> {
  const text = await machine.runOrThrow('ibv_devinfo -v -d rxe0');
  const address = ip === 4 ? `::ffff:${THERE[4]}` : THERE[6];
  for (const [, index, gid, type] of text.matchAll(/GID\[\s*(\d+)\]:\s*(\S+), (.*)$/gm)) {
    if (gid === address && type === 'RoCE v2') return Number(index);
  }
  throw new Error(`rxe0 has no GID ${address}`);
}
