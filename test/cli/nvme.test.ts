/** `queuepair nvme serve`: what it serves, says and refuses, and what is left when it is killed. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { IoOpcode, Property } from '../../src/nvme/wire/opcodes.js';
import { Status } from '../../src/nvme/wire/status.js';
import { openDevice } from '../../src/open-device.js';
import { compileC } from '../../testkit/compile-c.js';
import { ENABLED, getProperty, RawQueue, runConnect, setProperty } from '../../testkit/nvme-raw-host.js';
import { Program, runProgram } from '../../testkit/program.js';

const NQN = 'nqn.2026-01.queuepair:disk';
const BLOCK = 4096;
const FORCE_UNIT_ACCESS = 1 << 30;

interface Served {
  readonly program: Program;
  readonly port: number;
}

async function serve(address: string, ...flags: string[]): Promise<Served> {
  const program = new Program(['nvme', 'serve', '--json', '-d', `soft:${address}`, '-p', '0', ...flags]);
  return { program, port: (await program.event('listening'))['port'] as number };
}

/** Runs `work` with the queues of a host that has the disk. */
async function withHost<T>(
  from: string,
  to: { host: string; port: number },
  work: (io: RawQueue, admin: RawQueue) => Promise<T>,
): Promise<T> {
  const device = await openDevice(`soft:${from}`);
  try {
    const admin = await RawQueue.open(device, to);
    const { resultLow: controllerId, status } = await runConnect(admin, { nqn: NQN });
    assert.equal(status, Status.SUCCESS);
    await setProperty(admin, Property.CC, ENABLED);
    const io = await RawQueue.open(device, to, { qid: 1, entries: 16 });
    await runConnect(io, { nqn: NQN, controllerId });
    return await work(io, admin);
  } finally {
    await device.close({ force: true });
  }
}

test('it serves memory, tells of hosts, and ends in order when it is asked to', async () => {
  const { program, port } = await serve('127.0.1.20', '--memory', '1MiB', '--block', '512');
  await withHost('127.0.1.21', { host: '127.0.1.20', port }, async (io, admin) => {
    const bytes = Buffer.alloc(512, 'x');
    const place = { kind: 'capsule', bytes } as const;
    assert.equal(
      (await io.run({ opcode: IoOpcode.WRITE, nsid: 1, cdw10: 2047 }, place)).status,
      Status.SUCCESS,
    );
    assert.equal((await program.event('connect'))['subsystem'], NQN);
    await io[Symbol.asyncDispose]();
    await admin[Symbol.asyncDispose]();
    assert.equal((await program.event('disconnect'))['controllerId'], 1);
  });
  program.kill('SIGTERM');
  const { code, events, stderr } = await program.ended;
  assert.equal(code, 143, stderr);
  const closed = events.at(-1);
  assert.deepEqual([closed?.event, closed?.['writes'], closed?.['queues']], ['closed', 1, 0]);
});

test('what was confirmed as durable survives a loss of power, whichever way it became so', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'queuepair-nvme-'));
  try {
    const library = join(folder, 'volatile-disk.so');
    const reason = compileC('testkit/volatile-disk.c', library, ['-shared', '-fPIC', '-ldl']);
    if (reason !== undefined) return t.skip(reason);
    const file = join(folder, 'disk.img');
    writeFileSync(file, Buffer.alloc(4 << 20));
    const env = { LD_PRELOAD: library, VOLATILE_DISK: file };
    /** What is in the file when the program is killed after `work`. */
    const crash = async (work: (io: RawQueue, admin: RawQueue) => Promise<void>): Promise<Buffer> => {
      const args = ['nvme', 'serve', '--json', '-d', 'soft:127.0.1.22', '-p', '0', file];
      const program = new Program(args, { env });
      const port = (await program.event('listening'))['port'] as number;
      await withHost('127.0.1.23', { host: '127.0.1.22', port }, async (io, admin) => {
        await work(io, admin);
        program.kill('SIGKILL');
        await program.ended;
      });
      return readFileSync(file);
    };
    const write = async (io: RawQueue, i: number, control = 0): Promise<void> => {
      const place = { kind: 'capsule', bytes: blockOf(i) } as const;
      const command = { opcode: IoOpcode.WRITE, nsid: 1, cdw10: i, cdw12: control };
      assert.equal((await io.run(command, place)).status, Status.SUCCESS);
    };
    const isThere = (bytes: Buffer, i: number): boolean =>
      bytes.subarray(i * BLOCK, (i + 1) * BLOCK).equals(blockOf(i));

    const flushed = await crash(async (io) => {
      for (let i = 0; i < 300; i++) await write(io, i);
      assert.equal((await io.run({ opcode: IoOpcode.FLUSH, nsid: 1 })).status, Status.SUCCESS);
      for (let i = 300; i < 310; i++) await write(io, i);
      for (let i = 310; i < 320; i++) {
        io.send({ opcode: IoOpcode.WRITE, nsid: 1, cdw10: i }, { kind: 'capsule', bytes: blockOf(i) });
      }
    });
    for (let i = 0; i < 300; i++) assert.ok(isThere(flushed, i), `block ${i}`);
    for (let i = 300; i < 320; i++)
      assert.ok(!isThere(flushed, i), `block ${i}: this disk loses what is not flushed`);

    const forced = await crash(async (io) => {
      for (let i = 400; i < 410; i++) await write(io, i, FORCE_UNIT_ACCESS);
      await write(io, 410);
    });
    for (let i = 400; i < 410; i++) assert.ok(isThere(forced, i), `block ${i}`);
    assert.ok(!isThere(forced, 410));

    const shutDown = await crash(async (io, admin) => {
      for (let i = 500; i < 510; i++) await write(io, i);
      await setProperty(admin, Property.CC, ENABLED | 0x4000);
      while (((await getProperty(admin, Property.CSTS)).resultLow & 0x0c) !== 0x08);
    });
    for (let i = 500; i < 510; i++) assert.ok(isThere(shutDown, i), `block ${i}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('a target that was killed serves what its file has', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'queuepair-nvme-'));
  try {
    const file = join(folder, 'disk.img');
    const first = await serve('127.0.1.22', file, '--size', '4MiB');
    await withHost('127.0.1.23', { host: '127.0.1.22', port: first.port }, async (io) => {
      const place = { kind: 'capsule', bytes: blockOf(123) } as const;
      await io.run({ opcode: IoOpcode.WRITE, nsid: 1, cdw10: 123 }, place);
      await io.run({ opcode: IoOpcode.FLUSH, nsid: 1 });
      first.program.kill('SIGKILL');
      await first.program.ended;
    });
    assert.equal(readFileSync(file).length, 4 << 20);
    const again = await serve('127.0.1.22', file);
    await withHost('127.0.1.24', { host: '127.0.1.22', port: again.port }, async (io) => {
      const place = { kind: 'keyed', length: BLOCK } as const;
      assert.equal(
        (await io.run({ opcode: IoOpcode.READ, nsid: 1, cdw10: 123 }, place)).status,
        Status.SUCCESS,
      );
      assert.ok(blockOf(123).equals(io.data(BLOCK)));
    });
    again.program.kill('SIGTERM');
    await again.program.ended;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

const blockOf = (i: number): Buffer => Buffer.alloc(BLOCK, `block ${i} `);

test('wrong arguments are told in one sentence', async () => {
  for (const [args, said] of [
    [[], /name a file, or say how much --memory/],
    [['disk.img', '--memory', '1MiB'], /name a file, or say how much --memory/],
    [['no/disk.img'], /the file no\/disk\.img does not exist; --size makes one that is missing/],
    [['/tmp'], /the file \/tmp is a directory/],
    [['--memory', '1000'], /sizeBytes must be a multiple of blockBytes/],
    [['--memory', '1MiB', '--block', '513'], /blockBytes must be one of/],
    [['--memory', '1MiB', '--nqn', 'disk'], /must be named by an NQN/],
    [['--memory', '1MiB', '--allow-host', 'me'], /allowedHosts must be an array of NQNs/],
  ] as const) {
    const { code, stderr } = await runProgram(['nvme', 'serve', '-d', 'soft:127.0.1.25', ...args]);
    assert.notEqual(code, 0);
    assert.match(stderr, said);
    assert.equal(stderr.trim().split('\n').length, 1, stderr);
  }
  const { code, stdout } = await runProgram(['nvme', 'serve', '--help']);
  assert.equal(code, 0);
  assert.match(stdout, /nvme connect -t rdma/);
});

test('a command that is interrupted leaves its disk in order', async () => {
  const { program, port } = await serve('127.0.1.28', '--memory', '8MiB');
  const place = ['-d', 'soft:127.0.1.29', '--json', `127.0.1.28:${port}`];
  const bench = new Program(['nvme', 'bench', ...place, NQN, '--seconds', '60']);
  await program.event('connect');
  bench.kill('SIGINT');
  const { code, stderr } = await bench.ended;
  assert.equal(code, 130, stderr);
  assert.equal((await program.event('disconnect'))['reason'], 'disconnected');
  program.kill('SIGTERM');
  await program.ended;
});

test('a disk is discovered, written, read and measured by the other commands', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'queuepair-nvme-'));
  try {
    const { program, port } = await serve('127.0.1.26', '--memory', '8MiB', '--block', '512');
    const place = ['-d', 'soft:127.0.1.27', '--json', `127.0.1.26:${port}`];
    const nvme = (command: string, ...args: string[]) => runProgram(['nvme', command, ...place, ...args]);
    const found = await nvme('discover');
    assert.equal(found.code, 0, found.stderr);
    assert.deepEqual(
      found.events.map(({ nqn }) => nqn),
      ['nqn.2014-08.org.nvmexpress.discovery', NQN],
    );
    const [source, copy] = [join(folder, 'source'), join(folder, 'copy')];
    writeFileSync(source, Buffer.alloc(5 << 20, 'some text '));
    const wrote = await nvme('write', NQN, source, '--offset', '512');
    assert.equal(wrote.code, 0, wrote.stderr);
    const read = await nvme('read', NQN, copy, '--offset', '512', '--length', '5MiB', '--queues', '2');
    assert.equal(read.code, 0, read.stderr);
    assert.ok(readFileSync(copy).equals(readFileSync(source)));
    for (const [command, args, said] of [
      ['read', [copy, '--offset', '16MiB'], /beyond the end of the disk, which has 8388608 bytes/],
      ['read', [copy, '--length', '9MiB'], /beyond the end/],
      ['read', [copy, '--offset', '7'], /--offset must be a multiple/],
      ['write', [source, '--offset', '8MiB'], /beyond the end/],
      ['write', ['/dev/null'], /no ordinary file/],
      ['write', [join(folder, 'none')], /none does not exist/],
      ['read', [join(folder, 'no/copy')], /no\/copy does not exist/],
    ] as const) {
      const refused = await nvme(command, NQN, ...args);
      assert.deepEqual(
        refused.events.map(({ event }) => event),
        ['error'],
      );
      assert.match(refused.stderr, said);
    }
    assert.ok(readFileSync(copy).equals(readFileSync(source)), 'the copy is as before');
    const measured = await nvme('bench', NQN, '--seconds', '1', '--depth', '4');
    assert.ok((measured.events.at(-1)?.['operations'] as number) > 10, measured.stderr);
    writeFileSync(source, 'short');
    const odd = await nvme('write', NQN, source);
    assert.match(odd.stderr, /the file has 5 bytes, which is no multiple of the disk's blocks of 512 bytes/);
    const none = await nvme('read', 'nqn.2026-01.test:none', copy);
    assert.match(none.stderr, /nqn\.2026-01\.test:none, which the target does not serve/);
    program.kill('SIGTERM');
    await program.ended;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
