/**
 * `node …/players/main.js NAME --device D [--host H] …`: one end of a stock program's protocol. One JSON object a line:
 * `listening`, then `result`.
 */
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import type { CmPortSpace } from '../../../src/cm/options.js';
import { openDevice } from '../../../src/open-device.js';
import { integerOption, runTool, WrongUsage } from '../../command-line.js';
import { bareMeeting } from './bare-meeting.js';
import { cmtime } from './cmtime.js';
import { fiPingpong } from './fi-pingpong.js';
import { meeting } from './meeting.js';
import type { Player } from './player.js';
import { qperf } from './qperf.js';
import { rdmaClientServer } from './rdma-client-server.js';
import { exchange } from './rsocket/exchange.js';
import { http } from './rsocket/http.js';
import { rcopy } from './rsocket/rcopy.js';
import { riostream } from './rsocket/riostream.js';
import { patientRstream, rstream } from './rsocket/rstream.js';
import { ucmatose } from './ucmatose.js';
import { udaddy } from './udaddy.js';

const PLAYERS: Readonly<Record<string, Player>> = {
  ucmatose,
  udaddy,
  'rdma-client-server': rdmaClientServer,
  cmtime,
  qperf,
  'fi-pingpong': fiPingpong,
  meeting,
  rstream,
  'patient-rstream': patientRstream,
  riostream,
  rcopy,
  http,
  exchange,
  'bare-meeting': bareMeeting,
};

const USAGE = `usage: main.js NAME --device DEVICE --port PORT [--host HOST | --bind ADDRESS] [--count N]
       main.js meeting … [--text PRIVATE-DATA] [--reject-with PRIVATE-DATA] [--no-receives] [--ping]
       [--retries COUNT]
       main.js ucmatose … [--port-space tcp|ib]
       main.js bare-meeting … --qpn NUMBER

  --stay  answer what comes late until SIGTERM
  --ping  the first message of rping, and the event answering when its server is about to answer

  NAME  ${Object.keys(PLAYERS).join(', ')}
`;

const MAX_PORT = 65_535;
const MAX_QPN = 0xfffffe;

function portSpaceOption(value: string): CmPortSpace {
  if (value === 'tcp' || value === 'ib') return value;
  throw new WrongUsage(`--port-space is tcp or ib, not ${value}`);
}

const print = (value: object): void => void process.stdout.write(`${JSON.stringify(value)}\n`);

await runTool(USAGE, async (args) => {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      device: { type: 'string', default: 'soft' },
      host: { type: 'string' },
      bind: { type: 'string' },
      port: { type: 'string', default: '7471' },
      count: { type: 'string', default: '10' },
      text: { type: 'string', default: '' },
      'reject-with': { type: 'string' },
      'no-receives': { type: 'boolean', default: false },
      ping: { type: 'boolean', default: false },
      retries: { type: 'string' },
      'port-space': { type: 'string', default: 'tcp' },
      qpn: { type: 'string', default: '2' },
      stay: { type: 'boolean', default: false },
    },
  });
  const player = PLAYERS[positionals[0] ?? ''];
  if (player === undefined) throw new WrongUsage(`name one of ${Object.keys(PLAYERS).join(', ')}`);
  const device = await openDevice(values.device);
  const stopped = values.stay ? once(process, 'SIGTERM') : undefined;
  const result = await player({
    device,
    host: values.host,
    bind: values.bind,
    port: integerOption('port', values.port, 1, MAX_PORT),
    count: integerOption('count', values.count, 1),
    text: values.text,
    rejectWith: values['reject-with'],
    receives: !values['no-receives'],
    ping: values.ping,
    retryCount: values.retries === undefined ? undefined : integerOption('retries', values.retries, 0, 7),
    portSpace: portSpaceOption(values['port-space']),
    qpn: integerOption('qpn', values.qpn, 2, MAX_QPN),
    onEvent: (event, told) => print({ event, ...told }),
    onListening: () => print({ event: 'listening' }),
  });
  print({ event: 'result', ...result });
  await stopped;
  await device.close({ force: true });
  return 0;
});
