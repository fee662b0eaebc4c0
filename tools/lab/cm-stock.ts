/** The stock programs of rdma_cm: how each is started, who of ours is its other end, and how one sees that it went well. */
import { lastLines } from './commands.js';
import type { GuestResult, Machine } from './machine.js';
import { IP_VERSIONS, type IpVersion } from './network.js';
import { type ProgramArguments, TIMEOUT_MILLIS } from './programs.js';

export interface StockProgram {
  readonly name: string;
  /** Of rdma_cm. */
  readonly port: number;
  /** The server listens there by TCP first, and takes a port of rdma_cm for each client. */
  readonly overTcp?: true;
  readonly ips: readonly IpVersion[];
  server(host: string): string;
  client(host: string): string;
  /** `queuepair` itself, or what plays the protocol for the lab alone. */
  readonly ours: 'queuepair' | 'player';
  ourServer(device: string, host: string): ProgramArguments;
  ourClient(device: string, host: string): ProgramArguments;
  /** What it prints when all went well, as server and as client. A server without never ends, and is ended. */
  readonly wellServed?: RegExp;
  readonly wellPlayed: RegExp;
}

const PINGS = 5;
const MESSAGES = 10;
const CONNECTIONS = 100;
const PERFTEST_PORT = 18_515;
const PERFTEST_ITERATIONS = 200;

interface Played {
  readonly player: string;
  readonly port: number;
  readonly count: number;
  server(host: string): string;
  client(host: string): string;
  readonly well: RegExp;
  readonly isEndless?: true;
  readonly overTcp?: true;
  /** More for our end. */
  readonly more?: ProgramArguments;
}

function played(
  name: string,
  { player, port, count, server, client, well, isEndless, overTcp, more = [] }: Played,
): StockProgram {
  const common = (device: string): ProgramArguments => [
    ...[player, '--device', device, '--port', port, '--count', count, ...more],
  ];
  return {
    name,
    port,
    ips: [4],
    server,
    client,
    ours: 'player',
    ourServer: (device, host) => [...common(device), '--bind', host],
    ourClient: (device, host) => [...common(device), '--host', host],
    ...(isEndless ? {} : { wellServed: well }),
    ...(overTcp ? { overTcp } : {}),
    wellPlayed: well,
  };
}

/** -F: the emulated machine has no steady clock rate, which the tools would complain about. */
function perftest(stockTool: string, ours: string): StockProgram {
  const stock = `${stockTool} -R -F -d rxe0 -p ${PERFTEST_PORT} -n ${PERFTEST_ITERATIONS}`;
  const own = (device: string): ProgramArguments => [
    ...['perftest', ours, '-R', '--json', '-d', device, '-p', PERFTEST_PORT, '-n', PERFTEST_ITERATIONS],
    ...['--timeout', 30_000],
  ];
  const result = new RegExp(`^ *\\d+ +${PERFTEST_ITERATIONS} +[\\d.]+`, 'm');
  return {
    name: `${stockTool} -R`,
    port: PERFTEST_PORT,
    ips: [4],
    server: () => stock,
    client: (host) => `${stock} ${host}`,
    ours: 'queuepair',
    ourServer: (device, host) => [...own(device), '--bind', host],
    ourClient: (device, host) => [...own(device), host],
    wellServed: result,
    wellPlayed: result,
  };
}

export const STOCK_PROGRAMS: readonly StockProgram[] = [
  {
    name: 'rping',
    port: 7174,
    ips: IP_VERSIONS,
    server: (host) => `rping -s -a ${host} -v`,
    client: (host) => `rping -c -a ${host} -v -V -C ${PINGS}`,
    ours: 'queuepair',
    ourServer: (device, host) => ['rping', '--json', '-v', '-d', device, '--bind', host],
    ourClient: (device, host) => ['rping', '--json', '-v', '-d', device, '-C', PINGS, host],
    wellServed: new RegExp(`rdma-ping-${PINGS - 1}: `),
    wellPlayed: new RegExp(`rdma-ping-${PINGS - 1}: `),
  },
  played('ucmatose', {
    player: 'ucmatose',
    port: 7471,
    count: MESSAGES,
    server: (host) => `ucmatose -b ${host}`,
    client: (host) => `ucmatose -s ${host}`,
    well: /return status 0/,
  }),
  played('ucmatose -P ib', {
    player: 'ucmatose',
    port: 7471,
    count: MESSAGES,
    server: (host) => `ucmatose -P ib -b ${host}`,
    client: (host) => `ucmatose -P ib -s ${host}`,
    well: /return status 0/,
    more: ['--port-space', 'ib'],
  }),
  played('udaddy', {
    player: 'udaddy',
    port: 7174,
    count: MESSAGES,
    server: (host) => `udaddy -b ${host}`,
    client: (host) => `udaddy -s ${host}`,
    well: /return status 0/,
  }),
  played('rdma_client and rdma_server', {
    player: 'rdma-client-server',
    port: 7471,
    count: 1,
    server: () => 'rdma_server',
    client: (host) => `rdma_client -s ${host}`,
    well: /end 0/,
  }),
  played('cmtime', {
    player: 'cmtime',
    port: 7471,
    count: CONNECTIONS,
    server: (host) => `cmtime -b ${host} -c ${CONNECTIONS}`,
    client: (host) => `cmtime -s ${host} -c ${CONNECTIONS}`,
    well: /disconnect/,
    isEndless: true,
  }),
  perftest('ib_send_lat', 'send-lat'),
  perftest('ib_write_bw', 'write-bw'),
  played('qperf -cm 1', {
    player: 'qperf',
    port: 19_765,
    count: 1,
    server: () => 'qperf',
    // The emulated machine is slower than its patience of 5 s.
    client: (host) => `qperf -cm 1 -t 1 -to 30 ${host} rc_lat`,
    well: /latency += /,
    isEndless: true,
    overTcp: true,
  }),
  played('fi_pingpong -p verbs -e msg', {
    player: 'fi-pingpong',
    port: 47_592,
    count: MESSAGES,
    server: () => `fi_pingpong -p verbs -e msg -I ${MESSAGES} -S 64`,
    client: (host) => `fi_pingpong -p verbs -e msg -I ${MESSAGES} -S 64 ${host}`,
    well: new RegExp(`^64 +${MESSAGES} +=${MESSAGES} `, 'm'),
    overTcp: true,
  }),
];

export interface RunningStock {
  /** What it printed. @throws Error when it did not end well. */
  readonly output: Promise<string>;
  /** What it printed and its exit code. */
  readonly ended: Promise<GuestResult>;
  /** Resolves once it has printed this; rejects when it ends without. */
  printed(pattern: RegExp): Promise<void>;
  /** Ends it without asking (SIGKILL). Resolves with what it has printed, when it is gone. */
  kill(): Promise<string>;
}

let lastNumber = 0;

/** Starts a stock program in the machine, which is ended when its time is over. */
export function startStock(
  machine: Machine,
  command: string,
  timeoutMillis: number = TIMEOUT_MILLIS,
): RunningStock {
  const pidFile = `/tmp/stock-${++lastNumber}.pid`;
  let text = '';
  let look = (): void => {};
  const ended = machine.run(
    // Line by line, for the program may be killed.
    `echo $$ > ${pidFile}; exec stdbuf -oL ${command} 2>&1`,
    timeoutMillis,
    (piece) => {
      text += piece;
      look();
    },
  );
  const output = ended.then(({ code, output: all }) => {
    if (code === 0) return all;
    throw new Error(`${command} ended with ${code}: ${lastLines(all, 3)}`);
  });
  output.catch(() => {});
  const printed = (pattern: RegExp): Promise<void> =>
    new Promise((resolve, reject) => {
      look = () => {
        if (pattern.test(text)) resolve();
      };
      look();
      ended.then(
        ({ code }) => reject(new Error(`${command} ended with ${code}: ${lastLines(text, 3)}`)),
        reject,
      );
    });
  const kill = async (): Promise<string> => {
    await machine.runOrThrow(`kill -KILL $(cat ${pidFile})`);
    return (await ended).output;
  };
  return { output, ended, printed, kill };
}

/** Starts a stock server, and waits until it listens, at a port of rdma_cm or of TCP. */
export async function startStockCmServer(
  machine: Machine,
  command: string,
  port: number,
  overTcp = false,
): Promise<RunningStock> {
  const server = startStock(machine, command);
  const listens = overTcp
    ? `ss -Hltn | grep -q ':${port} '`
    : `rdma resource show cm_id | grep LISTEN | grep -q ':${port} '`;
  const waiting = machine.runOrThrow(`until ${listens}; do sleep 0.1; done`, TIMEOUT_MILLIS);
  await Promise.race([
    waiting,
    server.output.then(() => Promise.reject(new Error(`${command} ended early`))),
  ]);
  waiting.catch(() => {});
  return server;
}

/** @throws Error unless the output shows it. */
export function expectWell(text: string, pattern: RegExp): void {
  if (!pattern.test(text))
    throw new Error(`the stock program did not come to its end: ${lastLines(text, 3)}`);
}
