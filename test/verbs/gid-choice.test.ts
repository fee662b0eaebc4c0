import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chooseOwnGid } from '../../src/verbs/gid-choice.js';

const entry = (index: number, gid: string, type: 'IB' | 'RoCE v1' | 'RoCE v2' = 'RoCE v2') => ({
  index,
  gid,
  type,
});
const TABLE = [
  entry(0, 'fe80::1', 'RoCE v1'),
  entry(1, 'fe80::1'),
  entry(2, '::ffff:192.0.2.1', 'RoCE v1'),
  entry(3, '::ffff:192.0.2.1'),
  entry(4, '::ffff:198.51.100.1'),
  entry(5, '2001:db8::1'),
];

test('the address at which the peer reached us is told, in whichever way it is written', () => {
  assert.equal(chooseOwnGid(TABLE, '198.51.100.1')?.index, 4);
  assert.equal(chooseOwnGid(TABLE, '::ffff:198.51.100.1')?.index, 4);
  assert.equal(chooseOwnGid(TABLE, '2001:db8::1')?.index, 5);
  assert.equal(chooseOwnGid(TABLE, 'fe80::1')?.index, 1);
});

test('without it, the first that can be routed; a link-local one only where there is no other; never RoCE v1', () => {
  assert.equal(chooseOwnGid(TABLE)?.index, 3);
  assert.equal(chooseOwnGid(TABLE, '127.0.0.1')?.index, 3);
  assert.equal(chooseOwnGid(TABLE.slice(0, 2))?.index, 1);
  assert.equal(chooseOwnGid(TABLE.slice(0, 1)), undefined);
  assert.equal(chooseOwnGid([entry(0, 'fe80::9', 'IB')])?.index, 0);
});
