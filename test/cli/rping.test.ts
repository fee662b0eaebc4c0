import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  BUFFER_INFO_BYTES,
  pingBytes,
  readBufferInfo,
  readPing,
  writeBufferInfo,
  writePing,
} from '../../src/cli/rping/rping-wire.js';
import { Program, runProgram } from '../../testkit/program.js';

/** As rping of rdma-core 44 sent it over rxe: the first ping's buffer, of 64 bytes. */
const CAPTURED = Buffer.from('000055f763fa95f00000055a00000040', 'hex');

test('a buffer is told in 16 bytes, and those of the stock tool are read', () => {
  assert.equal(CAPTURED.length, BUFFER_INFO_BYTES);
  const info = readBufferInfo(CAPTURED);
  assert.equal(info.sizeBytes, 64);
  const written = new Uint8Array(BUFFER_INFO_BYTES);
  writeBufferInfo(written, info);
  assert.deepEqual(Buffer.from(written), CAPTURED);
});

test('a ping has its number, letters up to its size, and a zero byte', () => {
  const bytes = new Uint8Array(64);
  writePing(bytes, 0);
  assert.equal(readPing(bytes), 'rdma-ping-0: ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqr');
  assert.equal(pingBytes(bytes), 64);
  writePing(bytes, 58);
  assert.match(readPing(bytes), /^rdma-ping-58: ABC/);
  assert.equal(pingBytes(new Uint8Array(8).fill(65)), 8);
});

/** A server that listens; the second number of its address keeps tests apart. */
async function startServer(address: string, ...flags: string[]): Promise<{ program: Program; port: number }> {
  const program = new Program(['rping', '--json', '-v', '-d', `soft:${address}`, '-p', '0', ...flags]);
  const port = (await program.event('listening'))['port'] as number;
  return { program, port };
}

const ping = (from: string, to: string, port: number, ...flags: string[]) =>
  runProgram(['rping', '--json', '-v', '-d', `soft:${from}`, '-p', String(port), ...flags, to]);

test('a client pings a server, both print the same, and both end well', async () => {
  const { program, port } = await startServer('127.0.1.1');
  const client = await ping('127.0.1.2', '127.0.1.1', port, '-C', '5');
  assert.equal(client.code, 0, client.stderr);
  const server = await program.ended;
  assert.equal(server.code, 0, server.stderr);
  const textsOf = ({ events }: typeof client) =>
    events.filter(({ event }) => event === 'ping').map(({ text }) => text);
  assert.equal(textsOf(client).length, 5);
  assert.deepEqual(textsOf(client), textsOf(server));
  assert.equal(client.events.at(-1)?.['pings'], 5);
  assert.equal(server.events.at(-1)?.['event'], 'disconnected');
});

test('a persistent server takes several clients, and one that pings too much is the only one to fail', async () => {
  const { program, port } = await startServer('127.0.1.3', '-P');
  const [greedy, modest] = await Promise.all([
    ping('127.0.1.4', '127.0.1.3', port, '-S', '1000'),
    ping('127.0.1.5', '127.0.1.3', port),
  ]);
  assert.equal(greedy.code, 1);
  assert.equal(modest.code, 0, modest.stderr);
  const failed = await program.event('client-failed');
  assert.match(String(failed['reason']), /1000 bytes.*1 to 64.*-S 1000/);
  program.kill('SIGINT');
  assert.equal((await program.ended).code, 130);
});

test('where nobody listens, the client says which kind of port it is', async () => {
  const { program, port } = await startServer('127.0.1.6');
  const client = await ping('127.0.1.7', '127.0.1.6', port === 65535 ? 1 : port + 1);
  assert.equal(client.code, 1);
  assert.match(
    client.stderr,
    /nobody listens on port \d+ of rdma_cm at 127\.0\.1\.6 \(this is not a TCP port\)/,
  );
  program.kill('SIGTERM');
  assert.equal((await program.ended).code, 143);
});

test('cm-probe tells a listener from a host without one, and from nobody', async () => {
  const { program, port } = await startServer('127.0.1.8', '-P');
  const probe = async (target: string, ...flags: string[]) => {
    const ending = await runProgram(['cm-probe', '--json', '-d', 'soft:127.0.1.9', target, ...flags]);
    return { code: ending.code, answer: ending.events.at(-1), stderr: ending.stderr };
  };
  const there = await probe(`127.0.1.8:${port}`);
  assert.equal(there.code, 0, there.stderr);
  assert.equal(there.answer?.['outcome'], 'accepts');
  assert.ok(Number(there.answer?.['roundTripMicros']) > 0);
  const other = await probe(`127.0.1.8:${port === 65535 ? 1 : port + 1}`);
  assert.equal(other.code, 1);
  assert.equal(other.answer?.['outcome'], 'nobody');
  const silent = await probe('127.0.1.10:7174', '--timeout', '300');
  assert.equal(silent.code, 1);
  assert.equal(silent.answer?.['outcome'], 'silent');
  // A client that was only curious is no failure of the server.
  const served = await ping('127.0.1.9', '127.0.1.8', port, '-C', '1');
  assert.equal(served.code, 0, served.stderr);
  program.kill('SIGTERM');
  await program.ended;
});

test('cm-probe wants a port, and pairs of hexadecimal digits', async () => {
  for (const args of [
    ['127.0.0.1'],
    ['127.0.0.1:1', '--private-data', '0x1'],
    ['::1', '--private-data', 'x'.repeat(57)],
  ]) {
    const ending = await runProgram(['cm-probe', ...args]);
    assert.equal(ending.code, 2, args.join(' '));
  }
});
