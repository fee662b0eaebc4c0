/** The path of a peer is read out of what it sent, and refused unless each value can be one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toPeerPath } from '../../src/verbs/peer-path.js';

const PATH = { gid: '::ffff:192.0.2.7', udpPort: 4791, qpn: 0x1234, psn: 0xffffff, mtu: 1024, rdAtomic: 16 };

test('a path survives being written as JSON, and loses what is none of it', () => {
  assert.deepEqual(toPeerPath(JSON.parse(JSON.stringify({ ...PATH, extra: 1 }))), PATH);
});

test('a value that no path can have is refused with its name', () => {
  const wrong: [string, unknown][] = [
    ['gid', 'nowhere'],
    ['gid', 7],
    ['gid', undefined],
    ['udpPort', 0],
    ['udpPort', 65_536],
    ['udpPort', '4791'],
    ['QPN', -1],
    ['QPN', 2 ** 24],
    ['PSN', 2 ** 24],
    ['PSN', null],
    ['PSN', '5'],
    ['MTU', 1500],
    ['MTU', '1024'],
    ['rdAtomic', 256],
    ['rdAtomic', 1.5],
  ];
  for (const [name, value] of wrong) {
    const path = { ...PATH, [name === name.toUpperCase() ? name.toLowerCase() : name]: value };
    const error = { code: 'ERR_RDMA_INVALID_ARGUMENT', message: new RegExp(name) };
    assert.throws(() => toPeerPath(path), error, `${name}: ${String(value)}`);
  }
  for (const value of [null, undefined, 'x', 5]) assert.throws(() => toPeerPath(value), /must be an object/);
});
