/**
 * `queuepair serve` and `queuepair connect` with one end on rxe0 and the other on the soft device: TLS, PSNs, INIT, RTR,
 * RTS, welcome, echo, RDMA write and read, quit, and nothing left over, not in the kernel either.
 */
import { bundlePrograms } from '../bundle.js';
import type { Machine } from '../machine.js';
import { HERE, IP_VERSIONS, type IpVersion, THERE } from '../network.js';
import { expectEqual } from '../operations.js';
import {
  type ProgramArguments,
  type ProgramEvent,
  type Running,
  startQueuepair,
  startQueuepairThere,
  useBundles,
} from '../programs.js';
import type { Lab } from '../scenario.js';
import { type ClientExpectation, checkClient, checkServer } from '../session-checks.js';
import { PAYLOAD_BYTES, prepareSessionFiles, type SessionFiles } from '../session-files.js';
import { softDeviceName } from '../soft-device.js';

const PORT = 4433;
const TEXT = 'a message of some words';
const AUTO_OPERATIONS = 9;
/** A handshake between processes that start in an emulated machine takes its time. */
const HANDSHAKE_MILLIS = 30_000;

type Side = 'soft' | 'rxe0';

interface Plan {
  readonly server: Side;
  readonly clients: readonly Side[];
  readonly extra: readonly string[];
}

/** Two soft devices of one address cannot both have the standard port, so there is one at a time. */
const PLANS: Readonly<Record<string, Plan>> = {
  'server on rxe0, clients on rxe0 and soft': { server: 'rxe0', clients: ['rxe0', 'soft'], extra: [] },
  'server on soft, two clients on rxe0': { server: 'soft', clients: ['rxe0', 'rxe0'], extra: [] },
  'server on rxe0, client on soft, encrypted': { server: 'rxe0', clients: ['soft'], extra: ['--encrypt'] },
  'server on soft, client on rxe0, encrypted': { server: 'soft', clients: ['rxe0'], extra: ['--encrypt'] },
};

export async function session({ machine, results }: Lab): Promise<void> {
  const seed = 1 + Math.floor(Math.random() * 2 ** 31);
  const bundles = await bundlePrograms();
  useBundles(bundles);
  const files = await prepareSessionFiles(seed);
  try {
    for (const ip of IP_VERSIONS) {
      for (const [name, plan] of Object.entries(PLANS)) {
        await results.run(`${name}, IPv${ip}`, { ip, seed }, () => play(machine, files, ip, plan));
      }
    }
  } finally {
    bundles.remove();
    await files.remove();
  }
}

async function play(machine: Machine, files: SessionFiles, ip: IpVersion, plan: Plan): Promise<string> {
  const soft = await softDeviceName(ip);
  const devices: Readonly<Record<Side, string>> = { soft, rxe0: 'rxe0' };
  const before = await kernelObjects(machine);
  const start = (side: Side, args: ProgramArguments): Running => {
    const all = [...args, '--device', devices[side], '--show-psn', '--json', ...plan.extra];
    return side === 'soft' ? startQueuepair(all) : startQueuepairThere(machine, all);
  };
  const host = plan.server === 'soft' ? HERE[ip] : THERE[ip];
  const server = start(plan.server, [
    ...['serve', '--host', host, '--port', PORT, '--handshake-timeout', HANDSHAKE_MILLIS],
    ...files.serverArguments,
  ]);
  server.events.catch(() => {});
  await server.listening;
  const clients = plan.clients.map((side) =>
    start(side, [
      ...['connect', ip === 4 ? `${host}:${PORT}` : `[${host}]:${PORT}`, ...files.clientArguments],
      ...['--timeout', HANDSHAKE_MILLIS, '--exec', commandsFor(files)],
    ]),
  );
  const told = await Promise.all(clients.map(({ events }) => events)).finally(() => server.stop());
  const expected: ClientExpectation = {
    text: TEXT,
    bytes: PAYLOAD_BYTES,
    sha256: files.sha256,
    operations: AUTO_OPERATIONS,
  };
  for (const events of told) checkClient(events, expected);
  checkServer(await server.events, told, expected);
  expectEqual('objects of rxe0 in the kernel', await kernelObjects(machine), before);
  return told.map((events, i) => `${plan.clients[i]} ready after ${readyMillis(events)} ms`).join(', ');
}

const commandsFor = ({ payload }: SessionFiles): string =>
  `send ${TEXT}; write @${payload}; read; auto ${AUTO_OPERATIONS}; quit`;

function readyMillis(events: readonly ProgramEvent[]): string {
  const millis = events.find(({ step }) => step === 'ready')?.['atMillis'];
  return typeof millis === 'number' ? millis.toFixed(0) : '?';
}

/** How many of each kind there are, of all processes. */
const kernelObjects = async (machine: Machine): Promise<string> =>
  (await machine.runOrThrow('rdma resource show rxe0')).trim();
