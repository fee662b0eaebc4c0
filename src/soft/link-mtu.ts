/** The MTU of the network interface that has an address. */
import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';

const ETHERNET_MTU_BYTES = 1500;
const LOOPBACK_MTU_BYTES = 65536;

/** Bytes; 1500 where the operating system does not tell. */
export function linkMtuBytes(ip: string): number {
  if (ip.startsWith('127.') || ip === '::1') return LOOPBACK_MTU_BYTES;
  for (const [name, entries] of Object.entries(networkInterfaces())) {
    if (!entries?.some((entry) => entry.address === ip)) continue;
    if (entries.some((entry) => entry.internal)) return LOOPBACK_MTU_BYTES;
    return sysfsMtu(name) ?? ETHERNET_MTU_BYTES;
  }
  return ETHERNET_MTU_BYTES;
}

function sysfsMtu(name: string): number | undefined {
  try {
    const mtu = Number(readFileSync(`/sys/class/net/${name}/mtu`, 'utf8'));
    return mtu > 0 ? mtu : undefined;
  } catch {
    return undefined;
  }
}
