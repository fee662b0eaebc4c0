/**
 * rdma_cm when an end is gone without a word and comes back: with the numbers of before, as a machine of Linux does that has
 * forgotten them, and with new ones, as a process of ours does.
 */
import { hostOf, orKill, startPlayerAt } from '../cm-ends.js';
import { startStockCmServer } from '../cm-stock.js';
import { losing } from '../lost-messages.js';
import type { Machine } from '../machine.js';
import { THERE } from '../network.js';
import { type Running, startPlayerThere } from '../programs.js';
import type { Lab } from '../scenario.js';
import { softDeviceName } from '../soft-device.js';
import { expectResult } from './cm-failures.js';

const PORT = 7301;
const RPING_PORT = 7177;
/** Nobody's: the kernel does not ask whose it is. */
const QPN = 0x4711;
const STALE = 10;

export async function cmReturns({ results, machine }: Lab): Promise<void> {
  const cases: readonly [string, () => Promise<string>][] = [
    ['a client of Linux comes back with its old queue pair number: REJ 10', () => staleClient(machine)],
    ['our client is killed and starts again: the stock server takes it', () => ourReturn(machine)],
  ];
  for (const [failure, work] of cases) {
    await results.run(`${failure}, ours on soft`, { failure, device: 'soft' }, work);
  }
}

const askBare = (machine: Machine): Running =>
  startPlayerThere(machine, [
    ...['bare-meeting', '--device', 'rxe0', '--host', hostOf('soft', 4), '--port', PORT, '--qpn', QPN],
  ]);

/** The DREQ of the first does not arrive, so our server has its connection still when the second comes. */
async function staleClient(machine: Machine): Promise<string> {
  const server = startPlayerAt(machine, 'soft', [
    ...['meeting', '--device', await softDeviceName(4), '--port', PORT, '--bind', hostOf('soft', 4)],
  ]);
  await server.listening;
  const first = askBare(machine);
  return await orKill([server, first], async () => {
    await Promise.all([first.when('connected'), server.when('connected')]);
    await losing(machine, 'DREQ', 'out', () => first.kill());
    const said = await expectResult(askBare(machine), { ending: 'rejected', reason: STALE });
    // Nobody confirms the connection of before.
    return `${said}; server: ${await expectResult(server, { ending: 'disconnected by the peer' })}`;
  });
}

/** Another GUID, communication ID and queue pair. */
async function ourReturn(machine: Machine): Promise<string> {
  const server = await startStockCmServer(machine, `rping -s -P -a ${THERE[4]} -p ${RPING_PORT}`, RPING_PORT);
  const device = await softDeviceName(4);
  const ask = (): Running =>
    startPlayerAt(machine, 'soft', ['meeting', '--device', device, '--host', THERE[4], '--port', RPING_PORT]);
  const first = ask();
  return await orKill([server, first], async () => {
    await first.when('connected');
    await first.kill();
    const second = ask();
    return await orKill([second], async () => {
      await second.when('connected');
      await second.kill();
      await server.kill();
      return 'connected again';
    });
  });
}
