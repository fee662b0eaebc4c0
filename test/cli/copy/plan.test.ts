/** Which server, port and paths the arguments of `queuepair cp` name, and what is asked back. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planOf } from '../../../src/cli/copy/copy-plan.js';
import { WrongArguments } from '../../../src/cli/wrong-arguments.js';

test('a path of a server may name its port, and an address of IPv6 stands in brackets', () => {
  const wanted: readonly [string, string, number | undefined, string][] = [
    ['host:', 'host', undefined, ''],
    ['host:a/b', 'host', undefined, 'a/b'],
    ['host:4433:', 'host', 4433, ''],
    ['host:4433:x', 'host', 4433, 'x'],
    ['host:4433:x:y', 'host', 4433, 'x:y'],
    ['host:./4433:x', 'host', undefined, '4433:x'],
    ['host:./4433', 'host', undefined, '4433'],
    ['host:70000:x', 'host', undefined, '70000:x'],
    ['host:1000/last', 'host', undefined, '1000/last'],
    ['[2001:db8::7]:x', '2001:db8::7', undefined, 'x'],
    ['[2001:db8::7]:4500:x', '2001:db8::7', 4500, 'x'],
  ];
  for (const [typed, host, port, path] of wanted) {
    const there = planOf(['file', typed]);
    assert.deepEqual([there.host, there.port, there.target, there.isUpload], [host, port, path, true], typed);
    const back = planOf([typed, 'dir']);
    assert.deepEqual([back.host, back.port, back.sources, back.isUpload], [host, port, [path], false], typed);
  }
  assert.deepEqual(planOf(['./a:b', 'c/d:e', 'host:']).sources, ['./a:b', 'c/d:e']);
});

test('a number alone behind the host, a bare address of IPv6 and two ports are asked back', () => {
  const wrong: readonly [string[], RegExp][] = [
    [['file', 'host:4433'], /is 4433 a port or a path\? Write host:4433: for the port, or host:\.\/4433 for/],
    [['[::1]:4433', '.'], /Write \[::1\]:4433: for the port, or \[::1\]:\.\/4433 for the path/],
    [['file', '::1:x'], /an IPv6 address goes in brackets: \[ADDRESS\]:PATH or \[ADDRESS\]:PORT:PATH/],
    [['file', '2001:db8::7:4433:x'], /an IPv6 address goes in brackets/],
    [['2001:db8::7', '.'], /an IPv6 address goes in brackets/],
    [['host:1:a', 'host:2:b', 'dir'], /all sources are on one HOST and port/],
  ];
  for (const [paths, reason] of wrong)
    assert.throws(
      () => planOf(paths),
      (error) => error instanceof WrongArguments && reason.test(error.message),
      paths.join(' '),
    );
});
