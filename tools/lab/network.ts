/**
 * The network between this side and the machine: a tap device in a namespace of our own, which disappears with the
 * last process inside. Nothing of it is visible to, or reachable from, the rest of the host.
 */
import { runOrThrow } from './commands.js';

export const TAP = 'lab0';
/** Lets path MTU 4096 through, with all headers. */
export const LINK_MTU_BYTES = 4500;
export const AGENT_PORT = 7700;
export const PEER_PORT = 7701;

export type IpVersion = 4 | 6;
export const IP_VERSIONS: readonly IpVersion[] = [4, 6];

/** The soft device's end. */
export const HERE: Readonly<Record<IpVersion, string>> = { 4: '10.77.1.2', 6: 'fd77:1::2' };
/** The machine's end, where rxe0 is. */
export const THERE: Readonly<Record<IpVersion, string>> = { 4: '10.77.1.1', 6: 'fd77:1::1' };

/** To be called in a fresh network and mount namespace. */
export async function setUpNetwork(): Promise<void> {
  // The mounted /sys still shows the devices of the namespace that we came from.
  await runOrThrow('mount', ['-t', 'sysfs', 'sysfs', '/sys']);
  const commands = [
    'link set lo up',
    `tuntap add dev ${TAP} mode tap`,
    `link set ${TAP} mtu ${LINK_MTU_BYTES} up`,
    `addr add ${HERE[4]}/24 dev ${TAP}`,
    `addr add ${HERE[6]}/64 dev ${TAP} nodad`,
  ];
  for (const command of commands) await runOrThrow('ip', command.split(' '));
}
