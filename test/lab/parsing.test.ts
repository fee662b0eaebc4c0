import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { parseDamage } from '../../tools/lab/bad-network.js';
import { withoutFrames } from '../../tools/lab/commands.js';
import { layoutFor } from '../../tools/lab/operations.js';
import { pattern } from '../../tools/lab/peer.js';
import { parseCompletion } from '../../tools/lab/rxe-peer.js';
import { judge } from '../../tools/lab/scenarios/overhead.js';
import { describeStock } from '../../tools/lab/scenarios/perftest.js';

test('a completion of the rxe peer is read field by field', () => {
  assert.deepEqual(parseCompletion('7:0:129:4096:3735928559:2'), {
    wrId: 7,
    status: 0,
    opcode: 129,
    byteLen: 4096,
    imm: 0xdeadbeef,
  });
});

test('what is no completion is refused', () => {
  for (const text of ['', '7:0:129', '7:0:129:4096:x:2', '7:0:129:4096:1:2:3']) {
    assert.throws(() => parseCompletion(text), /no completion/);
  }
});

test('what a program says before it ends badly keeps the cause of its error, and loses the stack', () => {
  const cause = Object.assign(new Error('WR_FLUSH_ERR'), { code: 'ERR_RDMA_COMPLETION' });
  const error = new Error('the way is lost', { cause });
  const text = withoutFrames(`${inspect(error)}\n\nNode.js v20\n`);
  assert.match(
    text,
    /^Error: the way is lost\n +\[cause\]: Error: WR_FLUSH_ERR\n +code: 'ERR_RDMA_COMPLETION'/,
  );
  assert.doesNotMatch(text, / at /);
});

test('damage is counted at the netem queues only, both directions together', () => {
  const text = [
    'qdisc prio 1: root refcnt 2 bands 4 priomap 0 0 0',
    ' Sent 999 bytes 99 pkt (dropped 9, overlimits 0 requeues 0)',
    'qdisc netem 40: parent 1:4 limit 20000 loss 1%',
    ' Sent 46690 bytes 100 pkt (dropped 3, overlimits 0 requeues 0)',
    ' backlog 0b 0p requeues 0',
    'qdisc netem 50: root refcnt 2 limit 20000 loss 1%',
    ' Sent 46690 bytes 50 pkt (dropped 4, overlimits 0 requeues 0)',
  ].join('\n');
  assert.deepEqual(parseDamage(text), { sent: 150, dropped: 7 });
  assert.deepEqual(parseDamage(''), { sent: 0, dropped: 0 });
});

test('the pattern of a seed is the one that the machine makes', () => {
  // xorshift32 from 1: 0x00042021, 0x04080601.
  assert.deepEqual([...pattern(7, 1)], [0x21, 0x20, 0x04, 0x00, 0x01, 0x06, 0x08]);
  assert.equal(pattern(0, 1).length, 0);
});

test('source and target never overlap, the bytes behind the target included', () => {
  for (const size of [0, 1, 4096 - 64, 4096, 2 ** 23]) {
    const { source, target, bufferBytes } = layoutFor(size);
    assert.equal(source, 0);
    assert.ok(target >= size);
    assert.ok(target + size + 64 <= bufferBytes);
  }
});

test('the numbers of the stock tools are found in what they print, and are those that were asked for', () => {
  const rule = '-'.repeat(80);
  const latency = `${rule}
 local address: LID 0000 QPN 0x0012 PSN 0xb0f2c3
 #bytes #iterations    t_min[usec]    t_max[usec]  t_typical[usec]    t_avg[usec]    t_stdev[usec]   99% percentile[usec]
 2       300          1203.05        9730.31      1250.12     	       1301.25     	303.13  		2300.00
${rule}`;
  const bandwidth = ' 65536      150              0.00               12.81  		   0.000205\n';
  const round = (name: 'send-lat' | 'write-bw', sizeBytes: number, iterations: number) => ({
    name,
    sizeBytes,
    iterations,
  });
  assert.equal(describeStock(round('send-lat', 2, 300), latency), '1250.12 µs');
  assert.equal(describeStock(round('write-bw', 65_536, 150), bandwidth), '12.81 MiB/s');
  assert.throws(() => describeStock(round('write-bw', 65_536, 151), bandwidth), /no result/);
  assert.throws(
    () => describeStock(round('send-lat', 2, 300), "Couldn't connect"),
    /no result: Couldn't connect/,
  );
});

test('the overhead is the median of the ratios of the rounds, and more than the goal is a failure that tells it', () => {
  assert.match(
    judge([20, 10, 40], [24, 30, 48]),
    /queuepair 30\.0 µs, stock 20\.0 µs, ratio 1\.20, goal 1\.25/,
  );
  assert.throws(() => judge([20, 10, 40], [26, 5, 60]), /ratio 1\.30, goal 1\.25/);
});
