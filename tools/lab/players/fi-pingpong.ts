/**
 * fi_pingpong of libfabric 1.17 with -p verbs -e msg and one size (-S): over TCP the two keep in step and the server tells
 * its address of rdma_cm; one connection, a message to and fro so many times, a farewell each.
 */
import { listen } from '../../../src/cm/cm-server.js';
import { ControlSocket } from './control-socket.js';
import { CountedEnd, connectTo, nextRequest, type Player, type PlayerOptions } from './player.js';

/** What either end must be told to use: -S 64. */
const MESSAGE_BYTES = 64;
const QUESTION = 'q\0';
const ANSWER = 'a\0';
const COUNT_BYTES = 10;
const COUNT_IS_RIGHT = 'cnt ok\0';
const FAREWELL = Buffer.from('fin\0');
/** Before the address: its length, big-endian, and its kind, in the order of the processor. */
const ADDRESS_HEAD_BYTES = 8;
const FI_SOCKADDR_IN = 2;
/** A sockaddr_in. */
const ADDRESS_BYTES = 16;
const AF_INET = 2;
const PORT_OFFSET = 2;
const HOST_OFFSET = 4;

export const fiPingpong: Player = (options) => (options.host === undefined ? serve(options) : play(options));

async function serve({ device, bind, port, count, onListening }: PlayerOptions): ReturnType<Player> {
  const control = await ControlSocket.accept(undefined, port, onListening);
  const server = await listen(device, bind === undefined ? {} : { host: bind });
  const end = await CountedEnd.open(device, count + 1, MESSAGE_BYTES);
  try {
    tellAddress(control, bind ?? server.address.host ?? '', server.address.port);
    const connection = await (await nextRequest(server)).accept({ qp: end.endpoint });
    await answer(control);
    for (let i = 0; i < count; i++) {
      await end.receive(1);
      end.send(1);
    }
    await control.read(COUNT_BYTES);
    control.write(COUNT_IS_RIGHT);
    await sayFarewell(end);
    const { type } = await connection.ended;
    return { messages: count, ending: type };
  } finally {
    await end.close();
    await server.close();
    control.close();
  }
}

async function play(options: PlayerOptions): ReturnType<Player> {
  const { device, host = '', port, count } = options;
  const control = await ControlSocket.connect(host, port);
  const end = await CountedEnd.open(device, count + 1, MESSAGE_BYTES);
  try {
    const cmPort = await readPort(control);
    const connection = await connectTo({ ...options, port: cmPort }, end.endpoint);
    await ask(control);
    for (let i = 0; i < count; i++) {
      end.send(1);
      await end.receive(1);
    }
    control.write(Buffer.alloc(COUNT_BYTES).fill(String(count), 0, String(count).length));
    await control.expect(COUNT_IS_RIGHT);
    await sayFarewell(end);
    const { type } = await connection.disconnect();
    return { messages: count, ending: type };
  } finally {
    await end.close();
    control.close();
  }
}

async function ask(control: ControlSocket): Promise<void> {
  control.write(QUESTION);
  await control.expect(ANSWER);
}

async function answer(control: ControlSocket): Promise<void> {
  await control.expect(QUESTION);
  control.write(ANSWER);
}

/** Each waits for the other's, and that its own is acknowledged. */
async function sayFarewell(end: CountedEnd): Promise<void> {
  end.say(FAREWELL);
  await end.receive(1);
}

function tellAddress(control: ControlSocket, host: string, port: number): void {
  const head = Buffer.alloc(ADDRESS_HEAD_BYTES);
  head.writeUInt32BE(ADDRESS_BYTES);
  head.writeUInt32LE(FI_SOCKADDR_IN, 4);
  const address = Buffer.alloc(ADDRESS_BYTES);
  address.writeUInt16LE(AF_INET);
  address.writeUInt16BE(port, PORT_OFFSET);
  address.set(host.split('.').map(Number), HOST_OFFSET);
  control.write(Buffer.concat([head, address]));
}

async function readPort(control: ControlSocket): Promise<number> {
  const length = (await control.read(ADDRESS_HEAD_BYTES)).readUInt32BE();
  return (await control.read(length)).readUInt16BE(PORT_OFFSET);
}
