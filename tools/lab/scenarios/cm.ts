/**
 * rdma_cm: every stock program of it that Debian has, at the other end of ours, each as server and as client; our end on
 * the soft device of this side, and on rxe0 in the machine.
 */
import { bundlePrograms } from '../bundle.js';
import { Capture } from '../capture.js';
import { renderCm } from '../cm-document.js';
import { deviceName, hostOf, orKill, PLACES, type Place, startPlayerAt } from '../cm-ends.js';
import {
  expectWell,
  STOCK_PROGRAMS,
  type StockProgram,
  startStock,
  startStockCmServer,
} from '../cm-stock.js';
import { writePart } from '../interop-document.js';
import type { Machine } from '../machine.js';
import { type IpVersion, THERE } from '../network.js';
import {
  type ProgramArguments,
  type Running,
  startQueuepair,
  startQueuepairThere,
  useBundles,
} from '../programs.js';
import { SkipCase } from '../results.js';
import type { Lab } from '../scenario.js';
import { cmFailures } from './cm-failures.js';
import { cmReturns } from './cm-returns.js';

interface Round {
  readonly program: StockProgram;
  readonly place: Place;
  readonly ip: IpVersion;
}

export async function cm(lab: Lab): Promise<void> {
  const bundles = await bundlePrograms();
  useBundles(bundles);
  const capture = await Capture.start();
  try {
    for (const place of PLACES) for (const program of STOCK_PROGRAMS) await runProgram(lab, place, program);
    await cmFailures(lab);
    await cmReturns(lab);
    await lab.results.run('tshark calls no packet malformed, ours on soft', { what: 'wire' }, () =>
      judgeWire(capture),
    );
    if (lab.options.writeDocs) await writePart(lab, 'cm', renderCm);
  } finally {
    capture.close();
    bundles.remove();
  }
}

async function runProgram({ results, machine }: Lab, place: Place, program: StockProgram): Promise<void> {
  for (const ip of program.ips) {
    const round = { program, place, ip };
    const facts = { program: program.name, device: place, ip };
    const what = `${program.name} IPv${ip}, ours on ${place}`;
    await results.run(`our client, stock server, ${what}`, { ...facts, role: 'client' }, () =>
      withStockServer(machine, round),
    );
    await results.run(`our server, stock client, ${what}`, { ...facts, role: 'server' }, () =>
      withStockClient(machine, round),
    );
  }
}

/** Of all cases before; what both ends of one machine say to each other, rxe0 keeps to itself. */
async function judgeWire(capture: Capture): Promise<string> {
  const { packets, mads, malformed } = await capture.judge();
  if (packets === 0) throw new SkipCase('nothing was on the wire');
  if (malformed.length > 0) {
    throw new Error(`${malformed.length} of ${packets} packets: ${malformed.slice(0, 3).join(', ')}`);
  }
  return `${packets} packets, ${mads} MADs of the connection manager`;
}

async function withStockServer(machine: Machine, { program, place, ip }: Round): Promise<string> {
  const device = await deviceName(place, ip);
  const { port, overTcp, wellServed } = program;
  const server = await startStockCmServer(machine, program.server(THERE[ip]), port, overTcp);
  const ours = start(machine, place, program, program.ourClient(device, THERE[ip]));
  return await orKill([server, ours], async () => {
    const result = await ours.events;
    if (wellServed === undefined) await server.kill();
    else expectWell(await server.output, wellServed);
    return describe(result);
  });
}

async function withStockClient(machine: Machine, { program, place, ip }: Round): Promise<string> {
  const device = await deviceName(place, ip);
  const host = hostOf(place, ip);
  const ours = start(machine, place, program, program.ourServer(device, host));
  return await orKill([ours], async () => {
    await ours.listening;
    const client = startStock(machine, program.client(host));
    return await orKill([client], async () => {
      expectWell(await client.output, program.wellPlayed);
      return describe(await ours.events);
    });
  });
}

function start(machine: Machine, place: Place, { ours }: StockProgram, args: ProgramArguments): Running {
  if (ours === 'queuepair')
    return place === 'soft' ? startQueuepair(args) : startQueuepairThere(machine, args);
  return startPlayerAt(machine, place, args);
}

/** What the last line says, as far as it is short. */
function describe(events: Awaited<Running['events']>): string {
  const { event, ...values } = events.at(-1) ?? { event: 'nothing' };
  const told = Object.entries(values).filter(([, value]) => typeof value !== 'object');
  return told
    .map(([name, value]) => `${name} ${typeof value === 'number' ? Number(value.toFixed(1)) : value}`)
    .join(', ');
}
