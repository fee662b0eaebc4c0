/** Every operation between the soft device and rxe0, both ways, over a good network and over bad ones. */
import { PATH_MTUS } from '../../../src/verbs/mtu.js';
import { WcOpcode } from '../../../src/verbs/work-completion.js';
import { WrOpcode } from '../../../src/verbs/work-request.js';
import { makeBad, makeGood, readDamage } from '../bad-network.js';
import { renderInterop, writePart } from '../interop-document.js';
import { DIRECTIONS, type Direction, Link, type LinkOptions } from '../link.js';
import { IP_VERSIONS, type IpVersion } from '../network.js';
import {
  expectEqual,
  expectSuccess,
  isAtomic,
  type Layout,
  layoutFor,
  OPERATIONS,
  perform,
} from '../operations.js';
import { pollAll } from '../peer.js';
import type { Lab } from '../scenario.js';

const MEDIUM_BYTES = 65_536;
const BIG_BYTES = [2 ** 20, 2 ** 23];
/** The largest sizes take long in an emulated machine: one small and the largest MTU get them. */
const BIG_MTUS: readonly number[] = [1024, 4096];

export async function interop(lab: Lab): Promise<void> {
  for (const ip of IP_VERSIONS) {
    for (const mtu of PATH_MTUS) {
      for (const direction of DIRECTIONS) await onGoodNetwork(lab, direction, ip, mtu);
    }
  }
  for (const [name, netem] of BAD_NETWORKS) await onBadNetwork(lab, name, netem);
  if (lab.options.writeDocs) await writePart(lab, 'interop', renderInterop);
}

export const sizesFor = (mtu: number): number[] => [
  ...[0, 1, mtu - 1, mtu, mtu + 1, MEDIUM_BYTES],
  ...(BIG_MTUS.includes(mtu) ? BIG_BYTES : []),
];

async function onGoodNetwork(lab: Lab, direction: Direction, ip: IpVersion, mtu: number): Promise<void> {
  const sizes = sizesFor(mtu);
  const layout = layoutFor(Math.max(...sizes));
  const links = new LinkKeeper({ direction, ip, mtu, bufferBytes: layout.bufferBytes });
  for (const operation of OPERATIONS) {
    const name = `${operation} ${direction} IPv${ip} MTU ${mtu}`;
    await lab.results.run(name, { operation, direction, ip, mtu }, async () => {
      const failures: string[] = [];
      for (const size of isAtomic(operation) ? [8] : sizes) {
        const failure = await links.use((link) => perform(operation, size, link, layout));
        if (failure !== undefined) failures.push(`${size} bytes: ${failure}`);
      }
      if (failures.length > 0) throw new Error(failures.join('; '));
    });
  }
  await links.close();
}

/** A connection that had an error is not used again. */
class LinkKeeper {
  readonly #options: LinkOptions;
  #link: Link | undefined;

  constructor(options: LinkOptions) {
    this.#options = options;
  }

  /** What went wrong, if anything. */
  async use(work: (link: Link) => Promise<void>): Promise<string | undefined> {
    this.#link ??= await Link.open(this.#options);
    try {
      await work(this.#link);
      expectEqual('malformed packets', this.#link.malformed.join(', '), '');
      return undefined;
    } catch (error) {
      await this.close();
      return (error as Error).message;
    }
  }

  async close(): Promise<void> {
    const link = this.#link;
    this.#link = undefined;
    await link?.close();
  }
}

const BAD_NETWORKS = [
  ['1 % loss', 'loss 1%'],
  ['2 % delayed by 1 ms (reordering)', 'delay 1ms reorder 98%'],
  ['2 % duplicated', 'duplicate 2%'],
  ['1 % with a bit changed', 'corrupt 1%'],
  ['all but that', 'loss 0.5% duplicate 1% delay 1ms reorder 99%'],
] as const;

const BAD_MTU = 1024;
const BAD_BULK_BYTES = 2 ** 20;
const MANY = 200;
const MANY_LIMIT_MILLIS = 120_000;
const MESSAGE_BYTES = 3000;

async function onBadNetwork(lab: Lab, network: string, netem: string): Promise<void> {
  const { machine, results } = lab;
  const layout = layoutFor(BAD_BULK_BYTES);
  const titleOf = (what: string, direction: Direction, ip: IpVersion): string =>
    `${what} ${direction} IPv${ip} ${network}`;
  if (!BAD_NETWORK_CASES.some(({ what, direction, ip }) => results.wants(titleOf(what, direction, ip))))
    return;
  await makeBad(machine, netem);
  for (const { what, direction, ip, work } of BAD_NETWORK_CASES) {
    await results.run(titleOf(what, direction, ip), { what, direction, ip, network }, async () => {
      const before = await readDamage(machine);
      const link = await Link.open({ direction, ip, mtu: BAD_MTU, bufferBytes: layout.bufferBytes });
      try {
        await work(link, layout);
        if (!netem.includes('corrupt')) expectEqual('malformed packets', link.malformed.join(', '), '');
      } finally {
        await link.close();
      }
      const { dropped, sent } = await readDamage(machine);
      return `${sent - before.sent} packets passed, ${dropped - before.dropped} dropped`;
    });
  }
  await makeGood(machine);
}

type Work = (link: Link, layout: Layout) => Promise<void>;

const BAD_NETWORK_WORK: readonly (readonly [string, Work])[] = [
  ['1 MiB SEND', (link, layout) => perform('SEND', BAD_BULK_BYTES, link, layout)],
  ['1 MiB WRITE', (link, layout) => perform('WRITE', BAD_BULK_BYTES, link, layout)],
  ['1 MiB READ', (link, layout) => perform('READ', BAD_BULK_BYTES, link, layout)],
  [`${MANY} SEND_IMM`, manySends],
  [`${MANY} FETCH_ADD`, manyAdds],
];

const BAD_NETWORK_CASES = IP_VERSIONS.flatMap((ip) =>
  DIRECTIONS.flatMap((direction) => BAD_NETWORK_WORK.map(([what, work]) => ({ what, direction, ip, work }))),
);

/** Every message once and in order: the immediates count up. */
async function manySends({ requester, responder }: Link, { source, target }: Layout): Promise<void> {
  const sge = (offset: number) => [{ offset, length: MESSAGE_BYTES }];
  for (let i = 0; i < MANY; i++) await responder.postRecv(i, sge(target));
  for (let i = 0; i < MANY; i++) {
    await requester.postSend({ wrId: i, opcode: WrOpcode.SEND_WITH_IMM, sges: sge(source), imm: i });
  }
  const sent = await pollAll(requester, MANY, MANY_LIMIT_MILLIS);
  const received = await pollAll(responder, MANY, MANY_LIMIT_MILLIS);
  for (let i = 0; i < MANY; i++) {
    expectSuccess(requester, sent[i], i, WcOpcode.SEND);
    expectSuccess(responder, received[i], i, WcOpcode.RECV);
    expectEqual('immediate', received[i]?.imm, i);
  }
}

/** Every addition once: the values returned count up, and the sum is right. */
async function manyAdds({ requester, responder }: Link, { source, target }: Layout): Promise<void> {
  await responder.poke(target, 0n);
  for (let i = 0; i < MANY; i++) {
    await requester.postSend({
      wrId: i,
      opcode: WrOpcode.ATOMIC_FETCH_AND_ADD,
      sges: [{ offset: source + 8 * i, length: 8 }],
      remoteAddr: responder.bufferAddr + BigInt(target),
      rkey: responder.rkey,
      compareAdd: 3n,
    });
  }
  const done = await pollAll(requester, MANY, MANY_LIMIT_MILLIS);
  for (let i = 0; i < MANY; i++) {
    expectSuccess(requester, done[i], i, WcOpcode.FETCH_ADD);
    expectEqual(`value returned by addition ${i}`, await requester.peek(source + 8 * i), BigInt(3 * i));
  }
  expectEqual('sum', await responder.peek(target), BigInt(3 * MANY));
}
