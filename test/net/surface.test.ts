/** Whatever node:net has, queuepair/net has as well, or docs/net.md says that it is not there. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import nodeNet from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { packageRoot } from '../../src/cli/package-root.js';
import * as ourNet from '../../src/net.js';

const isPublic = (name: string): boolean => !name.startsWith('_');
const differences = readFileSync(join(packageRoot(), 'docs', 'net.md'), 'utf8').split('## What differs')[1];

function missing(theirs: object, ours: object): readonly string[] {
  const names = Object.getOwnPropertyNames(theirs).filter(isPublic);
  assert.ok(names.length > 2, 'nothing to compare');
  return names.filter((name) => !(name in ours) && differences?.includes(`\`${name}\``) !== true);
}

test('the module has all functions and classes, also as its default export', () => {
  const { default: all, ...named } = ourNet;
  assert.deepEqual(missing(nodeNet, named), []);
  assert.deepEqual(missing(nodeNet, all), []);
});

test('sockets and servers have all methods and properties, those included that are made with them', () => {
  const socket = new ourNet.Socket();
  const server = new ourNet.Server({ rdma: 'rsocket' });
  assert.deepEqual(missing(nodeNet.Socket.prototype, socket), []);
  assert.deepEqual(missing(new nodeNet.Socket(), socket), []);
  assert.deepEqual(missing(nodeNet.Server.prototype, server), []);
  for (const name of ['maxConnections', 'dropMaxConnection', Symbol.asyncDispose]) assert.ok(name in server);
  for (const name of ['timeout', 'autoSelectFamilyAttemptedAddresses']) assert.ok(name in socket);
});

/** Of its documentation, up to Node.js 24. */
const SOCKET_OPTIONS = {
  allowHalfOpen: true,
  highWaterMark: 1024,
  onread: { buffer: new Uint8Array(10), callback: () => true },
  signal: new AbortController().signal,
};
const CONNECT_OPTIONS = {
  host: 'localhost',
  family: 4,
  hints: 0,
  lookup: () => {},
  noDelay: true,
  keepAlive: true,
  keepAliveInitialDelay: 1000,
  autoSelectFamily: true,
  autoSelectFamilyAttemptTimeout: 250,
  blockList: new nodeNet.BlockList(),
  timeout: 1000,
};
const SERVER_OPTIONS = {
  allowHalfOpen: true,
  highWaterMark: 1024,
  keepAlive: true,
  keepAliveInitialDelay: 1000,
  noDelay: true,
  pauseOnConnect: true,
  blockList: new nodeNet.BlockList(),
};
const NOT_OFFERED = { path: '/x', fd: 3, localAddress: '127.0.0.1', localPort: 7 };

test('every documented option is taken, or refused as not offered', () => {
  const options = { port: 1, ...SOCKET_OPTIONS, ...CONNECT_OPTIONS };
  new ourNet.Socket(options).connect(options).destroy();
  new ourNet.Server({ rdma: 'rsocket', ...SERVER_OPTIONS });
  for (const [name, value] of Object.entries(NOT_OFFERED)) {
    const refused = { code: 'ERR_RDMA_NOT_SUPPORTED' };
    assert.throws(() => ourNet.connect({ port: 1, [name]: value }), refused, name);
    assert.ok(differences?.includes(`\`${name}\``), `docs/net.md does not say that there is no ${name}`);
  }
  const server = new ourNet.Server({ rdma: 'rsocket' });
  for (const name of ['ipv6Only', 'reusePort']) {
    assert.throws(() => server.listen({ port: 0, [name]: true } as object), {
      code: 'ERR_RDMA_NOT_SUPPORTED',
    });
  }
});
