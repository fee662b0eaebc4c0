/**
 * `queuepair doctor` where a kernel's RDMA device is at one end: nothing is wrong, and then one trouble after the other, each with one right
 * diagnosis. More troubles are in test/cli/doctor.test.ts, between two network namespaces. Troubles of the network are rules of nftables on this side, whose network namespace is the lab's own.
 */
import { runOrThrow } from '../commands.js';
import type { Machine } from '../machine.js';
import { HERE, THERE } from '../network.js';
import { expectEqual } from '../operations.js';
import {
  type ProgramArguments,
  type ProgramEvent,
  type Running,
  startQueuepair,
  startQueuepairThere,
} from '../programs.js';
import type { Lab } from '../scenario.js';
import { prepareSessionFiles, type SessionFiles } from '../session-files.js';
import { softDeviceName } from '../soft-device.js';

const IP = 4;
const PORT = 4433;
/** Processes that start in an emulated machine take their time; so does a server to answer one. */
const TIMEOUT_MILLIS = 20_000;
/** Of a process: a machine that is emulated beside other work may need that. */
const PROCESS_MILLIS = 300_000;
/** Of the doctor: 1 says that something is wrong. */
const ENDINGS = [0, 1];

type Side = 'soft' | 'rxe0';

interface Plan {
  readonly doctor: Side;
  /** In place of the side's own. */
  readonly device?: string;
  /** In the machine: what the doctor is started through. */
  readonly through?: readonly string[];
  /** Of nftables on this side: which packets are dropped. */
  readonly drops?: string;
  readonly expected: readonly string[];
}

const OUT = 'out';
const IN = 'in';

const PLANS: Readonly<Record<string, Plan>> = {
  'on rxe0, nothing is wrong': { doctor: 'rxe0', expected: [] },
  'on rxe0, little memory may be locked': {
    doctor: 'rxe0',
    through: ['prlimit', '--memlock=65536', '--'],
    expected: ['memlock-low'],
  },
  'on rxe9, which is not there': { doctor: 'rxe0', device: 'rxe9', expected: ['device-missing'] },
  'on soft, UDP is dropped on the way there': {
    doctor: 'soft',
    drops: `${OUT} udp dport 4791`,
    expected: ['udp-blocked-to-peer'],
  },
  'on soft, UDP is dropped on the way back': {
    doctor: 'soft',
    drops: `${IN} udp dport 4791`,
    expected: ['udp-blocked-from-peer'],
  },
};

export async function doctor({ machine, results }: Lab): Promise<void> {
  const files = await prepareSessionFiles(1);
  try {
    for (const [name, plan] of Object.entries(PLANS))
      await results.run(name, {}, () => diagnose(machine, files, plan));
  } finally {
    await files.remove();
  }
}

/** The server is at the other end. */
async function diagnose(machine: Machine, files: SessionFiles, plan: Plan): Promise<string> {
  const devices: Readonly<Record<Side, string>> = { soft: await softDeviceName(IP), rxe0: 'rxe0' };
  const start = (side: Side, args: ProgramArguments, through: readonly string[] = []): Running =>
    side === 'soft'
      ? startQueuepair(args, PROCESS_MILLIS, ENDINGS)
      : startQueuepairThere(machine, args, through, ENDINGS, PROCESS_MILLIS);
  const side = plan.doctor === 'soft' ? 'rxe0' : 'soft';
  const host = side === 'soft' ? HERE[IP] : THERE[IP];
  const server = start(side, [
    ...['serve', '--json', '--host', host, '--port', PORT, '--device', devices[side]],
    ...['--handshake-timeout', TIMEOUT_MILLIS, ...files.serverArguments],
  ]);
  await server.listening;
  await drop(plan.drops);
  try {
    const examined = start(
      plan.doctor,
      [
        ...['doctor', `${host}:${PORT}`, '--json', '--timeout', TIMEOUT_MILLIS],
        ...['--device', plan.device ?? devices[plan.doctor], ...files.clientArguments],
      ],
      plan.through,
    );
    const found = problems(await examined.events);
    // A device that is not there cannot be proven to reach anybody either.
    const own = plan.device === undefined ? found : found.slice(0, 1);
    expectEqual('what the doctor found', own.join(', '), plan.expected.join(', '));
    return found.length === 0 ? 'nothing' : found.join(', ');
  } finally {
    await drop(undefined);
    await server.stop();
    await server.events;
  }
}

const problems = (events: readonly ProgramEvent[]): unknown[] =>
  events.filter(({ event, level }) => event === 'finding' && level === 'problem').map(({ code }) => code);

/** Nothing but this is dropped from now on. */
async function drop(what: string | undefined): Promise<void> {
  await runOrThrow('nft', ['flush ruleset']);
  if (what === undefined) return;
  const [hook, ...matches] = what.split(' ');
  const rules = [
    'add table inet lab',
    `add chain inet lab c { type filter hook ${hook}put priority 0; }`,
    `add rule inet lab c ${matches.join(' ')} drop`,
  ];
  await runOrThrow('nft', [rules.join('; ')]);
}
