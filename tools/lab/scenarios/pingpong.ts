/** `queuepair pingpong` on the soft device and the stock ibv_rc_pingpong on rxe0, each as server and as client. */
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { lastLines, spawnBound } from '../commands.js';
import type { Machine } from '../machine.js';
import { HERE, IP_VERSIONS, type IpVersion, THERE } from '../network.js';
import type { Lab } from '../scenario.js';
import { softDeviceName } from '../soft-device.js';

const QUEUEPAIR = fileURLToPath(new URL('../../../src/cli/main.js', import.meta.url));
const PORT = 18515;
const TIMEOUT_MILLIS = 60_000;

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

async function findGidIndex(machine: Machine, ip: IpVersion): Promise<number> {
  const text = await machine.runOrThrow('ibv_devinfo -v -d rxe0');
  const address = ip === 4 ? `::ffff:${THERE[4]}` : THERE[6];
  for (const [, index, gid, type] of text.matchAll(/GID\[\s*(\d+)\]:\s*(\S+), (.*)$/gm)) {
    if (gid === address && type === 'RoCE v2') return Number(index);
  }
  throw new Error(`rxe0 has no GID ${address}`);
}

async function withStockServer(machine: Machine, round: Round): Promise<string> {
  const device = await softDeviceName(round.ip);
  const server = machine.runOrThrow(stockCommand(round, ''), TIMEOUT_MILLIS);
  // Somebody must look at its failure even when the client fails first.
  server.catch(() => {});
  const port = PORT.toString(16).toUpperCase();
  const listens = `grep -q ':${port} 0*:0000 0A' /proc/net/tcp /proc/net/tcp6`;
  await machine.runOrThrow(`until ${listens}; do sleep 0.05; done`, TIMEOUT_MILLIS);
  const own = await startQueuepair(device, round, [THERE[4]]).result;
  return `${own} us/iter; stock: ${readStock(await server)} us/iter`;
}

async function withStockClient(machine: Machine, round: Round): Promise<string> {
  const device = await softDeviceName(round.ip);
  const server = startQueuepair(device, round, ['--bind', HERE[4]]);
  server.result.catch(() => {});
  await server.listening;
  // -c: the stock tool checks what comes back.
  const stock = await machine.runOrThrow(stockCommand(round, `-c ${HERE[4]}`), TIMEOUT_MILLIS);
  return `${await server.result} us/iter; stock: ${readStock(stock)} us/iter`;
}

const stockCommand = ({ gidIndex, mtu, size, iterations }: Round, rest: string): string =>
  `ibv_rc_pingpong -d rxe0 -g ${gidIndex} -m ${mtu} -s ${size} -n ${iterations} -p ${PORT} ${rest}`;

function readStock(output: string): string {
  if (output.includes('invalid data'))
    throw new Error(`the stock tool found wrong data: ${lastLines(output, 2)}`);
  const [, micros] = /([\d.]+) usec\/iter/.exec(output) ?? [];
  if (micros === undefined) throw new Error(`the stock tool printed no result: ${lastLines(output, 2)}`);
  return micros;
}

interface Running {
  /** A server waits for its client. */
  readonly listening: Promise<void>;
  /** Microseconds a round trip. */
  readonly result: Promise<string>;
}

function startQueuepair(device: string, { mtu, size, iterations }: Round, more: readonly string[]): Running {
  const numbers = ['-m', mtu, '-s', size, '-n', iterations, '-p', PORT].map(String);
  const child = spawnBound(
    process.execPath,
    [QUEUEPAIR, 'pingpong', '--json', '-d', device, ...numbers, ...more],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const timer = setTimeout(() => child.kill('SIGKILL'), TIMEOUT_MILLIS);
  let output = '';
  let errors = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  const ended = once(child, 'close').then(([code]) => {
    clearTimeout(timer);
    if (code !== 0) throw new Error(`queuepair pingpong ended with ${code}: ${lastLines(errors, 2)}`);
    const [, micros] = /"microsPerIteration":([\d.]+)/.exec(output) ?? [];
    if (micros === undefined)
      throw new Error(`queuepair pingpong printed no result: ${lastLines(output, 2)}`);
    return Number(micros).toFixed(0);
  });
  const listening = new Promise<void>((resolve, reject) => {
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      if (output.includes('"listening"')) resolve();
    });
    ended.catch(reject);
  });
  listening.catch(() => {});
  return { listening, result: ended };
}
