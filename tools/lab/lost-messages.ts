/**
 * Loses messages by what they are: the first of its kind of the connection manager that comes into the machine, or that leaves
 * it; or the last word of an rsocket in the machine, however often it is repeated.
 */
import type { Machine } from './machine.js';

/** Attribute IDs, in the order in which the messages of a connection are sent; then those of datagram services. */
export const CM_MESSAGES = {
  REQ: 0x10,
  REP: 0x13,
  RTU: 0x14,
  DREQ: 0x15,
  DREP: 0x16,
  REJ: 0x12,
  SIDR_REQ: 0x17,
  SIDR_REP: 0x18,
} as const;
export type CmMessage = keyof typeof CM_MESSAGES;

/** Of the machine's point of view. */
export type Way = 'in' | 'out';

/** rxe tries again at once when what it sends is dropped on its own machine, so that goes to a port where nobody is. */
const LOSSES: Readonly<Record<Way, { readonly hook: string; readonly loss: string }>> = {
  in: { hook: 'prerouting', loss: 'drop' },
  out: { hook: 'output', loss: 'udp dport set 9' },
};
/** The attribute ID behind the headers of UDP (8 bytes), BTH (12), DETH (8) and 16 bytes of the MAD, in bits. */
const ATTRIBUTE_ID = '@th,352,16';
/** Every packet of the kind counts; the first of so many matches. */
const ONCE = 'numgen inc mod 1000000 0';

/** RDMA WRITE only, with immediate data, which stands behind the headers of UDP (8 bytes), BTH (12) and RETH (16). */
const LAST_WORD = '@th,64,8 0x0b @th,288,32 0xe0000000';

/** Runs `work` while the first such message is lost. @throws Error when none was. */
export const losing = <T>(
  machine: Machine,
  message: CmMessage,
  way: Way,
  work: () => Promise<T>,
): Promise<T> =>
  whileLost(
    machine,
    message,
    way,
    `${ATTRIBUTE_ID} ${CM_MESSAGES[message]} ${ONCE}`,
    /counter packets 1 /,
    work,
  );

/** Runs `work` while no DISCONNECT of an rsocket leaves the machine. @throws Error when none would have. */
export const losingLastWord = <T>(machine: Machine, work: () => Promise<T>): Promise<T> =>
  whileLost(machine, 'DISCONNECT', 'out', LAST_WORD, /counter packets [1-9]/, work);

async function whileLost<T>(
  machine: Machine,
  name: string,
  way: Way,
  match: string,
  wanted: RegExp,
  work: () => Promise<T>,
): Promise<T> {
  const { hook, loss } = LOSSES[way];
  const chain = `{ type filter hook ${hook} priority -300; }`;
  const rule = `udp dport 4791 ${match} counter ${loss}`;
  await machine.runOrThrow(
    `nft 'add table ip lab; add chain ip lab cm ${chain}; add rule ip lab cm ${rule}'`,
  );
  try {
    const result = await work();
    const rules = await machine.runOrThrow('nft list table ip lab');
    if (!wanted.test(rules)) throw new Error(`no ${name} was lost`);
    return result;
  } finally {
    await machine.run('nft delete table ip lab');
  }
}
