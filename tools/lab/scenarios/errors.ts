/**
 * Who sees what when something is wrong: every cause that can be provoked from outside, with rxe0 as the responder and
 * with the soft device as the responder. What is expected of rxe0 is what rxe0 does (docs/rxe-notes.md); what is
 * expected of the soft device is what RNICs do.
 */
import { AccessFlags } from '../../../src/verbs/access-flags.js';
import { type QpState, qpStateName } from '../../../src/verbs/qp-state.js';
import { statusName } from '../../../src/verbs/work-completion.js';
import { WrOpcode } from '../../../src/verbs/work-request.js';
import { DIRECTIONS, type Direction, Link, type LinkOptions } from '../link.js';
import { NO_REGION, type Peer, type PeerCompletion, type PeerSend } from '../peer.js';
import { SkipCase } from '../results.js';
import type { Lab } from '../scenario.js';

const BUFFER_BYTES = 65_536;
const PATH_MTU_BYTES = 1024;
const SMALL_BYTES = 64;
const LAST_ROUND_MILLIS = 300;
const LIMIT_MILLIS = 15_000;

/** What both ends saw, as words that are compared: `REQUESTER / RESPONDER / EVENTS / STATE`. */
export interface Sight {
  /** Statuses of the failing request and of the one behind it. */
  readonly requester: string;
  /** Statuses of the receive that was posted first. */
  readonly responder: string;
  readonly events: string;
  /** Of the responder's queue pair. */
  readonly state: string;
}

interface Cause {
  readonly name: string;
  readonly link?: Pick<LinkOptions, 'requester' | 'responder'>;
  /** Provokes it; the request has wrId 1. */
  readonly provoke: (link: Link) => Promise<void>;
  readonly isResponderGone?: boolean;
  /** By the responder's device; the requester is the other one. */
  readonly expected: Readonly<Record<'soft' | 'rxe', Sight>>;
}

const ALL =
  AccessFlags.LOCAL_WRITE | AccessFlags.REMOTE_WRITE | AccessFlags.REMOTE_READ | AccessFlags.REMOTE_ATOMIC;

/** Some remote right, or there would be no rkey. */
const rightsOtherThan = (opcode: number): number =>
  opcode === WrOpcode.RDMA_WRITE
    ? AccessFlags.LOCAL_WRITE | AccessFlags.REMOTE_READ
    : AccessFlags.LOCAL_WRITE | AccessFlags.REMOTE_WRITE;

const sight = (requester: string, responder: string, events: string, state: string): Sight => ({
  requester,
  responder,
  events,
  state,
});

const UNTOUCHED = (status: string): Cause['expected'] => {
  const seen = sight(`${status}, WR_FLUSH_ERR`, '', '', 'RTS');
  return { soft: seen, rxe: seen };
};
const ACCESS: Cause['expected'] = {
  soft: sight('REM_ACCESS_ERR, WR_FLUSH_ERR', 'WR_FLUSH_ERR', 'QP_ACCESS_ERR', 'ERR'),
  rxe: sight('REM_ACCESS_ERR, WR_FLUSH_ERR', 'WR_FLUSH_ERR', '', 'ERR'),
};
const INVALID: Cause['expected'] = {
  soft: sight('REM_INV_REQ_ERR, WR_FLUSH_ERR', 'WR_FLUSH_ERR', 'QP_REQ_ERR', 'ERR'),
  rxe: sight('REM_INV_REQ_ERR, WR_FLUSH_ERR', 'WR_FLUSH_ERR', '', 'ERR'),
};

const ONE_SIDED = [
  ['WRITE', WrOpcode.RDMA_WRITE],
  ['READ', WrOpcode.RDMA_READ],
  ['FETCH_ADD', WrOpcode.ATOMIC_FETCH_AND_ADD],
] as const;

const onEach = (
  what: string,
  expected: Cause['expected'],
  change: (link: Link, opcode: number) => Promise<Partial<PeerSend>>,
  link: Cause['link'] = {},
): Cause[] =>
  ONE_SIDED.map(([name, opcode]) => ({
    name: `${name}, ${what}`,
    link,
    expected,
    provoke: async (ends) => {
      await ends.responder.postRecv(5, [{ offset: 0, length: SMALL_BYTES }]);
      await ends.requester.postSend({
        wrId: 1,
        opcode,
        sges: [{ offset: 0, length: 8 }],
        remoteAddr: ends.responder.bufferAddr,
        rkey: ends.responder.rkey,
        compareAdd: 1n,
        ...(await change(ends, opcode)),
      });
    },
  }));

const send = (requester: Peer, length: number, region = 0): Promise<void> =>
  requester.postSend({ wrId: 1, opcode: WrOpcode.SEND, sges: [{ region, offset: 0, length }] });

const receiveTooSmall = (what: string, length: number): Cause => ({
  name: `SEND of ${what}, receive too small`,
  expected: {
    soft: sight('REM_INV_REQ_ERR, WR_FLUSH_ERR', 'LOC_LEN_ERR', '', 'ERR'),
    rxe: sight('REM_OP_ERR, WR_FLUSH_ERR', 'LOC_QP_OP_ERR', '', 'ERR'),
  },
  provoke: async ({ requester, responder }) => {
    await responder.postRecv(5, [{ offset: 0, length: SMALL_BYTES }]);
    await send(requester, length);
  },
});

const CAUSES: readonly Cause[] = [
  {
    name: 'SEND, nobody answers, retries spent',
    link: { requester: { retryCount: 2, timeout: 12 } },
    isResponderGone: true,
    expected: {
      soft: sight('RETRY_EXC_ERR, WR_FLUSH_ERR', '', '', ''),
      rxe: sight('RETRY_EXC_ERR, WR_FLUSH_ERR', '', '', ''),
    },
    provoke: async ({ requester, responder }) => {
      await responder.close();
      await send(requester, SMALL_BYTES);
    },
  },
  {
    name: 'SEND, no receive posted, RNR retries spent',
    link: { requester: { rnrRetry: 2 } },
    expected: UNTOUCHED('RNR_RETRY_EXC_ERR'),
    provoke: ({ requester }) => send(requester, SMALL_BYTES),
  },
  ...onEach('rkey that does not exist', ACCESS, async ({ responder }) => ({
    rkey: (responder.rkey ^ 0x5500) >>> 0,
  })),
  ...onEach('past the end of the region', ACCESS, async ({ responder }) => ({
    remoteAddr: responder.bufferAddr + BigInt(BUFFER_BYTES),
  })),
  ...onEach('region of another protection domain', ACCESS, async ({ responder }) => ({
    rkey: (await responder.addRegion({ offset: 0, length: 4096, access: ALL, otherDomain: true })).rkey,
  })),
  ...onEach('region without the right', ACCESS, async ({ responder }, opcode) => ({
    rkey: (await responder.addRegion({ offset: 0, length: 4096, access: rightsOtherThan(opcode) })).rkey,
  })),
  ...onEach('queue pair without the right', INVALID, async () => ({}), {
    responder: { access: AccessFlags.LOCAL_WRITE },
  }),
  {
    name: 'FETCH_ADD, address not a multiple of 8',
    expected: INVALID,
    provoke: async ({ requester, responder }) => {
      if (requester.kind === 'rxe') throw new SkipCase('rxe refuses to post such a request (EINVAL)');
      await responder.postRecv(5, [{ offset: 0, length: SMALL_BYTES }]);
      await requester.postSend({
        wrId: 1,
        opcode: WrOpcode.ATOMIC_FETCH_AND_ADD,
        sges: [{ offset: 0, length: 8 }],
        remoteAddr: responder.bufferAddr + 4n,
        rkey: responder.rkey,
        compareAdd: 1n,
      });
    },
  },
  receiveTooSmall('one packet', SMALL_BYTES + 1),
  receiveTooSmall('three packets', 3 * PATH_MTU_BYTES),
  {
    name: 'SEND, receive with a key that does not exist',
    expected: {
      soft: sight('REM_OP_ERR, WR_FLUSH_ERR', 'LOC_PROT_ERR', '', 'ERR'),
      rxe: sight('REM_OP_ERR, WR_FLUSH_ERR', 'LOC_QP_OP_ERR', '', 'ERR'),
    },
    provoke: async ({ requester, responder }) => {
      await responder.postRecv(5, [{ region: NO_REGION, offset: 0, length: SMALL_BYTES }]);
      await send(requester, SMALL_BYTES);
    },
  },
  {
    name: 'SEND, requester uses a key that does not exist',
    expected: {
      soft: sight('LOC_QP_OP_ERR, WR_FLUSH_ERR', '', '', 'RTS'),
      rxe: sight('LOC_PROT_ERR, WR_FLUSH_ERR', '', '', 'RTS'),
    },
    provoke: ({ requester }) => send(requester, SMALL_BYTES, NO_REGION),
  },
];

export async function errors({ results }: Lab): Promise<void> {
  for (const direction of DIRECTIONS) {
    for (const cause of CAUSES) {
      await results.run(`${cause.name} (${direction})`, { cause: cause.name, direction }, () =>
        compare(cause, direction),
      );
    }
  }
}

async function compare(cause: Cause, direction: Direction): Promise<string> {
  const link = await Link.open({
    direction,
    ip: 4,
    mtu: PATH_MTU_BYTES,
    bufferBytes: BUFFER_BYTES,
    ...cause.link,
  });
  let seen: Sight;
  try {
    await cause.provoke(link);
    seen = await look(link, cause.isResponderGone === true);
  } finally {
    await link.close();
  }
  const expected = cause.expected[direction === 'soft → rxe' ? 'rxe' : 'soft'];
  const actualText = describe(seen);
  if (actualText === describe(expected)) return actualText;
  throw new Error(`${actualText}, expected ${describe(expected)}`);
}

async function look({ requester, responder }: Link, isResponderGone: boolean): Promise<Sight> {
  const first = await requester.poll(1, LIMIT_MILLIS);
  // Behind the error the queue flushes what is posted.
  await send(requester, SMALL_BYTES).catch(() => {});
  const more = await requester.poll(1, LAST_ROUND_MILLIS);
  const requesterSaw = statuses([...first, ...more]);
  if (isResponderGone) return sight(requesterSaw, '', '', '');
  const responderSaw = statuses(await responder.poll(1, LAST_ROUND_MILLIS));
  const events = (await responder.events()).join(', ');
  return sight(requesterSaw, responderSaw, events, qpStateName((await responder.state()) as QpState));
}

const statuses = (completions: readonly PeerCompletion[]): string =>
  completions.map(({ status }) => statusName(status)).join(', ');

const describe = ({ requester, responder, events, state }: Sight): string =>
  [
    `requester ${requester || 'nothing'}`,
    `responder ${responder || 'nothing'}`,
    ...(events === '' ? [] : [`events ${events}`]),
    ...(state === '' ? [] : [`responder in ${state}`]),
  ].join('; ');
