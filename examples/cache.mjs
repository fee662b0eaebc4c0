/**
 * A cache that clients read by RDMA READ, while the program that owns it does nothing for them:
 *
 *   node examples/cache.mjs
 *
 * Three threads. The owner fills a table in shared memory and never comes back to its event loop. The server lends the table to
 * clients; its event loop turns, because the soft device lives in it (with an RNIC, owner and server may be one thread). The
 * client, this thread, reads slots of the table by itself.
 *
 * The owner changes a slot while it is read. So each slot has a version, which is odd during a change, and a checksum: whoever gets
 * a slot that is torn reads it again.
 */
import { once } from 'node:events';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { crc32 } from 'node:zlib';
import { connect, listen, RemoteBuffer } from 'queuepair';
import { devCertificates } from 'queuepair/certificates';

const SLOTS = 64;
const SLOT_BYTES = 1024; // version, checksum of the rest of the slot and the version, length of the value, value
const HEADER_BYTES = 12;
const LOOKUPS = 2000;

if (isMainThread) await client();
else if (workerData.role === 'server') await serve();
else ownTable(workerData.table);

async function client() {
  const thread = new Worker(new URL(import.meta.url), { workerData: { role: 'server' } });
  const [port] = await once(thread, 'message');
  const certificates = await devCertificates();
  const connection = await connect({ port, ...certificates.client });
  const table = RemoteBuffer.decode((await connection.receive()).data);

  let torn = 0;
  const seen = new Set();
  for (let i = 0; i < LOOKUPS; i++) {
    const slot = table.at((i % SLOTS) * SLOT_BYTES, SLOT_BYTES);
    let value = open(await connection.read(slot));
    for (; value === undefined; torn++) value = open(await connection.read(slot));
    const { item, price } = JSON.parse(value);
    if (item !== i % SLOTS) throw new Error(`slot ${i % SLOTS} holds item ${item}`);
    seen.add(price);
  }
  console.log(
    `client: ${LOOKUPS} lookups, ${seen.size > SLOTS ? 'with prices that changed meanwhile' : 'all the same'}`,
  );
  console.log(`client: ${torn} slots were torn and read again`);

  await connection.close();
  thread.postMessage('stop');
  const [{ changes, timers }] = await once(thread, 'message');
  console.log(
    `owner: ${changes > LOOKUPS ? 'many' : changes} changes, and its event loop has turned ${timers} times`,
  );
}

async function serve() {
  const table = new SharedArrayBuffer(4 + SLOTS * SLOT_BYTES); // and 4 bytes that tell the owner to stop
  const owner = new Worker(new URL(import.meta.url), { workerData: { role: 'owner', table } });
  await once(owner, 'message'); // the table is filled

  const certificates = await devCertificates();
  const server = await listen({ ...certificates.server, port: 0 }, async (connection) => {
    const slots = new Uint8Array(table, 4);
    const grant = await connection.grant(slots, { read: true });
    await connection.send(grant.remote.encode());
    await connection.receive(); // until the client closes
  });
  parentPort.postMessage(server.address.port);

  await once(parentPort, 'message');
  Atomics.store(new Int32Array(table), 0, 1);
  const [report] = await once(owner, 'message');
  await server.close();
  parentPort.postMessage(report);
  parentPort.close();
}

function ownTable(table) {
  let timers = 0;
  let changes = 0;
  const timer = setInterval(() => timers++, 1);
  const stop = new Int32Array(table, 0, 1);
  for (; Atomics.load(stop, 0) === 0; changes++) {
    const item = changes % SLOTS;
    change(table, item, JSON.stringify({ item, price: changes, notes: '·'.repeat(400) }));
    if (changes === SLOTS) parentPort.postMessage('filled');
  }
  parentPort.postMessage({ changes, timers });
  clearInterval(timer);
}

/** The server's side of a slot. */
function change(table, item, text) {
  const start = 4 + item * SLOT_BYTES;
  const slot = Buffer.from(table, start, SLOT_BYTES);
  const version = new Int32Array(table, start, 1);
  Atomics.add(version, 0, 1); // odd: under change
  const length = slot.write(text, HEADER_BYTES);
  slot.writeUInt32LE(length, 8);
  slot.writeUInt32LE(checksum(slot, version[0] + 1), 4);
  Atomics.add(version, 0, 1);
}

/** The client's side of a slot: its value, or undefined when it is torn. */
function open(bytes) {
  const slot = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const version = slot.readUInt32LE(0);
  if (version % 2 !== 0 || slot.readUInt32LE(4) !== checksum(slot, version)) return undefined;
  return slot.toString('utf8', HEADER_BYTES, HEADER_BYTES + slot.readUInt32LE(8));
}

function checksum(slot, version) {
  return crc32(slot.subarray(8), version);
}
