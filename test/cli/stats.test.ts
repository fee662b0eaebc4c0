/** The counters of a running server as `queuepair stats` shows them. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { compare, readMetrics } from '../../src/cli/stats/metrics-text.js';
import { clientFlags, Program, runProgram, serve, stop } from '../../testkit/program.js';

test('metrics are read with their labels, and what is none is left out', () => {
  const samples = readMetrics(
    [
      '# HELP a_total what',
      '# TYPE a_total counter',
      'a_total{reason="} 7 {",other="x\\"y"} 12',
      '# TYPE b gauge',
      'b 1.5e3',
      'nonsense',
      'c{ 5',
      'd NaN',
      'h_count 3',
    ].join('\n'),
  );
  assert.deepEqual(
    [...samples.values()],
    [
      { name: 'a_total{reason="} 7 {",other="x\\"y"}', value: 12, isCounter: true },
      { name: 'b', value: 1500, isCounter: false },
      { name: 'h_count', value: 3, isCounter: true },
    ],
  );
});

test('rates are of counters that grew, and a server that began anew has none', () => {
  const at = (value: number) => readMetrics(`a_total ${value}\nb ${value}`);
  const rate = (was: number, is: number) => compare(at(was), at(is), 2).map(({ perSecond }) => perSecond);
  assert.deepEqual(rate(10, 30), [10, null]);
  assert.deepEqual(rate(30, 10), [null, null]);
});

test('a server with traffic shows values and rates', async () => {
  const server = await serve('--metrics', '0');
  const { url } = await server.program.event('observing');
  const busy = new Program([...clientFlags(server), '--json', '--exec', 'auto 1000000']);
  await busy.event('welcome');
  const { code, events, stderr } = await runProgram([
    'stats',
    String(url),
    '--interval',
    '300',
    '--count',
    '2',
    '--json',
  ]);
  assert.equal(code, 0, stderr);
  assert.equal(events.length, 2);
  const rates = events[1]?.['rates'] as Record<string, number>;
  assert(Object.keys(rates).every((name) => name.startsWith('queuepair_')));
  assert(
    Object.values(rates).some((rate) => rate > 0),
    JSON.stringify(rates),
  );
  const people = await runProgram(['stats', String(url).replace('http://', ''), '--interval', '100']);
  assert.match(people.stdout, /\d\/s$/m);
  assert.doesNotMatch(people.stdout, /, over/, 'one look needs no heading');
  const looks = ['--interval', '100', '--count', '3'];
  const several = await runProgram(['stats', String(url).replace('http://', ''), ...looks]);
  const headings = several.stdout.match(/(^|\n\n)\d\d:\d\d:\d\d, over \d+\.\d s\n/g);
  assert.equal(headings?.length, 3, several.stdout);
  busy.kill('SIGTERM');
  await busy.ended;
  await stop(server);
});

test('a port without metrics is told, with what to start', async () => {
  const other = createServer((_, response) => response.end('hello')).listen(0, '127.0.0.1');
  await new Promise((resolve) => other.once('listening', resolve));
  const { port } = other.address() as { port: number };
  const strange = await runProgram(['stats', String(port)]);
  other.close();
  assert.equal(strange.code, 1);
  assert.match(
    strange.stderr,
    /it shows no metrics; a server shows its metrics with: queuepair serve --metrics/,
  );
  const nothing = await runProgram(['stats', '1']);
  assert.match(nothing.stderr, /^queuepair: cannot read http:\/\/127\.0\.0\.1:1\/metrics: /);
});

test('a server that never ends its metrics is read as far as it goes, and writes nothing else to the terminal', async () => {
  const endless = createServer((request, response) => {
    response.write('# TYPE queuepair_x counter\nqueuepair_x{a="\x1b[31m"} 7\n');
    const more = (): void => {
      while (!response.destroyed && response.write(`# ${'x'.repeat(65_000)}\n`));
    };
    response.on('drain', more);
    request.socket.on('error', () => {});
    more();
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => endless.once('listening', resolve));
  const { port } = endless.address() as { port: number };
  const { code, stdout, stderr } = await runProgram(['stats', String(port), '--interval', '10']);
  endless.closeAllConnections();
  endless.close();
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^x\{a="/);
  assert.equal(stdout.includes('\x1b'), false);
});
