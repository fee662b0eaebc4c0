/** `queuepair pingpong` on the soft device and the stock ibv_rc_pingpong on rxe0, each as server and as client. */
import { lastLines } from '../commands.js';
import type { Machine } from '../machine.js';
import { HERE, IP_VERSIONS, type IpVersion, THERE } from '../network.js';
import { type Running, resultOf, startQueuepair, TIMEOUT_MILLIS } from '../programs.js';
import type { Lab } from '../scenario.js';
import { softDeviceName } from '../soft-device.js';
import { findGidIndex, startStockServer } from '../stock-tools.js';

const PORT = 18515;

interface Round {
  readonly ip: IpVersion;
  readonly mtu: number;
  readonly size: number;
  readonly iterations: number;
  /** Of rxe0. */
  readonly gidIndex: number;
}

export async function pingpong({ machine, results }: Lab): Promise<void> {
  for (const ip of IP_VERSIONS) {
    const gidIndex = await findGidIndex(machine, ip);
    for (const mtu of [1024, 4096]) {
      for (const [size, iterations] of [
        [4096, 500],
        [65_536, 50],
      ] as const) {
        const round = { ip, mtu, size, iterations, gidIndex };
        const what = `IPv${ip} MTU ${mtu} ${size} bytes`;
        await results.run(`queuepair client, stock server, ${what}`, {}, () =>
          withStockServer(machine, round),
        );
        await results.run(`stock client, queuepair server, ${what}`, {}, () =>
          withStockClient(machine, round),
        );
      }
    }
  }
}

async function withStockServer(machine: Machine, round: Round): Promise<string> {
  const device = await softDeviceName(round.ip);
  const server = await startStockServer(machine, stockCommand(round, ''), PORT);
  const own = startQueuepair([...queuepairArguments(device, round), THERE[4]]);
  return `${await readOwn(own)} us/iter; stock: ${readStock(await server.output)} us/iter`;
}

async function withStockClient(machine: Machine, round: Round): Promise<string> {
  const device = await softDeviceName(round.ip);
  const server = startQueuepair([...queuepairArguments(device, round), '--bind', HERE[4]]);
  server.events.catch(() => {});
  await server.listening;
  // -c: the stock tool checks what comes back.
  const stock = await machine.runOrThrow(stockCommand(round, `-c ${HERE[4]}`), TIMEOUT_MILLIS);
  return `${await readOwn(server)} us/iter; stock: ${readStock(stock)} us/iter`;
}

const queuepairArguments = (device: string, { mtu, size, iterations }: Round): (string | number)[] => [
  ...['pingpong', '-e', '--json', '-d', device, '-m', mtu, '-s', size, '-n', iterations, '-p', PORT],
];

const readOwn = async (running: Running): Promise<string> =>
  (await resultOf(running, 'microsPerIteration')).toFixed(0);

const stockCommand = ({ gidIndex, mtu, size, iterations }: Round, rest: string): string =>
  `ibv_rc_pingpong -d rxe0 -g ${gidIndex} -m ${mtu} -s ${size} -n ${iterations} -p ${PORT} ${rest}`;

function readStock(output: string): string {
  if (output.includes('invalid data'))
    throw new Error(`the stock tool found wrong data: ${lastLines(output, 2)}`);
  const [, micros] = /([\d.]+) usec\/iter/.exec(output) ?? [];
  if (micros === undefined) throw new Error(`the stock tool printed no result: ${lastLines(output, 2)}`);
  return micros;
}
