/** What leaves sealed, opened here once more with Node's AES alone: nonces, keys and what is authenticated. */
import assert from 'node:assert/strict';
import { createDecipheriv, hkdfSync } from 'node:crypto';
import { test } from 'node:test';
import { PIECES_PER_KEY, Sealer, TAG_BYTES } from '../../src/connection/fragments/sealing.js';

const KEY = Buffer.from(Array.from({ length: 32 }, (_, i) => i * 5));
/** All ones at the end, so that a counter that is added carries where one that is mixed in by XOR does not. */
const IV = Buffer.from('0102030405060708ffffffff', 'hex');
const HEADER = Buffer.from('a header of twenty-four b');

interface Keys {
  readonly key: Buffer;
  readonly iv: Buffer;
}

/** The number as 96 bits, XOR the initial nonce. */
function nonceOf(iv: Buffer, count: number): Buffer {
  const mixed = BigInt(`0x${iv.toString('hex')}`) ^ BigInt(count);
  return Buffer.from(mixed.toString(16).padStart(24, '0'), 'hex');
}

function nextKeys({ key }: Keys): Keys {
  const bytes = Buffer.from(hkdfSync('sha256', key, '', 'queuepair next key', 44));
  return { key: bytes.subarray(0, 32), iv: bytes.subarray(32) };
}

function open({ key, iv }: Keys, count: number, sealed: Uint8Array): string {
  const decipher = createDecipheriv('aes-256-gcm', key, nonceOf(iv, count), { authTagLength: TAG_BYTES });
  decipher.setAAD(HEADER);
  decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
  const plain = decipher.update(sealed.subarray(0, sealed.length - TAG_BYTES));
  decipher.final();
  return plain.toString();
}

function seal(sealer: Sealer, text: string): Buffer {
  const out = Buffer.alloc(text.length + TAG_BYTES);
  sealer.seal(HEADER, Buffer.from(text), out);
  return out;
}

test('piece n has the initial nonce XOR n, also where 16 bits are not enough for n', () => {
  const sealer = new Sealer({ key: KEY, iv: IV });
  for (let count = 0; count < 65_540; count++) {
    const sealed = seal(sealer, `piece ${count}`);
    if (count < 3 || count > 65_533)
      assert.equal(open({ key: KEY, iv: IV }, count, sealed), `piece ${count}`);
  }
});

test('the next key and nonce follow from the key before, and the counter begins anew', () => {
  const sealer = new Sealer({ key: KEY, iv: IV }, 4);
  let keys: Keys = { key: KEY, iv: IV };
  for (let count = 0; count < 11; count++) {
    if (count > 0 && count % 4 === 0) keys = nextKeys(keys);
    assert.equal(open(keys, count % 4, seal(sealer, `piece ${count}`)), `piece ${count}`, `piece ${count}`);
  }
});

test('a key is used for fewer records than RFC 8446 allows', () => {
  assert.ok(PIECES_PER_KEY <= 2 ** 24.5);
});
