/**
 * rsocket: stock programs at the other end of ours, each as server and as client; our end on the soft device of this side,
 * and on rxe0 in the machine; and some of them over a network that loses 1 % of the packets.
 */
import { makeBad, makeGood, readDamage } from '../bad-network.js';
import { bundlePrograms } from '../bundle.js';
import { Capture } from '../capture.js';
import { deviceName, hostOf, orKill, PLACES, type Place, startPlayerAt } from '../cm-ends.js';
import { startStock, startStockCmServer } from '../cm-stock.js';
import { lastLines, runOrThrow } from '../commands.js';
import { writePart } from '../interop-document.js';
import { losingLastWord } from '../lost-messages.js';
import type { Machine } from '../machine.js';
import { type IpVersion, THERE } from '../network.js';
import {
  type Running,
  startPlayer,
  startQueuepair,
  startQueuepairThere,
  TIMEOUT_MILLIS,
  useBundles,
} from '../programs.js';
import { SkipCase } from '../results.js';
import { renderRsocket } from '../rsocket-document.js';
import { MIB, makeSample, RSOCKET_PROGRAMS, type RsocketProgram } from '../rsocket-stock.js';
import type { Lab } from '../scenario.js';
import { softDeviceName } from '../soft-device.js';

const LOSS = 'loss 1%';
/** Of what is sent over the bad network. */
const LOSSY_BYTES = 4 * MIB;
/** Of what our end sends from inside of the machine, where it is emulated too. */
const EMULATED_BYTES = 8 * MIB;
/** The TCP end of the proxy before a stock server, which may be in the same machine. */
const PROXY_PORT = 7599;
/** In sockets of TCP and rsocket, and in the proxy. */
const BUFFERED_BYTES = 8 * MIB;
const LOSSY = ['rstream', 'curl', 'rcopy'];

type Network = 'good' | 'lossy';

interface Round {
  readonly machine: Machine;
  readonly program: RsocketProgram;
  readonly place: Place;
  readonly ip: IpVersion;
  /** Of the sample file in the machine. */
  readonly sampleHash: string;
}

export async function rsocket(lab: Lab): Promise<void> {
  const bundles = await bundlePrograms();
  useBundles(bundles);
  const capture = await Capture.start();
  try {
    const sampleHash = hashIn(await lab.machine.runOrThrow(makeSample, TIMEOUT_MILLIS));
    for (const place of PLACES) {
      for (const program of RSOCKET_PROGRAMS) {
        const count = place === 'rxe' ? Math.min(program.count, EMULATED_BYTES) : program.count;
        await runProgram(lab, place, { ...program, count }, sampleHash, 'good');
      }
    }
    await overLoss(lab, sampleHash);
    await lab.results.run(
      'our client, stock server, rstream IPv4, ours on soft, its last word is lost',
      { what: 'last word' },
      () => withoutLastWord(lab.machine),
    );
    await lab.results.run('tshark calls no packet malformed, ours on soft', { what: 'wire' }, () =>
      judgeWire(capture),
    );
    if (lab.options.writeDocs) await writePart(lab, 'rsocket', renderRsocket);
  } finally {
    capture.close();
    bundles.remove();
  }
}

async function overLoss(lab: Lab, sampleHash: string): Promise<void> {
  const { machine } = lab;
  const programs = RSOCKET_PROGRAMS.filter(({ name }) => LOSSY.includes(name));
  const isWanted = ({ name }: RsocketProgram): boolean =>
    Object.values(caseNames(name, 4, 'soft', 'lossy')).some((text) => lab.results.wants(text));
  if (!programs.some(isWanted)) return;
  await makeBad(machine, LOSS);
  try {
    for (const program of programs) {
      const count = program.count > MIB ? LOSSY_BYTES : program.count;
      await runProgram(lab, 'soft', { ...program, count, ips: [4] }, sampleHash, 'lossy');
    }
    const { dropped, sent } = await readDamage(machine);
    await lab.results.run('the bad network lost packets', { what: 'loss' }, async () => {
      if (dropped === 0) throw new Error(`none of ${sent} packets was lost`);
      return `${dropped} of ${sent + dropped} packets lost`;
    });
  } finally {
    await makeGood(machine);
  }
}

/** By what our end is. */
function caseNames(
  program: string,
  ip: IpVersion,
  place: Place,
  network: Network,
): { readonly client: string; readonly server: string } {
  const where = network === 'good' ? `ours on ${place}` : 'over a network that loses 1 %';
  const what = `${program} IPv${ip}, ${where}`;
  return { client: `our client, stock server, ${what}`, server: `our server, stock client, ${what}` };
}

async function runProgram(
  { results, machine }: Lab,
  place: Place,
  program: RsocketProgram,
  sampleHash: string,
  network: Network,
): Promise<void> {
  for (const ip of program.ips) {
    const round = { machine, program, place, ip, sampleHash };
    const facts = { program: program.name, device: place, ip, network };
    const names = caseNames(program.name, ip, place, network);
    const { server, client } = program;
    if (server !== undefined) {
      await results.run(names.client, { ...facts, role: 'client' }, () =>
        withStockServer(round, server(program.count, THERE[ip])),
      );
    }
    if (client !== undefined) {
      await results.run(names.server, { ...facts, role: 'server' }, () =>
        withStockClient(round, client(hostOf(place, ip), program.count)),
      );
    }
  }
}

async function withStockServer(round: Round, command: string): Promise<string> {
  const { machine, program, place, ip } = round;
  const device = await deviceName(place, ip);
  const server = await startStockCmServer(machine, command, program.port, program.isForkSafe);
  const ours = startOurs(round, device, THERE[ip], true);
  return await orKill([server, ours], async () => {
    if (program.overTcp !== undefined) {
      await ours.listening;
      judgeSums(program, await startAt(round, program.overTcp.client(PROXY_PORT, program.count)));
      await server.output;
      await ours.stop();
    }
    const told = await resultOf(ours);
    const printed = program.isEndless ? await server.kill() : await server.output;
    await judge(round, printed, told, true);
    return describe(told);
  });
}

async function withStockClient(round: Round, command: string): Promise<string> {
  const { machine, program, place, ip } = round;
  const device = await deviceName(place, ip);
  const tcp =
    program.overTcp === undefined ? undefined : startAt(round, program.overTcp.server(program.port));
  const ours = startOurs(round, device, hostOf(place, ip), false);
  return await orKill([ours], async () => {
    await ours.listening;
    const client = startStock(machine, command);
    return await orKill([client], async () => {
      const printed = await client.output;
      if (tcp !== undefined) {
        await tcp;
        await ours.stop();
      }
      const told = await resultOf(ours);
      await judge(round, printed, told, false);
      return describe(told);
    });
  });
}

/**
 * Our end of data crosses the end of a stock program, which takes it for both: it leaves and repeats nothing. Ours has all its bytes,
 * and cannot know that these were all.
 */
async function withoutLastWord(machine: Machine): Promise<string> {
  const { port, server, well = /^/ } = programNamed('rstream');
  const count = 50;
  return await losingLastWord(machine, async () => {
    const stock = await startStockCmServer(machine, server?.(count, THERE[4]) ?? '', port);
    const args = ['patient-rstream', '--device', await softDeviceName(4), '--port', port, '--count', count];
    const ours = startPlayer([...args, '--host', THERE[4]]);
    return await orKill([stock, ours], async () => {
      const { ending } = await resultOf(ours);
      const printed = await stock.output;
      if (!well.test(printed)) throw new Error(`it printed ${lastLines(printed, 3)}`);
      if (!/has not said that its data had ended$/.test(String(ending)))
        throw new Error(`ours told: ${ending}`);
      return `ours told: ${ending}`;
    });
  });
}

function programNamed(name: string): RsocketProgram {
  const program = RSOCKET_PROGRAMS.find((one) => one.name === name);
  if (program === undefined) throw new Error(`there is no program ${name}`);
  return program;
}

function startOurs(
  { machine, place, program: { player, port, count, isForkSafe } }: Round,
  device: string,
  host: string,
  isClient: boolean,
): Running {
  if (player !== 'proxy') {
    const side = isClient ? '--host' : '--bind';
    return startPlayerAt(machine, place, [
      ...[player, '--device', device, '--port', port, '--count', count, side, host],
    ]);
  }
  const rdma = `rdma:${host}:${port}`;
  const [from, to] = isClient ? [`tcp:127.0.0.1:${PROXY_PORT}`, rdma] : [rdma, `tcp:127.0.0.1:${port}`];
  const args = ['proxy', '--rsocket', '--json', '--device', device, '--listen', from, '--to', to];
  if (isClient && isForkSafe) args.push('--fork-safe');
  return place === 'soft' ? startQueuepair(args) : startQueuepairThere(machine, args);
}

/** A program of TCP, where our end is. Its failure may be told later. */
function startAt({ place, machine }: Round, command: string): Promise<string> {
  const output =
    place === 'soft'
      ? runOrThrow('bash', ['-c', command], { timeoutMillis: TIMEOUT_MILLIS })
      : machine.runOrThrow(command, TIMEOUT_MILLIS);
  output.catch(() => {});
  return output;
}

type Told = Readonly<Record<string, unknown>>;

async function resultOf(ours: Running): Promise<Told> {
  const events = await ours.events;
  const { event, ...told } = events.at(-1) ?? {};
  if (event !== 'result' && event !== 'summary') throw new Error('our end told no result');
  return told;
}

/** What was still on its way when the client said that it was done, is not counted by iperf3: but that is less than buffers hold. */
function judgeSums({ overTcp, count }: RsocketProgram, printed: string): void {
  if (overTcp === undefined) return;
  const { sent, received } = overTcp.sums(printed);
  if (sent < count || received > sent || received < sent - BUFFERED_BYTES)
    throw new Error(`of ${count} bytes ${sent} were sent, and ${received} have come`);
}

/** Compares what either end sent with what the other got. */
async function judge(
  { machine, program, sampleHash }: Round,
  printed: string,
  told: Told,
  isServer: boolean,
): Promise<void> {
  const { well, printsHash, sendsSample, serverFile } = program;
  const isPlain = well !== undefined && (!isServer || program.isEndless === undefined);
  if (isPlain && !well.test(printed)) throw new Error(`it printed ${lastLines(printed, 3)}`);
  const isCopied = isServer && serverFile !== undefined;
  if (isCopied) {
    expectHash('its file', hashIn(await machine.runOrThrow(`sha256sum < ${serverFile}`)), told['sha256']);
  }
  if (printsHash === true) expectHash('what it got', hashIn(printed), told['sentSha256'] ?? told['sha256']);
  if (sendsSample === true && !isCopied) expectHash('what we got', String(told['sha256']), sampleHash);
}

function expectHash(what: string, hash: string, wanted: unknown): void {
  if (hash !== wanted) throw new Error(`${what} has the hash ${hash}, not ${wanted}`);
}

/** The first in what sha256sum printed. */
function hashIn(text: string): string {
  const [hash] = /\b[0-9a-f]{64}\b/.exec(text) ?? [];
  if (hash === undefined) throw new Error(`no hash in ${lastLines(text, 3)}`);
  return hash;
}

const describe = (told: Told): string =>
  Object.entries(told)
    .filter(([name]) => !/sha256$/i.test(name))
    .map(([name, value]) => `${name} ${value}`)
    .join(', ');

async function judgeWire(capture: Capture): Promise<string> {
  const { packets, mads, malformed } = await capture.judge();
  if (packets === 0) throw new SkipCase('nothing was on the wire');
  if (malformed.length > 0) {
    throw new Error(`${malformed.length} of ${packets} packets: ${malformed.slice(0, 3).join(', ')}`);
  }
  return `${packets} packets, ${mads} MADs of the connection manager`;
}
