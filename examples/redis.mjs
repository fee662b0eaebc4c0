/**
 * A Redis server as it is, with its clients at the other end of RDMA: a relay in front of the server, and ioredis with a connector of
 * its own:
 *
 *   node examples/redis.mjs              needs the package ioredis, and redis-server (Debian: apt install redis-server)
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import tcp from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { AbstractConnector, Redis } from 'ioredis';
import { devCertificates } from 'queuepair/certificates';
import rdma from 'queuepair/net';

const certificates = await devCertificates();
const folder = await mkdtemp(join(tmpdir(), 'queuepair-redis-'));
const path = join(folder, 'redis.sock');
const database = await startRedis();
process.once('exit', () => database.kill()); // whatever goes wrong below

const relay = rdma.createServer({ ...certificates.server }, (socket) => {
  const local = tcp.connect(path);
  void Promise.allSettled([pipeline(socket, local), pipeline(local, socket)]);
});
await once(relay.listen(0), 'listening');

/** How ioredis gets a socket. */
class RdmaConnector extends AbstractConnector {
  constructor({ host, port, disconnectTimeout }) {
    super(disconnectTimeout);
    this.target = { host, port, ...certificates.client };
  }

  async connect() {
    this.connecting = true;
    this.stream = rdma.connect(this.target);
    return this.stream;
  }
}

const redis = new Redis({ host: 'localhost', port: relay.address().port, Connector: RdmaConnector });
console.log('SET:', await redis.set('greeting', 'hello over RDMA'));
console.log('GET:', await redis.get('greeting'));
const pipelined = redis.pipeline();
for (let i = 0; i < 1000; i++) pipelined.incr('counter');
const answers = await pipelined.exec();
console.log('1000 × INCR in one pipeline:', answers.at(-1)[1]);
const big = Buffer.alloc(5_000_000, 'x');
await redis.set('big', big);
console.log('a value of 5 MB came back', big.equals(await redis.getBuffer('big')) ? 'equal' : 'different');

await redis.quit();
await once(relay.close(), 'close');
database.kill();
await once(database, 'close');
await rm(folder, { recursive: true });

async function startRedis() {
  const flags = ['--port', '0', '--unixsocket', path, '--save', '', '--dir', folder];
  const child = spawn('redis-server', flags, { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  for await (const piece of child.stdout.iterator({ destroyOnReturn: false })) {
    output += piece;
    if (output.includes('ready to accept connections')) break;
  }
  child.stdout.resume();
  return child;
}
