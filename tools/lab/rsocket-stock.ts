/**
 * Stock programs that speak rsocket: those of rdmacm-utils, and programs of TCP that librspreload makes do so. How each is
 * started, who of ours is its other end, and how one sees that all bytes arrived.
 */
import type { IpVersion } from './network.js';

export interface RsocketProgram {
  readonly name: string;
  readonly port: number;
  readonly ips: readonly IpVersion[];
  /** What plays our end (players/main.ts), or `queuepair proxy`; and how much it sends, in its own unit. */
  readonly player: string;
  readonly count: number;
  /** Where the stock program is the server; with whether it has to be ended. */
  readonly server?: (count: number, host: string) => string;
  readonly isEndless?: true;
  readonly client?: (host: string, count: number) => string;
  /** What it prints when all went well. */
  readonly well?: RegExp;
  /** It prints the hash of what it got from ours, as the last word of a line before a dash. */
  readonly printsHash?: true;
  /** Ours gets the sample file, and hashes it. */
  readonly sendsSample?: true;
  /** The file into which the server writes what it got. */
  readonly serverFile?: string;
  /** The same program over TCP, behind our proxy or before it, and the bytes of which it says that they were sent and have come. */
  readonly overTcp?: OverTcp;
  /** The server meets its clients by TCP first. */
  readonly isForkSafe?: true;
}

export interface OverTcp {
  server(port: number): string;
  client(port: number, count: number): string;
  sums(clientPrinted: string): { readonly sent: number; readonly received: number };
}

export const MIB = 1024 * 1024;
/** In the machine. */
export const SAMPLE = '/tmp/sample';
const RCOPY_FILE = '/tmp/rcopy.out';
const PRELOAD = 'env LD_PRELOAD=/usr/lib/x86_64-linux-gnu/rsocket/librspreload.so';
const RSTREAM_BYTES = 10_000;
const RIOSTREAM_BYTES = 1000;
const IPERF_BYTES = 16 * MIB;
/** The server stops to count when it hears that the client is done: what is under way then should be little. The stock one does not know pace. */
const IPERF_PACE = '-b 24M -l 16K';
const FILE_BYTES = 64 * MIB;

const shell = (script: string): string => `bash -c 'set -o pipefail; ${script}'`;

/** The sample file begins behind the answer of a server that knows no HTTP. */
const httpAnswer = (bytes: number): string =>
  `printf "HTTP/1.1 200 OK\\r\\nContent-Length: ${bytes}\\r\\nConnection: close\\r\\n\\r\\n"`;

const rstreamOptions = (bytes: number, count: number, port: number): string =>
  `-T v -T a -I 1 -S ${bytes} -C ${count} -p ${port}`;

export const RSOCKET_PROGRAMS: readonly RsocketProgram[] = [
  {
    name: 'rstream',
    port: 7501,
    ips: [4, 6],
    player: 'rstream',
    count: 500,
    server: (count, host) => `rstream -b ${host} ${rstreamOptions(RSTREAM_BYTES, count, 7501)}`,
    client: (host, count) => `rstream -s ${host} ${rstreamOptions(RSTREAM_BYTES, count, 7501)}`,
    well: /^custom .* Gb\/sec|^custom +/m,
  },
  {
    name: 'riostream',
    port: 7502,
    ips: [4],
    player: 'riostream',
    count: 100,
    server: (count, host) => `riostream -b ${host} ${rstreamOptions(RIOSTREAM_BYTES, count, 7502)}`,
    client: (host, count) => `riostream -s ${host} ${rstreamOptions(RIOSTREAM_BYTES, count, 7502)}`,
    well: /^custom +/m,
  },
  {
    name: 'rcopy',
    port: 7503,
    ips: [4],
    player: 'rcopy',
    count: FILE_BYTES,
    server: () => 'rcopy -p 7503',
    isEndless: true,
    serverFile: RCOPY_FILE,
    client: (host) => `rcopy ${SAMPLE} ${host}:${RCOPY_FILE} -p 7503`,
    well: /bytes in .* seconds/,
    sendsSample: true,
  },
  {
    name: 'curl',
    port: 7504,
    ips: [4],
    player: 'http',
    count: FILE_BYTES,
    client: (host) => shell(`${PRELOAD} curl -sS http://${host}:7504/file | sha256sum`),
    printsHash: true,
  },
  {
    name: 'wget',
    port: 7505,
    ips: [4],
    player: 'http',
    count: FILE_BYTES,
    client: (host) => shell(`${PRELOAD} wget -q -O - http://${host}:7505/file | sha256sum`),
    printsHash: true,
  },
  {
    name: 'node:http from nc',
    port: 7506,
    ips: [4],
    player: 'http',
    count: 1,
    server: () =>
      shell(
        `(${httpAnswer(FILE_BYTES)}; cat ${SAMPLE}) | ${PRELOAD} nc.traditional -l -p 7506 -q 5 > /dev/null`,
      ),
    sendsSample: true,
  },
  {
    name: 'nc.traditional',
    port: 7507,
    ips: [4],
    player: 'exchange',
    count: 16 * MIB,
    server: () => shell(`${PRELOAD} nc.traditional -l -p 7507 -q 5 < ${SAMPLE} | sha256sum`),
    client: (host) => shell(`${PRELOAD} nc.traditional -q 5 ${host} 7507 < ${SAMPLE} | sha256sum`),
    printsHash: true,
    sendsSample: true,
  },
  {
    name: 'iperf3',
    port: 7508,
    ips: [4],
    player: 'proxy',
    count: IPERF_BYTES,
    // Without RDMAV_FORK_SAFE it never hears of its sockets: its `select` is told the numbers of others (docs/rsocket.md).
    server: (_count, host) => `${PRELOAD} RDMAV_FORK_SAFE=1 TMPDIR=/tmp iperf3 -s -1 -p 7508 -B ${host}`,
    isForkSafe: true,
    client: (host, count) => `${PRELOAD} TMPDIR=/tmp iperf3 -c ${host} -p 7508 -n ${count}`,
    well: /receiver|sender/,
    overTcp: {
      server: (port) => `iperf3 -s -1 -p ${port} -B 127.0.0.1`,
      client: (port, count) => `iperf3 -c 127.0.0.1 -p ${port} -n ${count} ${IPERF_PACE} -J`,
      sums: iperfSums,
    },
  },
];

/** Makes the sample file in the machine; the hash is printed. */
export const makeSample = `head -c ${FILE_BYTES} /dev/urandom > ${SAMPLE} && sha256sum < ${SAMPLE}`;

function iperfSums(printed: string): { sent: number; received: number } {
  const { end, error } = JSON.parse(printed.slice(printed.indexOf('{'), printed.lastIndexOf('}') + 1)) as {
    error?: string;
    end: { sum_sent?: { bytes: number }; sum_received?: { bytes: number } };
  };
  // librspreload does not know every option of TCP, which iperf3 tells and lives with.
  if (end.sum_received === undefined) throw new Error(`iperf3 says ${error}`);
  return { sent: end.sum_sent?.bytes ?? 0, received: end.sum_received?.bytes ?? 0 };
}
