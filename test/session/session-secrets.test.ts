/** Keys and bindings, computed here once more from what docs/protocol.md says: known answers for what must not change. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import type { SessionAttributes } from '../../src/session/session-data.js';
import { bindParameters, deriveKeys, isBound, type KeyExporter } from '../../src/session/session-secrets.js';

/** As RFC 8446, 7.5 in what matters: other bytes for every label, context and length. */
function exported(lengthBytes: number, label: string, context: Uint8Array): Buffer {
  const hash = createHash('shake256', { outputLength: lengthBytes });
  return hash.update(`${lengthBytes} ${label} `).update(context).digest();
}

const exporterOf = (role: 'server' | 'client', sessionsBefore: number): KeyExporter => ({
  role,
  sessionsBefore,
  exportKeyingMaterial: (length, label, context = new Uint8Array()) => exported(length, label, context),
});

const PARAMETERS = {
  terms: { zulu: null, alpha: { two: 2, one: { y: 1, x: 2 } } },
  path: { qpn: 17, gid: '::1' },
} as unknown as Parameters<typeof bindParameters>[3];
/** Fields in the order of their names. */
const CANONICAL =
  '{"path":{"gid":"::1","qpn":17},"terms":{"alpha":{"one":{"x":2,"y":1},"two":2},"zulu":null}}';

const BINDING = (teller: string, sessions: number, psn: number): string =>
  exported(
    32,
    'EXPORTER-queuepair-parameters',
    createHash('sha256').update(`${teller} ${sessions} ${psn} ${CANONICAL}`).digest(),
  ).toString('hex');

test('a binding covers who tells, the session of the channel, the PSN and all parameters', () => {
  for (const teller of ['server', 'client'] as const) {
    for (const [sessions, psn] of [
      [0, 0x123456],
      [3, 0xffffff],
    ] as const) {
      const binding = bindParameters(exporterOf('server', sessions), teller, psn as never, PARAMETERS);
      assert.equal(binding, BINDING(teller, sessions, psn));
    }
  }
});

test('parameters are bound when the peer told them in this session, and in no other case', () => {
  const check = (binding: string | undefined): boolean =>
    isBound(exporterOf('server', 1), 5 as never, PARAMETERS, binding);
  assert.equal(check(BINDING('client', 1, 5)), true);
  assert.equal(check(BINDING('server', 1, 5)), false, 'our own words');
  assert.equal(check(BINDING('client', 0, 5)), false, 'another session');
  assert.equal(check(BINDING('client', 1, 6)), false, 'another PSN');
  assert.equal(check(undefined), false);
  assert.equal(check(''), false);
});

test('each direction and each purpose has a key of its own, and both sides agree which', () => {
  const server = { psn: 0x111111, qpn: 21 };
  const client = { psn: 0x222222, qpn: 22 };
  const ends = (own: object, peer: object) => ({ own, peer }) as Pick<SessionAttributes, 'own' | 'peer'>;
  const expected = (purpose: string, sender: string, sessions: number) => {
    const context = Buffer.from(`${sessions} ${0x111111} 21 ${0x222222} 22`);
    const bytes = exported(44, `EXPORTER-queuepair-${purpose}-${sender}`, context);
    return { key: bytes.subarray(0, 32), iv: bytes.subarray(32) };
  };
  for (const purpose of ['messages', 'memory']) {
    for (const sessions of [0, 2]) {
      const ofServer = expected(purpose, 'server', sessions);
      const ofClient = expected(purpose, 'client', sessions);
      assert.notDeepEqual(ofServer, ofClient);
      assert.deepEqual(deriveKeys(exporterOf('server', sessions), purpose, ends(server, client)), {
        own: ofServer,
        peer: ofClient,
      });
      assert.deepEqual(deriveKeys(exporterOf('client', sessions), purpose, ends(client, server)), {
        own: ofClient,
        peer: ofServer,
      });
    }
  }
});
