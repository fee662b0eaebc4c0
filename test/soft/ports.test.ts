import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ServiceClient, sha256 } from '../../src/cli/service/message-service.js';
import { type ConnectionStep, StepName } from '../../src/connection/common/steps.js';
import { parseSoftName } from '../../src/soft/soft-spec.js';
import { connectTo, startServer } from '../../testkit/session-pair.js';

const hasTshark = spawnSync('tshark', ['--version']).status === 0;

test('a capture of a session is decoded by tshark as InfiniBand, from the exchanged PSNs on', {
  skip: hasTshark ? false : 'tshark is not installed',
}, async () => {
  const dir = mkdtempSync(join(tmpdir(), 'queuepair-capture-'));
  try {
    const file = join(dir, 'session.pcapng');
    const steps: ConnectionStep[] = [];
    const server = await startServer(undefined, { device: `soft:127.0.0.1?port=0&capture=${file}` });
    const connection = await connectTo(server, {
      revealPsns: true,
      onStep: (step) => void steps.push(step),
    });
    const client = new ServiceClient(connection);
    await client.welcome();
    await client.write(randomBytes(20_000));
    await client.read(0, 20_000);
    await connection.close();
    const { udpPort } = await server.device.queryPort();
    await server.close();
    const details = steps.find(({ name }) => name === StepName.PARAMETERS_EXCHANGED)?.details ?? {};
    const own = steps.find(({ name }) => name === StepName.OBJECTS_CREATED)?.details ?? {};
    const fields = ['infiniband.bth.destqp', 'infiniband.bth.psn', 'infiniband.bth.opcode', 'frame.comment'];
    const lines = execFileSync(
      'tshark',
      [
        '-r',
        file,
        '-d',
        `udp.port==${udpPort},infiniband`,
        '-T',
        'fields',
        ...fields.flatMap((f) => ['-e', f]),
      ],
      { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] },
    )
      .trim()
      .split('\n')
      .map((line) => line.split('\t'));
    assert.equal(lines.length > 20, true);
    for (const [qpn, psn] of lines) {
      assert.equal(
        [Number(qpn)].every((n) => n === own['qpn'] || n === details['peerQpn']),
        true,
      );
      assert.match(psn ?? '', /^\d+$/);
    }
    const isAcknowledge = (opcode: string | undefined) => Number(opcode) === 0x11;
    const firstTo = (qpn: unknown) =>
      lines.find(([to, , opcode]) => Number(to) === qpn && !isAcknowledge(opcode))?.[1];
    assert.equal(Number(firstTo(details['peerQpn'])), details['localPsn']);
    assert.equal(Number(firstTo(own['qpn'])), details['remotePsn']);
    assert.match(lines.map((line) => line[3]).join(''), /connection 1: QPN 0x/);
    assert.equal(readFileSync(file).subarray(0, 4).readUInt32LE(0), 0x0a0d0d0a);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

test('a session over two faulty ports loses no byte', async () => {
  const faults = 'port=0&loss=0.02&duplicate=0.02&reorder=0.02&corrupt=0.02';
  const server = await startServer(undefined, { device: `soft:127.0.0.1?${faults}&seed=7` });
  const connection = await connectTo(server, { device: `soft:127.0.0.1?${faults}&seed=8` });
  const client = new ServiceClient(connection);
  await client.welcome();
  for (let i = 0; i < 3; i++) {
    const data = randomBytes(200_000);
    assert.equal((await client.write(data)).sha256, sha256(data));
    assert.equal(sha256(await client.read(0, data.length)), sha256(data));
    assert.equal(sha256(await client.echo(data)), sha256(data));
  }
  const counters = server.device.counters();
  assert.equal((counters['faultsLost'] ?? 0) > 0 && (counters['faultsCorrupted'] ?? 0) > 0, true);
  assert.equal((counters['drop_bad_icrc'] ?? 0) > 0, true, 'damaged packets are found by their ICRC');
  await connection.close();
  await server.close();
});

test('names of soft devices are parsed, and what is wrong with one is said', () => {
  assert.deepEqual(parseSoftName('soft'), {
    address: '127.0.0.1',
    port: undefined,
    io: undefined,
    capture: undefined,
    faults: undefined,
  });
  assert.equal(parseSoftName('soft?io=native').io, 'native');
  assert.equal(parseSoftName('soft:[::1]?port=7').address, '::1');
  assert.equal(parseSoftName('soft:::1').address, '::1');
  assert.equal(parseSoftName('soft?loss=0.5&seed=3').faults?.loss, 0.5);
  for (const name of [
    'soft:host',
    'soft?port=70000',
    'soft?loss=2',
    'soft?loss=',
    'soft?los=0.1',
    'soft?io=raw',
    'soft?seed=-1&loss=0',
  ]) {
    assert.throws(() => parseSoftName(name), { code: 'ERR_RDMA_INVALID_ARGUMENT' }, name);
  }
});
