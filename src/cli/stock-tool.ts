/** What the commands that play with stock tools have in common. */
import { InvalidArgumentError } from 'commander';
import type { Device, PortAttributes } from '../verbs/device.js';
import { usageError } from '../verbs/errors.js';
import { PATH_MTUS, type PathMtu } from '../verbs/mtu.js';

export const ROCE_UDP_PORT = 4791;

/** What to look at when nothing comes in. */
export const silenceHint = (common: string): string =>
  `do both sides have the same ${common}, and do packets get through on UDP port ${ROCE_UDP_PORT}?`;

/**
 * Whether the device can be reached by a stock tool; warns where its packets would be dropped.
 *
 * @throws RdmaError ERR_RDMA_INVALID_ARGUMENT for a device at another UDP port than theirs.
 */
export async function checkStockPort(device: Device, tool: string): Promise<PortAttributes> {
  const port = await device.queryPort();
  if (port.udpPort !== ROCE_UDP_PORT) {
    throw usageError(
      `${device.name} is on UDP port ${port.udpPort}, but ${tool} knows ${ROCE_UDP_PORT} only: ` +
        'another device has that one; use another address, such as -d soft:127.0.0.2',
    );
  }
  if (!port.exactIcrc) {
    const warning = `${device.name} cannot make the exact ICRC; only soft devices will take its packets`;
    process.stderr.write(`queuepair: ${warning}\n`);
  }
  return port;
}

export function mtuArgument(text: string): PathMtu {
  const mtu = PATH_MTUS.find((known) => String(known) === text);
  if (mtu !== undefined) return mtu;
  throw new InvalidArgumentError(`a path MTU is one of ${PATH_MTUS.join(', ')}`);
}

export function gidIndexArgument(text: string): number {
  if (/^\d{1,3}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('a GID index is a number from 0 up; queuepair devices shows them');
}
