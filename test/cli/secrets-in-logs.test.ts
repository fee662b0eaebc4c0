/**
 * All that a server says of itself, at the most talkative level: log, steps, audit, errors. It is searched for every
 * secret that the session had.
 */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { test } from 'node:test';
import { ServiceClient } from '../../src/cli/service/message-service.js';
import { startService, stopService } from '../../src/cli/service.js';
import { logServiceEvent } from '../../src/cli/service-log.js';
import { RemoteBuffer } from '../../src/connection/memory/remote-buffer.js';
import type { Connection } from '../../src/connection/program/connection.js';
import { createLogger } from '../../src/observe/log.js';
import { openChannel } from '../../testkit/raw-client.js';
import { recoveryOf } from '../../testkit/recovery-of.js';
import { connectTo, FREE_DEVICE, serverIsEmpty, testCertificates } from '../../testkit/session-pair.js';

const PAYLOAD = 'correct horse battery staple';

/** The ways in which a number could have been written down. */
function writings(secret: number | bigint): RegExp[] {
  const hex = secret.toString(16);
  const texts = [secret.toString(), hex, hex.padStart(6, '0'), hex.padStart(8, '0')];
  // Of fewer than six digits there are too many other numbers in a log.
  const telling = [...new Set(texts)].filter((text) => text.length >= 6);
  return telling.map((text) => new RegExp(`(?<![0-9a-f])${text}(?![0-9a-f])`, 'i'));
}

test('no PSN, key, token or payload is in anything that a server says', async () => {
  const lines: string[] = [];
  const logger = createLogger({ level: 'trace', destination: { write: (line) => lines.push(line) } });
  const { server: pem } = await testCertificates();
  const server = await startService(
    {
      port: 0,
      cert: pem.certPem,
      key: pem.keyPem,
      device: FREE_DEVICE,
      encryption: 'aes-256-gcm',
      handshakeDeadlineMillis: 2000,
      onAudit: (record) => logger.info(record, 'audit'),
    },
    (event) => {
      lines.push(JSON.stringify(event));
      logServiceEvent(logger, event);
    },
  );
  const secrets: (number | bigint)[] = [];
  const arrived = once(server, 'connection') as Promise<[Connection]>;
  const client = await connectTo(server, {
    revealPsns: true,
    onStep: ({ details }) => {
      for (const name of ['sqPsn', 'rqPsn', 'localPsn', 'remotePsn']) {
        if (details[name] !== undefined) secrets.push(Number(details[name]));
      }
    },
  });
  const service = new ServiceClient(client);
  await service.welcome();
  await service.echo(PAYLOAD);
  await service.write(Buffer.from(PAYLOAD));
  await service.read(0, PAYLOAD.length);
  const [served] = await arrived;
  const grant = await served.grant(new Uint8Array(64), { read: true, write: true });
  const { addr, rkey } = client.remoteBuffer ?? assert.fail();
  secrets.push(rkey, grant.remote.rkey);
  await grant.revoke();

  // A client that breaks the rules is told and logged what it did, not what it said.
  const told = randomInt(1_000_000, 2 ** 24);
  const channel = await openChannel(server);
  channel.send({ type: 'psn', psn: told as never });
  channel.send({ type: 'psn', psn: told as never });
  await channel.closed;
  secrets.push(told);
  const lost = await openChannel(server);
  const token = 'ab'.repeat(32);
  lost.send({ type: 'resume', token });
  await lost.closed;

  // A refused access makes both sides recover with new PSNs, and ends in the log of the server.
  const recovered = Promise.all([recoveryOf(client), recoveryOf(served)]);
  const guessed = randomInt(1_000_000, 2 ** 32);
  secrets.push(guessed);
  await client.write(new RemoteBuffer(addr, guessed, 8), new Uint8Array(8)).catch(() => {});
  await recovered;
  // A program that logs what it has in its hands gives nothing away either.
  secrets.push(served.remoteBuffer?.rkey ?? assert.fail());
  logger.info({ served, remote: served.remoteBuffer, grant }, 'objects');
  lines.push(JSON.stringify(served.describe()));
  await client.close();
  await serverIsEmpty(server);
  await stopService(server, (event) => lines.push(JSON.stringify(event)));

  const text = lines.join('\n');
  assert.match(text, /"msg":"audit"/);
  assert.match(text, /unexpected_frame/);
  assert.match(text, /recovered/);
  assert.ok(secrets.length >= 8, `only ${secrets.length} secrets to look for`);
  for (const secret of secrets) {
    for (const writing of writings(secret)) {
      const found = writing.exec(text);
      const around = found === null ? '' : text.slice(Math.max(0, found.index - 80), found.index + 40);
      assert.equal(found, null, `${secret} was said: …${around}…`);
    }
  }
  assert.ok(!text.includes(PAYLOAD) && !text.includes(token));
  assert.ok(!text.includes(pem.keyPem.split('\n')[1] ?? assert.fail()));
});
