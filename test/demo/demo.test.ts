/** The demo as people and scripts run it. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type ProgramEvent, runProgram, testDir } from '../../testkit/program.js';

const UP = ['tls', 'psn-exchanged', 'objects-created', 'parameters-exchanged', 'init', 'rtr', 'rts'];
const LIFE = [
  ...UP,
  ...['receives-posted', 'ready', 'quit', 'memory-deregistered', 'qp-destroyed', 'cqs-destroyed'],
  ...['pd-deallocated', 'tls-closed'],
];

const stepsOf = (events: readonly ProgramEvent[], actor: string, client: number) =>
  events
    .filter((event) => event.event === 'step' && event['actor'] === actor && event['client'] === client)
    .map(({ step }) => step);

test('three clients, nine files, five places each: all equal, nothing left over, no PSN told', async () => {
  const { code, events, stdout, stderr } = await runProgram(['demo', '--json']);
  assert.equal(code, 0, stderr);
  assert.equal(stderr, '');
  assert.equal(events.length, stdout.trimEnd().split('\n').length, 'nothing but JSON on standard output');
  const { millis, bytes, messages, ...summary } = events.at(-1) as ProgramEvent;
  assert.deepEqual(summary, {
    event: 'summary',
    clients: 3,
    writes: 15,
    reads: 15,
    files: 9,
    hashesCompared: 36,
    hashesEqual: true,
    leaked: 0,
    passed: true,
  });
  // For each client: welcome, hello and echo; for each file announcement, file, and an announced write for each MiB.
  assert.equal(messages, 3 * (1 + 2 + 3 * 4 + 2 * (1 + 1 + 3)));
  assert(Number(bytes) > 3 * 4 * 3 * 2 ** 20);
  assert(Number(millis) > 0);

  for (let client = 1; client <= 3; client++) {
    // Who quits does not hear of it from the other side.
    assert.deepEqual(
      stepsOf(events, 'client', client),
      LIFE.filter((step) => step !== 'quit'),
    );
    assert.deepEqual(stepsOf(events, 'server', client), [...LIFE, 'slot-freed']);
    const files = events.filter((event) => event.event === 'compared' && event['client'] === client);
    assert.equal(files.length, 3);
    for (const { name, sha256, copies } of files) {
      const hashes = Object.values(copies as Record<string, string>);
      assert.deepEqual(hashes, Array(4).fill(sha256), String(name));
    }
    assert(files.some(({ bytes: length }) => Number(length) >= 2 ** 20));
    assert(files.some(({ name }) => name === 'README.md'));
  }
  const pids = new Set(events.filter(({ event }) => event === 'device').map(({ pid }) => pid));
  assert.equal(pids.size, 4, 'four processes');
  const censuses = events.filter(({ event }) => event === 'census');
  assert.deepEqual(
    censuses.map(({ leaked }) => leaked),
    [0, 0, 0, 0],
  );
  assert.doesNotMatch(stdout, /psn"/i);
});

test('the narration follows client 1 through every step, and shows PSNs only when asked', async () => {
  const hidden = await runProgram(['demo', '--clients', '1']);
  assert.equal(hidden.code, 0, hidden.stderr);
  const titles = ['TLS', 'PSN exchange', 'objects', 'parameters', 'QP to INIT', 'QP to RTR', 'QP to RTS'];
  const order = [...titles, 'receives', 'ready', 'welcome', 'echo', 'quits', 'census'];
  let at = 0;
  for (const title of order) {
    const found = hidden.stdout.slice(at).search(new RegExp(`client 1 {3,}${title} `));
    assert(found >= 0, `"${title}" does not come after what is before it\n${hidden.stdout}`);
    at += found + 1;
  }
  assert.match(hidden.stdout, /QP to RTR .*from the peer's PSN on: set \(hidden\)/);
  assert.match(hidden.stdout, /QP to RTS .*from its own PSN on: set \(hidden\)/);
  assert.match(hidden.stdout, /every SHA-256 equal to that of the file on disk\.\nLeft over: nothing\.\n$/);
  const shown = await runProgram(['demo', '--clients', '1', '--show-psn']);
  assert.match(shown.stdout, /QP to RTR .*from the peer's PSN on: 0x[0-9a-f]{6};/);
  assert.doesNotMatch(shown.stdout, /hidden/);
});

test('reading only the beginning of the narration is no failure', () => {
  const main = join(import.meta.dirname, '../../src/cli/main.js');
  const { stdout, stderr } = spawnSync(
    'sh',
    ['-c', '"$0" "$1" demo --clients 1 | head -n 1', process.execPath, main],
    {
      encoding: 'utf8',
    },
  );
  assert.equal(stdout, 'queuepair demo: a server and 1 client, each a process of its own\n');
  assert.equal(stderr, '');
});

const tshark = spawnSync('tshark', ['--version'], { encoding: 'utf8' });
const noTshark = tshark.status === 0 ? false : 'tshark is not installed';

test('tshark decodes every packet as InfiniBand, with the negotiated QPNs and first PSNs', {
  skip: noTshark,
}, async () => {
  const file = join(testDir(), 'demo.pcapng');
  const { code, events, stderr } = await runProgram(['demo', '--json', '--show-psn', '--capture', file]);
  assert.equal(code, 0, stderr);
  assert(existsSync(file));
  const captured = events.find(({ event }) => event === 'captured');
  assert.deepEqual([captured?.['leftOut'], captured?.['path']], [0, file]);
  const udpPorts = events.filter(({ event }) => event === 'device').map(({ udpPort }) => Number(udpPort));
  const packets = dissect(file, udpPorts);
  assert.equal(packets.length, captured?.['packets']);

  const details = (actor: string, client: number, step: string) =>
    events.find(
      (event) =>
        event.event === 'step' &&
        event['actor'] === actor &&
        event['client'] === client &&
        event['step'] === step,
    )?.['details'] as Record<string, number>;
  const qpns = new Set<number>();
  for (const [actor, peer] of [
    ['client', 'server'],
    ['server', 'client'],
  ] as const) {
    for (let client = 1; client <= 3; client++) {
      const peerQpn = Number(details(peer, client, 'objects-created')['qpn']);
      assert.equal(details(actor, client, 'parameters-exchanged')['peerQpn'], peerQpn);
      const first = packets.find(({ qpn, opcode }) => qpn === peerQpn && !isResponse(opcode));
      assert.equal(first?.psn, details(actor, client, 'rts')['sqPsn'], `${actor} ${client} sends`);
      assert.equal(first?.psn, details(peer, client, 'rtr')['rqPsn'], `${peer} ${client} expects`);
      qpns.add(peerQpn);
    }
  }
  assert.equal(qpns.size, 6);
  for (const { qpn, protocols } of packets) {
    assert.match(protocols, /:udp:infiniband/);
    assert(qpns.has(qpn), `a packet to QP ${qpn}`);
  }
  const opcodes = new Set(packets.map(({ opcode }) => opcode));
  for (const opcode of [0x04, 0x06, 0x0c, 0x0d, 0x11]) assert(opcodes.has(opcode), `opcode ${opcode}`);
});

/** READ responses, acknowledgements and answers to atomics number what they answer, not what this side sends. */
const isResponse = (opcode: number): boolean => opcode >= 0x0d && opcode <= 0x12;

interface DissectedPacket {
  readonly protocols: string;
  readonly qpn: number;
  readonly psn: number;
  readonly opcode: number;
}

function dissect(file: string, udpPorts: readonly number[]): DissectedPacket[] {
  const fields = ['frame.protocols', 'infiniband.bth.destqp', 'infiniband.bth.psn', 'infiniband.bth.opcode'];
  // Where the standard port was taken, tshark has to be told.
  const ports = udpPorts
    .filter((port) => port !== 4791)
    .flatMap((port) => ['-d', `udp.port==${port},infiniband`]);
  const args = ['-r', file, ...ports, '-T', 'fields', ...fields.flatMap((field) => ['-e', field])];
  const text = execFileSync('tshark', args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    maxBuffer: 256 * 1024 * 1024,
  });
  return text
    .trimEnd()
    .split('\n')
    .map((line) => {
      const [protocols = '', qpn = '', psn = '', opcode = ''] = line.split('\t');
      return { protocols, qpn: Number(qpn), psn: Number(psn), opcode: Number(opcode) };
    });
}
