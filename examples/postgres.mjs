/**
 * A PostgreSQL server as it is, with its clients at the other end of RDMA: a relay in front of the server, and pg with sockets that
 * have their credentials already:
 *
 *   node examples/postgres.mjs           needs the package pg, and PostgreSQL (Debian: apt install postgresql)
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import tcp from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import pg from 'pg';
import { devCertificates } from 'queuepair/certificates';
import rdma from 'queuepair/net';

const certificates = await devCertificates();
const folder = mkdtempSync(join(tmpdir(), 'queuepair-postgres-'));
const database = await startPostgres();
process.once('exit', () => database.kill()); // whatever goes wrong below

const relay = rdma.createServer({ ...certificates.server }, (socket) => {
  const local = tcp.connect(join(folder, '.s.PGSQL.5432'));
  void Promise.allSettled([pipeline(socket, local), pipeline(local, socket)]);
});
await once(relay.listen(0), 'listening');

const pool = new pg.Pool({
  host: 'localhost',
  port: relay.address().port,
  user: 'example',
  database: 'postgres',
  stream: () => new rdma.Socket(certificates.client), // pg connects it
});
console.log((await pool.query('SELECT version()')).rows[0].version);
await pool.query('CREATE TABLE planets (name text PRIMARY KEY, moons int)');
for (const planet of [
  ['Mars', 2],
  ['Neptune', 16],
])
  await pool.query('INSERT INTO planets VALUES ($1, $2)', planet);
const { rows } = await pool.query('SELECT * FROM planets WHERE moons > $1', [10]);
for (const { name, moons } of rows) console.log(`${name} has ${moons} moons`);
const sums = await Promise.all(
  [1, 2, 3].map((n) => pool.query('SELECT sum(i) FROM generate_series(1, $1) i', [n * 1000])),
);
console.log('three clients at once:', sums.map((sum) => sum.rows[0].sum).join(', '));
const big = Buffer.alloc(5_000_000, 'x');
const {
  rows: [{ value }],
} = await pool.query('SELECT $1::bytea AS value', [big]);
console.log('a value of 5 MB came back', big.equals(value) ? 'equal' : 'different');

await pool.end();
await once(relay.close(), 'close'); // pg says goodbye on each connection before PostgreSQL is stopped
database.kill('SIGINT');
await once(database, 'close');
rmSync(folder, { recursive: true });

/** With a database of its own in `folder`, and no port. PostgreSQL refuses to run as root; then it runs as nobody. */
async function startPostgres() {
  const nobody = { uid: 65534, gid: 65534 };
  const isRoot = process.getuid() === 0;
  if (isRoot) chownSync(folder, nobody.uid, nobody.gid);
  const user = { cwd: folder, ...(isRoot ? nobody : {}) };
  const data = join(folder, 'data');
  const flags = ['-D', data, '-U', 'example', '-A', 'trust', '-E', 'UTF8', '--no-locale', '--no-sync'];
  execFileSync(program('initdb'), flags, { ...user, stdio: ['ignore', 'ignore', 'inherit'] });
  const settings = ['-D', data, '-k', folder, '-c', 'listen_addresses=', '-F'];
  const child = spawn(program('postgres'), settings, { ...user, stdio: ['ignore', 'ignore', 'pipe'] });
  let output = '';
  for await (const piece of child.stderr.iterator({ destroyOnReturn: false })) {
    output += piece;
    if (output.includes('ready to accept connections')) break;
  }
  child.stderr.resume();
  return child;
}

/** Debian has those of the server in no folder of PATH. */
function program(name) {
  const folder = '/usr/lib/postgresql';
  const versions = existsSync(folder) ? readdirSync(folder).sort((a, b) => b - a) : [];
  const paths = versions.map((version) => join(folder, version, 'bin', name));
  return paths.find((path) => existsSync(path)) ?? name;
}
