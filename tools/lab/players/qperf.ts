/**
 * qperf 0.4.11, test rc_lat with its option -cm 1: a request over TCP, a port of rdma_cm, one connection, then a message to
 * and fro until the time is up at either end, which TCP tells of. Integers are little-endian.
 */
import type { CmConnection } from '../../../src/cm/cm-connection.js';
import { listen } from '../../../src/cm/cm-server.js';
import { ControlSocket } from './control-socket.js';
import { CountedEnd, connectTo, nextRequest, type Player, type PlayerOptions } from './player.js';

const VERSION = [0, 4, 11] as const;
const RC_LAT = 16;
const REQUEST_BYTES = 200;
/** Where the request says it. */
const RequestOffset = { TEST: 6, MESSAGE_BYTES: 24, SECONDS: 60, TIMEOUT_SECONDS: 64, USE_CM: 68 } as const;
const NODE_BYTES = 40;
const STATISTICS_BYTES = 256;
const BEFORE = 'synchronization before test';
const AFTER = 'synchronization after test';
const MESSAGE_BYTES = 1;
const SECONDS = 1;
const PATIENCE_SECONDS = 30;
/** Messages to and fro in a second, at most; more is no use here. */
const MAX_MESSAGES = 4000;

export const qperf: Player = (options) => (options.host === undefined ? serve(options) : play(options));

async function serve({ device, bind, port, onListening }: PlayerOptions): ReturnType<Player> {
  const control = await ControlSocket.accept(undefined, port, onListening);
  const { seconds, messageBytes } = parseRequest(await control.read(REQUEST_BYTES));
  const server = await listen(device, bind === undefined ? {} : { host: bind });
  const end = await CountedEnd.open(device, MAX_MESSAGES, messageBytes);
  try {
    control.write(uint32(server.address.port));
    const connection = await (await nextRequest(server)).accept({ qp: end.endpoint });
    const messages = await playOut(control, end, seconds, false);
    control.write(new Uint8Array(STATISTICS_BYTES));
    await control.expect(AFTER);
    const { type } = await connection.ended;
    return { messages, ending: type };
  } finally {
    await end.close();
    await server.close();
    control.close();
  }
}

async function play(options: PlayerOptions): ReturnType<Player> {
  const { device, host = '', port } = options;
  const control = await ControlSocket.connect(host, port);
  control.write(request());
  const cmPort = (await control.read(4)).readUInt32LE();
  const end = await CountedEnd.open(device, MAX_MESSAGES, MESSAGE_BYTES);
  try {
    const connection: CmConnection = await connectTo({ ...options, port: cmPort }, end.endpoint);
    const messages = await playOut(control, end, SECONDS, true);
    await control.read(STATISTICS_BYTES);
    control.write(AFTER);
    const { type } = await connection.disconnect();
    return { messages, ending: type };
  } finally {
    await end.close();
    control.close();
  }
}

/** Returns how many messages came in. */
async function playOut(
  control: ControlSocket,
  end: CountedEnd,
  seconds: number,
  isFirst: boolean,
): Promise<number> {
  // Where memory of either end lies, which this test has no use for.
  control.write(new Uint8Array(NODE_BYTES));
  await control.read(NODE_BYTES);
  control.write(BEFORE);
  await control.expect(BEFORE);
  const timeIsUp = new Promise<false>((resolve) => setTimeout(resolve, seconds * 1000, false));
  if (isFirst) end.send(1);
  let messages = 0;
  while (messages < MAX_MESSAGES) {
    const came = end.receive(1).then(() => true);
    // The last one may be given up.
    came.catch(() => {});
    if (!(await Promise.race([came, timeIsUp]))) break;
    messages++;
    if (messages < MAX_MESSAGES) end.send(1);
  }
  await timeIsUp;
  if (messages === 0) throw new Error('no message came');
  return messages;
}

function request(): Buffer {
  const bytes = Buffer.alloc(REQUEST_BYTES);
  for (const [i, part] of VERSION.entries()) bytes.writeUInt16LE(part, 2 * i);
  bytes.writeUInt16LE(RC_LAT, RequestOffset.TEST);
  bytes.writeUInt32LE(MESSAGE_BYTES, RequestOffset.MESSAGE_BYTES);
  bytes.writeUInt32LE(SECONDS, RequestOffset.SECONDS);
  bytes.writeUInt32LE(PATIENCE_SECONDS, RequestOffset.TIMEOUT_SECONDS);
  bytes.writeUInt32LE(1, RequestOffset.USE_CM);
  return bytes;
}

function parseRequest(bytes: Buffer): { readonly seconds: number; readonly messageBytes: number } {
  const test = bytes.readUInt16LE(RequestOffset.TEST);
  if (test !== RC_LAT || bytes.readUInt32LE(RequestOffset.USE_CM) !== 1) {
    throw new Error(`the client asks for test ${test}, not for rc_lat over rdma_cm`);
  }
  return {
    seconds: bytes.readUInt32LE(RequestOffset.SECONDS),
    messageBytes: bytes.readUInt32LE(RequestOffset.MESSAGE_BYTES),
  };
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
