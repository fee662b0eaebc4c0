/**
 * Machines without RDMA: no library, an addon that is not there, and what fails on a library without hardware
 * (tools/verbs-cost/no-op-verbs.c). Each case is a process of its own, because a library is loaded once.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { loadAddon } from '../../src/native/addon.js';
import { compileNoOp } from '../../tools/verbs-cost/no-op-library.js';

const OPEN_DEVICE = new URL('../../src/open-device.js', import.meta.url).href;
const folder = mkdtempSync(join(tmpdir(), 'queuepair-ibverbs-'));
after(() => rmSync(folder, { recursive: true }));

const addon = loadAddon();
const noAddon = typeof addon === 'string' ? addon : addon.verbs.available ? false : 'built without verbs.h';
const library = join(folder, 'libnoop.so');
const noLibrary = noAddon || (compileNoOp(library, 'library') ?? false);

/** Runs `code` in a process that has `openDevice`, `listDevices` and `whyNoIbverbs`; its last value is printed. */
function play(code: string, environment: NodeJS.ProcessEnv = {}): unknown {
  const program = `const { openDevice, listDevices, lookAround } = await import('${OPEN_DEVICE}');
    const whyNoIbverbs = async () => (await lookAround()).find(({ kind }) => kind === 'ibverbs').missing;
    const fail = (run) => run.then(() => 'no error', ({ code, message }) => ({ code, message }));
    const result = await (async () => { ${code} })();
    process.stdout.write(JSON.stringify(result ?? null));`;
  const { stdout, stderr, status } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
    env: { ...process.env, ...environment },
    timeout: 60_000,
  });
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout);
}

const NO_OP = { QUEUEPAIR_LIBIBVERBS: library };

test('without libibverbs the soft device is listed, and others say what is missing', {
  skip: noAddon,
}, () => {
  const environment = { QUEUEPAIR_LIBIBVERBS: 'libibverbs-that-is-not-there.so.1' };
  const code = `return [await listDevices(), await fail(openDevice('mlx5_0')), await whyNoIbverbs()];`;
  const [list, error, why] = play(code, environment) as [unknown, { code: string; message: string }, string];
  assert.deepEqual(list, [{ name: 'soft', kind: 'soft' }]);
  assert.equal(error.code, 'ERR_RDMA_NO_LIBRARY');
  assert.match(error.message, /libibverbs-that-is-not-there\.so\.1.*install/);
  assert(error.message.includes(why));
});

test('a library that is not libibverbs is refused', { skip: noAddon }, () => {
  const error = play(`return fail(openDevice('mlx5_0'));`, { QUEUEPAIR_LIBIBVERBS: 'libm.so.6' });
  assert.match((error as { message: string }).message, /libm\.so\.6 has no function ibv_get_device_list/);
});

test('without the addon the answer is the same', () => {
  const code = `return [await listDevices(), await fail(openDevice('mlx5_0'))];`;
  const [list, error] = play(code, { QUEUEPAIR_ADDON: 'none' }) as [unknown, { code: string }];
  assert.deepEqual(list, [{ name: 'soft', kind: 'soft' }]);
  assert.equal(error.code, 'ERR_RDMA_NO_LIBRARY');
});

test('a device that does not exist is named, with those that do', { skip: noLibrary }, () => {
  const code = `return [await listDevices(), await fail(openDevice('mlx5_7'))];`;
  const [list, error] = play(code, NO_OP) as [unknown, { code: string; message: string }];
  assert.deepEqual(list, [
    { name: 'soft', kind: 'soft' },
    { name: 'noop0', kind: 'ibverbs' },
  ]);
  assert.equal(error.code, 'ERR_RDMA_NO_DEVICE');
  assert.match(error.message, /mlx5_7.*noop0/);
});

test('a kernel without RDMA has no devices', { skip: noLibrary }, () => {
  const environment = { ...NO_OP, NOOP_FAIL_get_device_list: '38' };
  assert.deepEqual(play('return [await listDevices(), await whyNoIbverbs()];', environment), [
    [{ name: 'soft', kind: 'soft' }],
    null,
  ]);
});

test('attributes, port and GIDs are those of the library; inline data is what it takes', {
  skip: noLibrary,
}, () => {
  const code = `const device = await openDevice('noop0');
    const found = [device.attributes, await device.queryPort(), await device.queryGids(), device.census()];
    await device.close();
    return found;`;
  const [attributes, port, gids, census] = play(code, NO_OP) as Record<string, unknown>[];
  assert.equal(attributes?.['maxInlineData'], 96);
  assert.equal(attributes?.['maxMrBytes'], Number.MAX_SAFE_INTEGER);
  assert.equal(attributes?.['maxMws'], 0, 'no windows of type 2');
  assert.equal(attributes?.['atomics'], false);
  assert.deepEqual(port, {
    state: 'ACTIVE',
    activeMtu: 1024,
    maxMessageBytes: 2 ** 30,
    linkLayer: 'Ethernet',
    lid: 0,
    udpPort: 4791,
    isExclusive: false,
    exactIcrc: true,
  });
  assert.deepEqual(gids, [{ index: 3, gid: '::ffff:192.0.2.1', type: 'RoCE v2' }]);
  assert.equal(
    Object.values(census ?? {}).reduce((sum: number, count) => sum + Number(count), 0),
    0,
  );
});

const OBJECTS = `const device = await openDevice('noop0');
  const pd = await device.allocPd();
  const cq = await device.createCq({ capacity: 4 });
  const finish = async (result) => { await cq.close(); await pd.close(); await device.close(); return result; };
  const init = { state: 1, pkeyIndex: 0, port: 1, accessFlags: 0 };`;

/** The verb that fails, what is done, and what the error must say. */
const FAILURES: readonly [string, string, string, RegExp][] = [
  ['open_device=13', `return fail(openDevice('noop0'));`, 'ERR_RDMA_NO_DEVICE', /EACCES.*\/dev\/infiniband/],
  [
    'reg_mr=12',
    `${OBJECTS} return finish(await fail(pd.regMr(new Uint8Array(4096), 1)));`,
    'ERR_RDMA_NO_MEMORY',
    /4096 bytes.*ENOMEM.*memlock.*ulimit -l/,
  ],
  [
    'reg_mr=22',
    `${OBJECTS} return finish(await fail(pd.regMr(new Uint8Array(8), 9)));`,
    'ERR_RDMA_INVALID_ARGUMENT',
    /access 0x9.*EINVAL/,
  ],
  [
    'create_cq=12',
    `const device = await openDevice('noop0'); const error = await fail(device.createCq({ capacity: 4 }));
     await device.close(); return error;`,
    'ERR_RDMA_NO_MEMORY',
    /4 entries/,
  ],
  [
    'modify_qp=22',
    `${OBJECTS} const qp = await pd.createQp({ sendCq: cq, recvCq: cq });
     const error = await fail(qp.modify({ ...init, pkeyIndex: 9 })); await qp.close(); return finish(error);`,
    'ERR_RDMA_INVALID_ARGUMENT',
    /RC RESET → INIT.*pkeyIndex 9.*EINVAL/,
  ],
  [
    'create_ah=110',
    `${OBJECTS} return finish(await fail(pd.createAh({ dgid: '192.0.2.9' })));`,
    'ERR_RDMA_ADDRESS',
    /192\.0\.2\.9 from GID index 3.*ETIMEDOUT/,
  ],
];
for (const [failure, code, errorCode, message] of FAILURES) {
  test(`${failure}: ${errorCode} that says what to look at`, { skip: noLibrary }, () => {
    const [verb = '', errno = ''] = failure.split('=');
    // Opening probes the device with objects of its own, so some verbs may fail only later.
    const environment = { ...NO_OP, [`NOOP_FAIL_${verb}`]: errno };
    const error = play(code, environment) as { code: string; message: string };
    assert.equal(error.code, errorCode);
    assert.match(error.message, message);
  });
}

test('a registration that fails for want of memory is tried again', { skip: noLibrary }, () => {
  const code = `${OBJECTS} const mr = await pd.regMr(new Uint8Array(64), 1); await mr.close(); return finish('registered');`;
  assert.equal(play(code, { ...NO_OP, NOOP_FAIL_reg_mr: '12x3' }), 'registered');
});

test('an object that could not be destroyed stays open', { skip: noLibrary }, () => {
  const code = `${OBJECTS}
    const mr = await pd.regMr(new Uint8Array(64), 1);
    const refused = [await fail(mr.close()), mr.closed, device.census().mrs];
    await mr.close();
    return finish([...refused, mr.closed]);`;
  const [error, closed, count, afterwards] = play(code, {
    ...NO_OP,
    NOOP_FAIL_dereg_mr: '16x1',
  }) as unknown[];
  assert.equal((error as { code: string }).code, 'ERR_RDMA_IN_USE');
  assert.deepEqual([closed, count, afterwards], [false, 1, true]);
});

test('a full send queue, a resizable buffer and a wrong UDP port are refused in words', {
  skip: noLibrary,
}, () => {
  const code = `${OBJECTS}
    const qp = await pd.createQp({ sendCq: cq, recvCq: cq });
    const rtr = { state: 2, av: { dgid: '192.0.2.9' }, pathMtu: 1024, destQpn: 17, rqPsn: 1, maxDestRdAtomic: 1, minRnrTimer: 1 };
    await qp.modify(init);
    const port = await fail(qp.modify({ ...rtr, av: { dgid: '192.0.2.9', udpPort: 5000 } }));
    await qp.modify(rtr);
    await qp.modify({ state: 3, sqPsn: 1, timeout: 1, retryCount: 1, rnrRetry: 1, maxRdAtomic: 1 });
    const full = await fail((async () => qp.postSendBatch([{ wrId: 1, opcode: 2 }, { wrId: 666, opcode: 2 }]))());
    const read = await fail((async () => qp.postSend({ wrId: 1, opcode: 4, remoteAddr: 1, rkey: 1, sges: [1, 2] }))());
    const resizable = await fail(pd.regMr(new ArrayBuffer(8, { maxByteLength: 16 }), 1));
    await qp.close();
    return finish([port, full, read, resizable]);`;
  const errors = play(code, NO_OP) as { code: string; message: string }[];
  assert.deepEqual(
    errors.map(({ code: name }) => name),
    [
      'ERR_RDMA_INVALID_ARGUMENT',
      'ERR_RDMA_QUEUE_FULL',
      'ERR_RDMA_INVALID_ARGUMENT',
      'ERR_RDMA_INVALID_ARGUMENT',
    ],
  );
  const wanted = [/4791 only.*5000/, /poll completions/, /READ.*1 SGEs, not 2/, /resizable/];
  for (const [i, pattern] of wanted.entries()) assert.match(errors[i]?.message ?? '', pattern);
});

const OPEN_ALL = `const device = await openDevice('noop0');
  const pd = await device.allocPd();
  const channel = await device.createCompletionChannel();
  const cq = await device.createCq({ capacity: 4, channel });
  await pd.createQp({ sendCq: cq, recvCq: cq });
  await pd.regMr(new Uint8Array(4096), 1);
  // Still running when everything ends.
  device.queryPort();`;

test('a worker that is terminated and a process that exits with everything open end in order', {
  skip: noLibrary,
}, () => {
  const code = `const { Worker } = await import('node:worker_threads');
    const inside = \`import('${OPEN_DEVICE}').then(async ({ openDevice }) => {
      ${OPEN_ALL} (await import('node:worker_threads')).parentPort.postMessage(device.census());
    });\`;
    for (let round = 0; round < 5; round++) {
      const worker = new Worker(inside, { eval: true });
      await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
      await worker.terminate();
    }
    ${OPEN_ALL}
    setImmediate(() => process.exit(0));
    return device.census();`;
  const { pds, mrs, cqs, qps, channels } = play(code, NO_OP) as Record<string, number>;
  assert.deepEqual({ pds, mrs, cqs, qps, channels }, { pds: 1, mrs: 1, cqs: 1, qps: 1, channels: 1 });
});
