/**
 * Two programs send each other a message, again and again, with nothing but verbs:
 *
 *   node examples/verbs-ping-pong.mjs                    a server; it prints the command of its client
 *   node examples/verbs-ping-pong.mjs 127.0.0.1:PORT     a client of it, in another terminal
 *
 * The ends tell each other over plain TCP where their queue pairs are. Whoever can read that can forge their packets:
 * fine for a loopback, not for a network. `listen` and `connect` of 'queuepair' exchange the same over TLS.
 */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { relative } from 'node:path';
import { createInterface } from 'node:readline';
import { openDevice, openEndpoint, toPeerPath } from 'queuepair/endpoint';
import { SendFlags, WcOpcode, WrOpcode } from 'queuepair/verbs';

const ROUNDS = 1000;
const BYTES = 64;

const [, , server] = process.argv;
const socket = server === undefined ? await accept() : await dial(server);
const device = await openDevice('soft', { near: socket.localAddress });
// The first half of the memory is sent from, the second half is received into.
const end = await openEndpoint(device, { memory: 2 * BYTES, near: socket.localAddress });
try {
  receive();
  await end.connect(toPeerPath(await swap(socket, end.address)));
  // Both are connected before the first one sends.
  await swap(socket, 'ready');
  await play(server !== undefined);
  await swap(socket, 'done');
} finally {
  await end.close();
  await device.close();
  socket.end();
}

async function play(isClient) {
  let received = 0;
  let sent = 0;
  const take = ({ opcode }) => {
    if (opcode === WcOpcode.RECV) received++;
    else sent++;
  };
  const startedAt = performance.now();
  for (let round = 1; round <= ROUNDS; round++) {
    if (isClient) send(round);
    await end.until(() => received === round, take);
    if (number() !== round) throw new Error(`message ${round} holds ${number()}`);
    if (round < ROUNDS) receive();
    if (!isClient) send(round);
  }
  await end.until(() => sent === ROUNDS, take);
  const micros = ((performance.now() - startedAt) * 1000) / ROUNDS;
  console.log(`${ROUNDS} round trips of ${BYTES} bytes, ${micros.toFixed(1)} µs each`);
}

function receive() {
  end.qp.postRecv({ wrId: 1, sges: [{ mr: end.memory, offset: BYTES, length: BYTES }] });
}

function send(round) {
  new DataView(end.memory.bytes.buffer).setUint32(0, round);
  const sges = [{ mr: end.memory, offset: 0, length: BYTES }];
  end.qp.postSend({ wrId: 2, opcode: WrOpcode.SEND, flags: SendFlags.SIGNALED, sges });
}

function number() {
  return new DataView(end.memory.bytes.buffer).getUint32(BYTES);
}

/** One JSON line each way. */
async function swap(socket, own) {
  socket.lines ??= createInterface({ input: socket })[Symbol.asyncIterator]();
  socket.write(`${JSON.stringify(own)}\n`);
  const { value, done } = await socket.lines.next();
  if (done) throw new Error('the other side has hung up');
  return JSON.parse(value);
}

async function accept() {
  const listener = createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const place = `127.0.0.1:${listener.address().port}`;
  console.log(`waiting on ${place}; in another terminal: node ${relative('.', process.argv[1])} ${place}`);
  const [socket] = await once(listener, 'connection');
  listener.close();
  return socket;
}

async function dial(target) {
  const [host, port] = target.split(':');
  const socket = connect(Number(port), host);
  await once(socket, 'connect');
  return socket;
}
