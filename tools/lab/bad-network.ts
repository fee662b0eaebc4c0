/**
 * Makes the network of the machine bad, both ways, for RoCE packets only: the lab's own TCP connections stay as they
 * are. What comes in goes through an intermediate device, because netem works on what goes out.
 */
import type { Machine } from './machine.js';

const MATCHES = ['protocol ip u32 match ip protocol 17 0xff', 'protocol ipv6 u32 match ip6 protocol 17 0xff'];
const QUEUE = 'limit 20000';

export interface Damage {
  readonly dropped: number;
  readonly sent: number;
}

/** Packets pass this in both directions; `netem` as tc-netem(8) takes it. */
export async function makeBad(machine: Machine, netem: string): Promise<void> {
  const commands = [
    'tc qdisc add dev eth0 root handle 1: prio bands 4 priomap 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0',
    `tc qdisc add dev eth0 parent 1:4 handle 40: netem ${netem} ${QUEUE}`,
    ...MATCHES.map((match, i) => `tc filter add dev eth0 parent 1: prio ${i + 1} ${match} flowid 1:4`),
    'ip link set ifb0 mtu 4500 up',
    `tc qdisc add dev ifb0 root handle 50: netem ${netem} ${QUEUE}`,
    'tc qdisc add dev eth0 handle ffff: ingress',
    ...MATCHES.map(
      (match, i) =>
        `tc filter add dev eth0 parent ffff: prio ${i + 1} ${match} action mirred egress redirect dev ifb0`,
    ),
  ];
  await machine.runOrThrow(commands.join(' && '));
}

export async function makeGood(machine: Machine): Promise<void> {
  await machine.run('tc qdisc del dev eth0 root; tc qdisc del dev eth0 ingress; tc qdisc del dev ifb0 root');
}

/** What went through netem, both ways together. */
export async function readDamage(machine: Machine): Promise<Damage> {
  return parseDamage(await machine.runOrThrow('tc -s qdisc show dev eth0; tc -s qdisc show dev ifb0'));
}

export function parseDamage(text: string): Damage {
  let dropped = 0;
  let sent = 0;
  for (const part of text.split(/^qdisc /m)) {
    if (!part.startsWith('netem')) continue;
    const [, packets, drops] = /Sent \d+ bytes (\d+) pkt \(dropped (\d+),/.exec(part) ?? [];
    sent += Number(packets ?? 0);
    dropped += Number(drops ?? 0);
  }
  return { dropped, sent };
}
