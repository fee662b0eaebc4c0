/**
 * rdma_cm when something goes wrong: nobody listens, a server says no, a process is killed, a message of the connection
 * manager is lost. Each case says what either end must hear.
 */
import { deviceName, hostOf, orKill, type Place, startPlayerAt } from '../cm-ends.js';
import { type RunningStock, startStock, startStockCmServer } from '../cm-stock.js';
import { type CmMessage, losing, type Way } from '../lost-messages.js';
import type { Machine } from '../machine.js';
import { HERE, THERE } from '../network.js';
import type { ProgramArguments, Running } from '../programs.js';
import type { Lab } from '../scenario.js';

/** Of our servers. */
const PORT = 7300;
/** Nobody's. */
const FREE_PORT = 7999;
const RPING_PORT = 7174;
const UCMATOSE_PORT = 7471;
/** On a busy machine. */
const WHOLE_SCENARIO_MILLIS = 1_800_000;
const UDADDY_PORT = 7174;
const MESSAGES = 10;
const REFUSAL = 'no room for you';
const NOBODY_LISTENS = 8;
const PROGRAM_SAID_NO = 28;
const FEW_RETRIES = 1;
const UNANSWERED = /cq completion failed status 12/;

export async function cmFailures(lab: Lab): Promise<void> {
  const { results, machine } = lab;
  // What becomes of the stock programs is seen at the end.
  const unheard = [
    await begun(lab, 'our client is killed: the stock server gets no answers', () => killSoftClient(machine)),
    await begun(lab, 'our server is killed: the stock client hears nothing', () => killSoftServer(machine)),
  ];
  for (const place of ['soft', 'rxe'] as const) {
    const { refusals, deaths } = casesOf(machine, place);
    for (const [name, work] of [...refusals, ...deaths]) {
      await results.run(`${name}, ours on ${place}`, { failure: name, device: place }, work);
    }
  }
  for (const { name, role, message, way, work } of losses(machine)) {
    await results.run(name, { lost: message, role }, () => losing(machine, message, way, work));
  }
  for (const { failure, name, end } of unheard) await results.run(name, { failure, device: 'soft' }, end);
}

type Case = readonly [name: string, work: () => Promise<string>];

interface Begun {
  readonly failure: string;
  readonly name: string;
  readonly end: () => Promise<string>;
}

/** Starts what takes long; what comes of it is looked at later. */
async function begun(
  { results }: Lab,
  failure: string,
  work: () => Promise<() => Promise<string>>,
): Promise<Begun> {
  const name = `${failure}, ours on soft`;
  if (!results.wants(name)) return { failure, name, end: () => Promise.reject(new Error('not begun')) };
  const end = await work().catch((error: unknown) => () => Promise.reject(error));
  return { failure, name, end };
}

function casesOf(machine: Machine, place: Place): { refusals: Case[]; deaths: Case[] } {
  const other = place === 'soft' ? 'rxe' : 'soft';
  return {
    refusals: [
      ['our client, no listener', () => clientWithoutListener(machine, place)],
      ['stock client, no listener', () => stockWithoutListener(machine, place)],
      ['our server rejects a stock client', () => rejectStock(machine, place)],
      [
        `our server rejects with private data our client on ${other}`,
        () => rejectOurs(machine, place, other),
      ],
    ],
    deaths: [
      ['the stock server is killed: our client hears of it', () => killStockServer(machine, place)],
      ['the stock client is killed: our server hears of it', () => killStockClient(machine, place)],
      // Who hears of the death of a process on the soft device is another matter.
      ...(place === 'soft'
        ? []
        : ([
            ['our client is killed: the stock server hears of it', () => killOurClient(machine)],
            ['our server is killed: the stock client hears of it', () => killOurServer(machine)],
          ] satisfies Case[])),
    ],
  };
}

/** What meets one peer (players/meeting.ts). */
async function meet(machine: Machine, place: Place, args: ProgramArguments): Promise<Running> {
  return startPlayerAt(machine, place, ['meeting', '--device', await deviceName(place, 4), ...args]);
}

async function serve(machine: Machine, place: Place, args: ProgramArguments = []): Promise<Running> {
  const running = await meet(machine, place, ['--port', PORT, '--bind', hostOf(place, 4), ...args]);
  await running.listening;
  return running;
}

export async function expectResult(
  running: Running,
  values: Readonly<Record<string, unknown>>,
): Promise<string> {
  const result = (await running.events).at(-1) ?? {};
  for (const [name, value] of Object.entries(values)) {
    if (result[name] !== value) throw new Error(`${name} is ${String(result[name])}, not ${String(value)}`);
  }
  return Object.entries(values)
    .map(([name, value]) => `${name} ${String(value)}`)
    .join(', ');
}

/** A stock program that ends with an error, and says why. */
async function expectFailure(stock: RunningStock, pattern: RegExp): Promise<string> {
  const { code, output } = await stock.ended;
  const [said] = pattern.exec(output) ?? [];
  if (said === undefined) throw new Error(`it does not say ${pattern.source}: ${output.slice(-200)}`);
  return `${said}, exit code ${code}`;
}

async function clientWithoutListener(machine: Machine, place: Place): Promise<string> {
  const client = await meet(machine, place, ['--host', THERE[4], '--port', FREE_PORT]);
  return await expectResult(client, { code: 'ERR_RDMA_REJECTED', reason: NOBODY_LISTENS });
}

async function stockWithoutListener(machine: Machine, place: Place): Promise<string> {
  const server = await serve(machine, place);
  return await orKill([server], async () => {
    const client = startStock(machine, `rping -c -a ${hostOf(place, 4)} -p ${FREE_PORT}`);
    const said = await expectFailure(client, new RegExp(`RDMA_CM_EVENT_REJECTED, error ${NOBODY_LISTENS}`));
    await server.kill();
    return said;
  });
}

async function rejectStock(machine: Machine, place: Place): Promise<string> {
  const server = await serve(machine, place, ['--reject-with', REFUSAL]);
  return await orKill([server], async () => {
    const client = startStock(machine, `rping -c -a ${hostOf(place, 4)} -p ${PORT}`);
    const said = await expectFailure(client, new RegExp(`RDMA_CM_EVENT_REJECTED, error ${PROGRAM_SAID_NO}`));
    await expectResult(server, { rejected: 1 });
    return said;
  });
}

/** One end's connection manager is that of the kernel. */
async function rejectOurs(machine: Machine, place: Place, other: Place): Promise<string> {
  const server = await serve(machine, place, ['--reject-with', REFUSAL]);
  return await orKill([server], async () => {
    const client = await meet(machine, other, ['--host', hostOf(place, 4), '--port', PORT]);
    const said = await expectResult(client, { reason: PROGRAM_SAID_NO, text: REFUSAL });
    await expectResult(server, { rejected: 1 });
    return said;
  });
}

async function killStockServer(machine: Machine, place: Place): Promise<string> {
  const server = await startStockCmServer(machine, `rping -s -a ${THERE[4]}`, RPING_PORT);
  const client = await meet(machine, place, ['--host', THERE[4], '--port', RPING_PORT]);
  return await orKill([server, client], async () => {
    await client.when('connected');
    await server.kill();
    return await expectResult(client, { ending: 'disconnected by the peer' });
  });
}

async function killStockClient(machine: Machine, place: Place): Promise<string> {
  const server = await serve(machine, place);
  const client = startStock(machine, `rping -c -a ${hostOf(place, 4)} -p ${PORT}`);
  return await orKill([server, client], async () => {
    await server.when('connected');
    await client.kill();
    return await expectResult(server, { ending: 'disconnected by the peer' });
  });
}

/** The kernel says goodbye for its process. */
async function killOurClient(machine: Machine): Promise<string> {
  const server = await startStockCmServer(machine, `rping -s -a ${THERE[4]} -v`, RPING_PORT);
  const client = await meet(machine, 'rxe', ['--host', THERE[4], '--port', RPING_PORT]);
  return await orKill([server, client], async () => {
    await client.when('connected');
    await client.kill();
    return await expectFailure(server, /server DISCONNECT EVENT|DISCONNECT EVENT/);
  });
}

async function killOurServer(machine: Machine): Promise<string> {
  const server = await serve(machine, 'rxe');
  const client = startStock(machine, `rping -c -a ${THERE[4]} -p ${PORT} -v`);
  return await orKill([server, client], async () => {
    await server.when('connected');
    await server.kill();
    return await expectFailure(client, /client DISCONNECT EVENT|DISCONNECT EVENT/);
  });
}

/**
 * Nobody says goodbye for a process of a soft device. The stock server has something on its way, and gives up after as many
 * tries as our client asked for.
 */
async function killSoftClient(machine: Machine): Promise<() => Promise<string>> {
  const port = RPING_PORT + 1;
  const server = await startStockCmServer(machine, `rping -s -a ${THERE[4]} -p ${port}`, port);
  const client = await meet(machine, 'soft', [
    ...['--host', THERE[4], '--port', port, '--no-receives', '--ping', '--retries', FEW_RETRIES],
  ]);
  return await orKill([server, client], async () => {
    await client.when('answering');
    await client.kill();
    return () => expectFailure(server, UNANSWERED);
  });
}

/** rping asks for 7 retries, which rxe takes for endless. */
async function killSoftServer(machine: Machine): Promise<() => Promise<string>> {
  const server = await serve(machine, 'soft', ['--no-receives']);
  const client = startStock(machine, `rping -c -a ${HERE[4]} -p ${PORT}`, WHOLE_SCENARIO_MILLIS);
  return await orKill([server, client], async () => {
    await server.when('connected');
    await server.kill();
    const begin = performance.now();
    return async () => {
      const output = await client.kill();
      if (output !== '') throw new Error(`it says ${output}`);
      return `nothing in ${((performance.now() - begin) / 1000).toFixed(0)} s`;
    };
  });
}

interface Loss {
  readonly role: 'client' | 'server';
  readonly name: string;
  readonly message: CmMessage;
  readonly way: Way;
  readonly work: () => Promise<string>;
}

/** ucmatose waits for the end of its connection; its server asks for it. */
function losses(machine: Machine): Loss[] {
  const client = (message: CmMessage, way: Way): Loss => ({
    role: 'client',
    name: `our client, stock server, ${message} lost once`,
    message,
    way,
    work: () => clientOfUcmatose(machine),
  });
  const server = (message: CmMessage, way: Way): Loss => ({
    role: 'server',
    name: `our server, stock client, ${message} lost once`,
    message,
    way,
    work: () => serverOfUcmatose(machine),
  });
  return [
    ...[client('REQ', 'in'), client('REP', 'out'), client('RTU', 'in')],
    ...[client('DREQ', 'out'), client('DREP', 'in')],
    ...[server('REQ', 'out'), server('REP', 'in'), server('RTU', 'out')],
    ...[server('DREQ', 'in'), server('DREP', 'out')],
    { ...client('REJ', 'out'), work: () => clientWithoutListener(machine, 'soft') },
    { ...server('REJ', 'in'), work: () => stockWithoutListener(machine, 'soft') },
    // No answer to our client: the kernel tells udaddy of the second question as of another client.
    { ...client('SIDR_REQ', 'in'), work: () => clientOfUdaddy(machine) },
    { ...server('SIDR_REQ', 'out'), work: () => serverOfUdaddy(machine) },
    { ...server('SIDR_REP', 'in'), work: () => serverOfUdaddy(machine) },
  ];
}

const ucmatose = async (args: ProgramArguments): Promise<ProgramArguments> => [
  ...['ucmatose', '--device', await deviceName('soft', 4), '--port', UCMATOSE_PORT],
  ...['--count', MESSAGES, '--stay', ...args],
];

async function clientOfUcmatose(machine: Machine): Promise<string> {
  const server = await startStockCmServer(machine, `ucmatose -b ${THERE[4]}`, UCMATOSE_PORT);
  const client = startPlayerAt(machine, 'soft', await ucmatose(['--host', THERE[4]]));
  return await bothEnd(client, server);
}

async function serverOfUcmatose(machine: Machine): Promise<string> {
  const server = startPlayerAt(machine, 'soft', await ucmatose(['--bind', HERE[4]]));
  await server.listening;
  return await bothEnd(server, startStock(machine, `ucmatose -s ${HERE[4]}`));
}

const udaddy = async (args: ProgramArguments): Promise<ProgramArguments> => [
  ...['udaddy', '--device', await deviceName('soft', 4), '--port', UDADDY_PORT, '--count', MESSAGES, ...args],
];

async function clientOfUdaddy(machine: Machine): Promise<string> {
  const server = await startStockCmServer(machine, `udaddy -b ${THERE[4]}`, UDADDY_PORT);
  return await datagramsOf(startPlayerAt(machine, 'soft', await udaddy(['--host', THERE[4]])), server);
}

async function serverOfUdaddy(machine: Machine): Promise<string> {
  const server = startPlayerAt(machine, 'soft', await udaddy(['--bind', HERE[4]]));
  await server.listening;
  return await datagramsOf(server, startStock(machine, `udaddy -s ${HERE[4]}`));
}

async function datagramsOf(ours: Running, stock: RunningStock): Promise<string> {
  return await orKill([ours, stock], async () => {
    const begin = performance.now();
    const said = await expectResult(ours, { datagrams: MESSAGES });
    const output = await stock.output;
    if (!/return status 0/.test(output)) throw new Error(`the stock program failed: ${output.slice(-200)}`);
    return `${said}, ${((performance.now() - begin) / 1000).toFixed(1)} s`;
  });
}

/** Our device stays until the stock program has ended, for its connection manager may have to say something again. */
async function bothEnd(ours: Running, stock: RunningStock): Promise<string> {
  return await orKill([ours, stock], async () => {
    const begin = performance.now();
    await ours.when('result');
    const output = await stock.output;
    if (!/return status 0/.test(output)) throw new Error(`the stock program failed: ${output.slice(-200)}`);
    const seconds = (performance.now() - begin) / 1000;
    await ours.stop();
    const said = await expectResult(ours, { messages: MESSAGES, ending: 'disconnected' });
    return `${said}, ${seconds.toFixed(1)} s`;
  });
}
