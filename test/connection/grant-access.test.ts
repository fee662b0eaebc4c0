/** What a program learns of its grants, whatever the order in which the data plane tells it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ProgramPlane } from '../../src/connection/data-path/data-plane.js';
import { GrantAccess } from '../../src/connection/program/grant-access.js';
import { toRKey } from '../../src/verbs/brands.js';
import { RdmaError } from '../../src/verbs/errors.js';

const RANGE = { addr: 0x1000n, rkey: toRKey(7), length: 8 };

/** `grant`: what the data plane does. */
function accessTo(grant: ProgramPlane['grant']): { access: GrantAccess; told: string[] } {
  const told: string[] = [];
  const access: GrantAccess = new GrantAccess(
    {
      isEnding: false,
      onGranted: ({ id }) => told.push(`granted ${id}`),
      onRevoked: ({ id }, reason) => told.push(`${id} ${reason}`),
    },
    { grant, revoke: async (id, reason) => access.onEnded(id, reason) },
  );
  return { access, told };
}

test('a grant that is over before the data plane answered is given out, and is over', async () => {
  const { access, told } = accessTo(async (id) => {
    access.onEnded(id, 'the connection failed');
    return RANGE;
  });
  const grant = await access.grant(new Uint8Array(8), { read: true });
  assert.deepEqual(told, ['granted 1', '1 the connection failed']);
  assert.equal(await grant.ended, 'the connection failed');
});

test('of a grant that could not be made nothing is told, also when the data plane says that it is over', async () => {
  const { access, told } = accessTo(async (id) => {
    access.onEnded(id, 'the connection failed');
    throw new RdmaError('ERR_RDMA_CONNECTION_LOST', 'the connection failed before the memory was granted');
  });
  await assert.rejects(access.grant(new Uint8Array(8), { read: true }), { code: 'ERR_RDMA_CONNECTION_LOST' });
  access.onEnded(1, 'again');
  assert.deepEqual(told, []);
});

test("the end of a grant is told once, and a number that nobody has is nobody's", async () => {
  const { access, told } = accessTo(async () => RANGE);
  const grant = await access.grant(new Uint8Array(8), { write: true });
  access.onEnded(99, 'unknown');
  await grant.revoke('enough');
  access.onEnded(grant.id, 'again');
  assert.equal(await grant.ended, 'enough');
  assert.deepEqual(told, ['granted 1', '1 enough']);
});
