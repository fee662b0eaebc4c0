import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { PerftestExchange } from '../../src/cli/perftest/perftest-exchange.js';
import { latencyOf } from '../../src/cli/perftest/perftest-report.js';
import { PERFTEST_NAMES, PERFTEST_TRAITS } from '../../src/cli/perftest/perftest-tests.js';
import {
  CM_RECORD_BYTES,
  checkVersion,
  formatCmRecord,
  formatMtu,
  formatRecord,
  formatReport,
  formatVersion,
  type PerftestRecord,
  parseCmRecord,
  parseMtu,
  parseRecord,
  parseReport,
  RECORD_BYTES,
} from '../../src/cli/perftest/perftest-wire.js';
import { TcpPerftestMeeting } from '../../src/cli/perftest/tcp-perftest-meeting.js';
import { toPsn, toQpn, toRKey } from '../../src/verbs/brands.js';

const PROGRAM = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const TIMEOUT_MILLIS = 5000;

const RECORD: PerftestRecord = {
  lid: 0,
  outReads: 0x80,
  qpn: toQpn(0x11),
  psn: toPsn(0x5207a2),
  rkey: toRKey(0x1234),
  vaddr: 0x7f1234560000n,
  gid: '::ffff:10.77.1.1',
};
/** As perftest's own format string writes it. */
const MESSAGE =
  '0000:0080:000011:5207a2:00001234:00007f1234560000:' +
  '00:00:00:00:00:00:00:00:00:00:ff:ff:0a:4d:01:01:00000000:\0';

test('a record is 108 bytes on the wire, and comes back as it was', () => {
  assert.equal(MESSAGE.length, RECORD_BYTES);
  assert.equal(formatRecord(RECORD).toString('latin1'), MESSAGE);
  assert.deepEqual(parseRecord(Buffer.from(MESSAGE)), RECORD);
});

/** As ib_send_lat -R 6.06 sent it over rxe. */
const CM_MESSAGE = Buffer.from(
  '00000000000000010000001a00001f030000000000000000000055d4ff899000' +
    '00000000000000000000ffff0a4d01020000000000000001',
  'hex',
);

test('a record of rdma_cm is 56 bytes; those that a stock tool sent are read', () => {
  assert.equal(CM_MESSAGE.length, CM_RECORD_BYTES);
  const record = parseCmRecord(CM_MESSAGE);
  assert.deepEqual(record, {
    lid: 0,
    outReads: 1,
    qpn: toQpn(0x1a),
    psn: toPsn(0x1f03),
    rkey: toRKey(0),
    vaddr: 0x55d4ff899000n,
    gid: '::ffff:10.77.1.2',
  });
  // Behind the GID: an SRQ, and the index of the GID, which means nothing to the other end.
  assert.deepEqual(formatCmRecord(record).subarray(0, 48), CM_MESSAGE.subarray(0, 48));
  const wild = Buffer.from(CM_MESSAGE).fill(0xff, 8, 12);
  assert.throws(() => parseCmRecord(wild), { code: 'ERR_RDMA_PROTOCOL' });
});

test('anything else is refused as no record, no version and no MTU', () => {
  const refusal = { code: 'ERR_RDMA_PROTOCOL' };
  for (const text of ['', MESSAGE.slice(0, 59), MESSAGE.replace('5207a2', '5207ag'), `${MESSAGE}\0`]) {
    assert.throws(() => parseRecord(Buffer.from(text)), refusal);
  }
  for (const text of ['GET / HTTP/1.1\r\n\r', '5.60\0', '']) {
    assert.throws(() => checkVersion(Buffer.from(text)), refusal);
  }
  for (const text of ['0\0', '6\0', '\0\0']) assert.throws(() => parseMtu(Buffer.from(text)), refusal);
});

test('versions from 5.70 on are taken, and our own is one of them', () => {
  for (const text of ['5.70\0\0', '6.06', '6.23']) checkVersion(Buffer.from(text));
  checkVersion(formatVersion());
  assert.equal(formatVersion().length, 16);
  assert.equal(parseMtu(formatMtu(4096)), 4096);
});

test('a report is five numbers of eight bytes', () => {
  const report = { sizeBytes: 65_536, iterations: 5000, peak: 0, average: 123.5, messageRate: 0.002 };
  const numbers = formatReport(report);
  assert.deepEqual(
    numbers.map((bytes) => bytes.length),
    [8, 8, 8, 8, 8],
  );
  assert.deepEqual(parseReport(numbers), report);
});

test('a latency is half a round trip of messages, and a whole READ', () => {
  const timeline = { posted: Float64Array.of(1, 2, 4), start: 1, end: 5 };
  assert.equal(latencyOf(timeline, PERFTEST_TRAITS['send-lat']).max, 1000);
  assert.equal(latencyOf(timeline, PERFTEST_TRAITS['read-lat']).max, 2000);
  assert.equal(latencyOf(timeline, PERFTEST_TRAITS['read-lat']).min, 1000);
});

test('a client that says something else or nothing does not hold the server', async () => {
  for (const [text, code] of [
    ['G'.repeat(16), 'ERR_RDMA_PROTOCOL'],
    [undefined, 'ERR_RDMA_TIMEOUT'],
  ] as const) {
    const patience = text === undefined ? 50 : TIMEOUT_MILLIS;
    let listening: (port: number) => void = () => {};
    const port = new Promise<number>((resolve) => {
      listening = resolve;
    });
    const accepted = TcpPerftestMeeting.accept('127.0.0.1', 0, patience, (bound) => listening(bound));
    const socket = connect({ host: '127.0.0.1', port: await port });
    socket.on('error', () => {});
    if (text !== undefined) socket.write(text);
    const meeting = await accepted;
    await assert.rejects(new PerftestExchange(meeting).agree(1024), { code });
    await meeting.close();
    socket.destroy();
  }
});

const children = new Set<ChildProcess>();
after(() => {
  for (const child of children) child.kill('SIGKILL');
});

/** Runs the program; resolves with what it printed when it has ended well. */
function start(args: readonly string[]): { child: ChildProcess; events: Promise<Record<string, unknown>[]> } {
  const child = spawn(process.execPath, [PROGRAM, 'perftest', '--json', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.add(child);
  let errors = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  const events: Record<string, unknown>[] = [];
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream });
  lines.on('line', (line) => {
    const event = JSON.parse(line) as Record<string, unknown>;
    events.push(event);
    child.emit(`event:${event['event']}`, event);
  });
  const ended = once(child, 'close').then(([code]) => {
    children.delete(child);
    assert.equal(code, 0, errors);
    return events;
  });
  return { child, events: ended };
}

const WAYS = [
  ['TCP', []],
  ['rdma_cm', ['-R']],
] as const;
const RUNS = WAYS.flatMap(([way, flags]) => PERFTEST_NAMES.map((name) => ({ way, flags, name })));

for (const [index, { way, flags, name }] of RUNS.entries()) {
  test(`${name} over ${way}: both ends finish, and the one that measures has a result`, async () => {
    const [own, other] = [`127.0.0.${70 + 2 * index}`, `127.0.0.${71 + 2 * index}`];
    const common = [name, ...flags, '-n', '150', '-t', '32'];
    const bind = way === 'TCP' ? '127.0.0.1' : own;
    const server = start([...common, '-d', `soft:${own}`, '-p', '0', '--bind', bind]);
    server.events.catch(() => {});
    const [{ port }] = (await Promise.race([
      once(server.child, 'event:listening'),
      server.events.then(() => assert.fail('the server ended before it listened')),
    ])) as [{ port: number }];
    const client = start([...common, '-d', `soft:${other}`, '-p', String(port), bind]);
    const [served, measured] = await Promise.all([server.events, client.events]);
    const result = measured.find(({ event }) => event === 'result');
    assert.equal(result?.['iterations'], 150);
    assert.equal(result?.['sizeBytes'], PERFTEST_TRAITS[name].sizeBytes);
    const value = PERFTEST_TRAITS[name].isLatency ? result?.['p50'] : result?.['average'];
    assert.ok(Number(value) > 0, `no time was measured: ${JSON.stringify(result)}`);
    if (name === 'write-bw') assert.deepEqual(served.at(-1), result);
    if (name === 'read-lat') assert.equal(served.at(-1)?.['event'], 'served');
  });
}
