/**
 * MySQL's protocol over RDMA: a client of mysql2 by its option `stream`, and a server made of the same package, which knows one table:
 *
 *   node examples/mysql.mjs              needs the package mysql2
 *
 * In front of a real server goes a relay, as in redis.mjs.
 */
import { once } from 'node:events';
import { createConnection } from 'mysql2';
import { createConnection as connectTo } from 'mysql2/promise';
import { devCertificates } from 'queuepair/certificates';
import net from 'queuepair/net';

const PLANETS = [
  { name: 'Mercury', moons: 0 },
  { name: 'Mars', moons: 2 },
  { name: 'Neptune', moons: 16 },
];
const VAR_STRING = 0xfd;
const UTF8MB4 = 45;

const certificates = await devCertificates();

const server = net.createServer({ ...certificates.server }, (stream) => {
  const client = createConnection({ isServer: true, stream });
  client.on('query', (sql) => {
    console.log('server:', sql);
    client.writeTextResult(PLANETS, ['name', 'moons'].map(columnOf));
    client.sequenceId = 0; // packets of the next command are counted anew
  });
  client.on('quit', () => client.close());
  client.serverHandshake({
    protocolVersion: 10,
    serverVersion: 'queuepair example',
    connectionId: 1,
    statusFlags: 2,
    characterSet: UTF8MB4,
    capabilityFlags: 0xffffff & ~(1 << 5) & ~(1 << 11), // neither compression nor TLS
    authCallback: (_credentials, done) => {
      done(null); // whoever comes may ask; queuepair/net has seen to certificates
      client.sequenceId = 0;
    },
  });
});
await once(server.listen(0), 'listening');

const stream = net.connect({ port: server.address().port, ...certificates.client });
const connection = await connectTo({ user: 'root', stream });
const [rows] = await connection.query('SELECT name, moons FROM planets WHERE moons < ?', [100]);
for (const { name, moons } of rows) console.log(`client: ${name} has ${moons} moons`);
console.log('client: and once more,', (await connection.query('SELECT * FROM planets'))[0].length, 'rows');

await connection.end();
server.close();

function columnOf(name) {
  const table = { catalog: 'def', schema: 'sky', table: 'planets', orgTable: 'planets' };
  const type = { characterSet: UTF8MB4, columnLength: 80, columnType: VAR_STRING, flags: 0, decimals: 0 };
  return { ...table, ...type, name, orgName: name };
}
