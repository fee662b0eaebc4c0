/**
 * The same workloads over node:net and node:tls, written as well as those over verbs: buffers are made beforehand,
 * nothing is parsed that need not be, and small messages leave in batches.
 */
import type { Socket } from 'node:net';
import type { SocketConfig } from '../peer-protocol.js';
import { type PeerLink, runPeer } from './peer.js';
import { FlowRecorder, RoundTripRecorder } from './recorders.js';
import { FrameReader, FrameWriter } from './socket-frames.js';
import { openSocket } from './socket-pair.js';

const SMALL_RECEIVE_BYTES = 64 * 1024;
const BULK_RECEIVE_BYTES = 1024 * 1024;
const TOKEN = Buffer.alloc(1);

await runPeer<SocketConfig>(async (config, link) => {
  const isServer = config.role === 'server';
  switch (config.workload) {
    case 'ping':
      return isServer ? await pingServer(config, link) : await pingClient(config, link);
    case 'push':
      return isServer ? await pushServer(config, link) : await pushClient(config, link);
    case 'pull':
      return isServer ? await pullServer(config, link) : await pullClient(config, link);
    case 'rate':
      return isServer ? await rateServer(config, link) : await rateClient(config, link);
  }
});

async function pingClient(config: SocketConfig, link: PeerLink): Promise<void> {
  const { bytes } = config;
  const message = Buffer.alloc(bytes);
  const recorder = new RoundTripRecorder(config);
  const done = deferred();
  let received = 0;
  const socket = await openSocket(config, true, SMALL_RECEIVE_BYTES, link, (socket, _, length) => {
    received += length;
    if (received < bytes) return;
    received -= bytes;
    if (recorder.tick()) done.resolve();
    else socket.write(message);
  });
  socket.write(message);
  await done.promise;
  link.result(recorder.result());
}

async function pingServer(config: SocketConfig, link: PeerLink): Promise<void> {
  const { bytes, count, warmup } = config;
  const message = Buffer.alloc(bytes);
  const done = deferred();
  let left = count + warmup;
  let received = 0;
  await openSocket(config, false, 0, link, (socket, _, length) => {
    received += length;
    if (received < bytes) return;
    received -= bytes;
    socket.write(message);
    if (--left === 0) socket.end(done.resolve);
  });
  await done.promise;
}

/** Sends messages; the server answers each with one byte when it has all of it. */
async function pushClient(config: SocketConfig, link: PeerLink): Promise<void> {
  const recorder = new FlowRecorder(config);
  const message = Buffer.alloc(config.bytes);
  const done = deferred();
  let left = recorder.total;
  const send = (socket: Socket): void => {
    if (left-- > 0) socket.write(message);
  };
  const socket = await openSocket(config, false, 0, link, (socket, _, acknowledged) => {
    if (recorder.add(acknowledged)) done.resolve();
    for (let i = 0; i < acknowledged; i++) send(socket);
  });
  for (let i = 0; i < config.depth; i++) send(socket);
  await done.promise;
  link.result(recorder.bandwidth());
}

async function pushServer(config: SocketConfig, link: PeerLink): Promise<void> {
  const { bytes, count, warmup } = config;
  const done = deferred();
  let left = count + warmup;
  let received = 0;
  await openSocket(config, true, BULK_RECEIVE_BYTES, link, (socket, _, length) => {
    for (received += length; received >= bytes; received -= bytes) {
      socket.write(TOKEN);
      if (--left === 0) socket.end(done.resolve);
    }
  });
  await done.promise;
}

/** Asks for messages, one byte each, and takes them. */
async function pullClient(config: SocketConfig, link: PeerLink): Promise<void> {
  const { bytes } = config;
  const recorder = new FlowRecorder(config);
  const done = deferred();
  let left = recorder.total;
  let received = 0;
  const ask = (socket: Socket): void => {
    if (left-- > 0) socket.write(TOKEN);
  };
  const socket = await openSocket(config, true, BULK_RECEIVE_BYTES, link, (socket, _, length) => {
    for (received += length; received >= bytes; received -= bytes) {
      if (recorder.add(1)) done.resolve();
      ask(socket);
    }
  });
  for (let i = 0; i < config.depth; i++) ask(socket);
  await done.promise;
  link.result(recorder.bandwidth());
}

async function pullServer(config: SocketConfig, link: PeerLink): Promise<void> {
  const message = Buffer.alloc(config.bytes);
  const done = deferred();
  let left = config.count + config.warmup;
  await openSocket(config, false, 0, link, (socket, _, asked) => {
    for (let i = 0; i < asked; i++) socket.write(message);
    left -= asked;
    if (left === 0) socket.end(done.resolve);
  });
  await done.promise;
}

/** Small messages in frames, `batch` of them in one write; the server answers each batch with one byte. */
async function rateClient(config: SocketConfig, link: PeerLink): Promise<void> {
  const { bytes, batch, depth } = config;
  const recorder = new FlowRecorder(config);
  const payload = Buffer.alloc(bytes);
  const batches = Math.max(1, Math.floor(depth / batch));
  const writers = Array.from({ length: batches }, () => new FrameWriter(batch, bytes));
  const done = deferred();
  let left = recorder.total;
  let next = 0;
  const sendBatch = (socket: Socket): void => {
    if (left <= 0) return;
    left -= batch;
    // Free again: the batch that it held before has been answered.
    const writer = writers[next++ % batches] as FrameWriter;
    writer.reset();
    for (let i = 0; i < batch; i++) writer.add(payload);
    socket.write(writer.bytes);
  };
  const socket = await openSocket(config, false, 0, link, (socket, _, answers) => {
    if (recorder.add(answers * batch)) done.resolve();
    for (let i = 0; i < answers; i++) sendBatch(socket);
  });
  for (let i = 0; i < batches; i++) sendBatch(socket);
  await done.promise;
  link.result(recorder.messagesPerSecond());
}

async function rateServer(config: SocketConfig, link: PeerLink): Promise<void> {
  const { bytes, batch, count, warmup } = config;
  const reader = new FrameReader(bytes, config.depth);
  const done = deferred();
  const total = count + warmup;
  let answered = 0;
  await openSocket(config, true, BULK_RECEIVE_BYTES, link, (socket, chunk, length) => {
    reader.take(chunk, length);
    for (; reader.messages - answered >= batch; answered += batch) socket.write(TOKEN);
    if (answered === total) socket.end(done.resolve);
  });
  await done.promise;
}

function deferred(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
