/** The log must be of use, and must never hold a secret. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLogger, REDACTED } from '../../src/observe/log.js';
import { RdmaError } from '../../src/verbs/errors.js';

function logged(log: (logger: ReturnType<typeof createLogger>) => void): string {
  let text = '';
  log(
    createLogger({
      level: 'trace',
      destination: {
        write(line: string) {
          text += line;
        },
      },
    }),
  );
  return text;
}

test('a line is JSON with level, time and message', () => {
  const line = JSON.parse(logged((logger) => logger.warn({ client: 3 }, 'refused'))) as Record<
    string,
    unknown
  >;
  assert.deepEqual(
    [line['level'], line['name'], line['client'], line['msg']],
    ['warn', 'queuepair', 3, 'refused'],
  );
  assert.match(String(line['time']), /^\d{4}-\d\d-\d\dT.*Z$/);
});

test('fields that hold secrets are replaced, however deep they are', () => {
  const pem = '-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----';
  const text = logged((logger) => {
    logger.info({ rqPsn: 8_675_309, details: { localPsn: 8_675_309, deep: [{ rkey: 0x5ec4e7 }] } }, 'step');
    logger.info({ data: Buffer.from('hidden payload'), text: 'hidden text', keyPem: pem }, 'message');
    logger.child({ sqPsn: 8_675_309 }).info(`a key in a text: ${pem}`);
    logger.error(
      { err: new RdmaError('ERR_RDMA_TLS', `bad ${pem}`, { cause: { token: 'hidden' } }) },
      'failed',
    );
  });
  assert.doesNotMatch(text, /8675309|6210791|hidden|MC4CAQAw/);
  assert.match(text, new RegExp(REDACTED.replace(/[[\]]/g, '\\$&')));
  assert.match(text, /ERR_RDMA_TLS/);
});

test('a cycle and a huge nesting do no harm', () => {
  const cycle: Record<string, unknown> = {};
  cycle['self'] = cycle;
  assert.match(
    logged((logger) => logger.info({ cycle }, 'x')),
    /\[cut off\]/,
  );
});
