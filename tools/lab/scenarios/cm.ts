/**
 * rdma_cm: every stock program of it that Debian has, at the other end of ours, each as server and as client; our end on
 * the soft device of this side, and on rxe0 in the machine.
 */
import {
  expectWell,
  STOCK_PROGRAMS,
  type StockProgram,
  startStock,
  startStockCmServer,
} from '../cm-stock.js';
import type { Machine } from '../machine.js';
import { HERE, type IpVersion, THERE } from '../network.js';
import {
  type ProgramArguments,
  type Running,
  startPlayer,
  startPlayerThere,
  startQueuepair,
  startQueuepairThere,
} from '../programs.js';
import type { Lab } from '../scenario.js';
import { softDeviceName } from '../soft-device.js';

/** Where our end is. */
const PLACES = ['soft', 'rxe'] as const;
type Place = (typeof PLACES)[number];

interface Round {
  readonly program: StockProgram;
  readonly place: Place;
  readonly ip: IpVersion;
}

export async function cm(lab: Lab): Promise<void> {
  for (const place of PLACES) {
    for (const program of STOCK_PROGRAMS) {
      for (const ip of program.ips) {
        const round = { program, place, ip };
        const facts = { program: program.name, device: place, ip };
        const what = `${program.name} IPv${ip}, ours on ${place}`;
        const { results, machine } = lab;
        await results.run(`our client, stock server, ${what}`, { ...facts, role: 'client' }, () =>
          withStockServer(machine, round),
        );
        await results.run(`our server, stock client, ${what}`, { ...facts, role: 'server' }, () =>
          withStockClient(machine, round),
        );
      }
    }
  }
}

async function withStockServer(machine: Machine, { program, place, ip }: Round): Promise<string> {
  const device = await deviceName(place, ip);
  const server = await startStockCmServer(machine, program.server(THERE[ip]), program.port);
  const ours = start(machine, place, program, program.ourClient(device, THERE[ip]));
  const result = await ours.events;
  expectWell(await server.output, program.wellServed);
  return describe(result);
}

async function withStockClient(machine: Machine, { program, place, ip }: Round): Promise<string> {
  const device = await deviceName(place, ip);
  const host = place === 'soft' ? HERE[ip] : THERE[ip];
  const ours = start(machine, place, program, program.ourServer(device, host));
  await ours.listening;
  const client = startStock(machine, program.client(host));
  expectWell(await client.output, program.wellPlayed);
  return describe(await ours.events);
}

const deviceName = async (place: Place, ip: IpVersion): Promise<string> =>
  place === 'soft' ? softDeviceName(ip) : 'rxe0';

function start(machine: Machine, place: Place, { ours }: StockProgram, args: ProgramArguments): Running {
  if (ours === 'queuepair')
    return place === 'soft' ? startQueuepair(args) : startQueuepairThere(machine, args);
  return place === 'soft' ? startPlayer(args) : startPlayerThere(machine, args);
}

/** What the last line says, as far as it is short. */
function describe(events: Awaited<Running['events']>): string {
  const { event, ...values } = events.at(-1) ?? { event: 'nothing' };
  const told = Object.entries(values).filter(([, value]) => typeof value !== 'object');
  return told
    .map(([name, value]) => `${name} ${typeof value === 'number' ? Number(value.toFixed(1)) : value}`)
    .join(', ');
}
