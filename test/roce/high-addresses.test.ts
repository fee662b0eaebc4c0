/** Memory of a peer at addresses that no number holds, as Linux gives it to its own drivers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BTH_LENGTH } from '../../src/roce/wire/bth.js';
import { WrOpcode } from '../../src/verbs/work-request.js';
import { HandPeer } from '../../testkit/hand-peer.js';

const KERNEL_VA = 0xff2f_2148_ffff_fc00n;

/** The address behind the BTH of each packet that has one. */
function addressesOf(peer: HandPeer): bigint[] {
  return peer.takePackets().map(({ bytes }) => Buffer.from(bytes).readBigUInt64BE(BTH_LENGTH));
}

test('a READ, a WRITE and an atomic name an address above 2^53 exactly', () => {
  const opcodes = [WrOpcode.RDMA_READ, WrOpcode.RDMA_WRITE, WrOpcode.ATOMIC_FETCH_AND_ADD];
  for (const opcode of opcodes) {
    for (const remoteVa of [KERNEL_VA, 0xffff_ffff_ffff_fff8n, 2n ** 53n, 8n, 2 ** 53 - 8, 2 ** 32]) {
      const peer = new HandPeer();
      peer.side.post({ opcode, remoteVa, rkey: 7, compareAdd: 1n }, [peer.side.region(8).region, 0, 8]);
      assert.deepEqual(addressesOf(peer), [BigInt(remoteVa)]);
    }
  }
});

test('the parts of a READ go on across the words of an address', () => {
  const peer = new HandPeer({ mtu: 1024 });
  const length = 1 << 20;
  const { region } = peer.side.region(length);
  peer.side.post({ opcode: WrOpcode.RDMA_READ, remoteVa: KERNEL_VA, rkey: 7 }, [region, 0, length]);
  const [first, second] = addressesOf(peer);
  assert.equal(first, KERNEL_VA);
  assert.ok(second !== undefined && second > KERNEL_VA + 1024n, 'a long READ leaves in parts');
  assert.equal((second - KERNEL_VA) % 1024n, 0n);
  assert.ok(second >> 32n > KERNEL_VA >> 32n, 'the first part ends behind the lower word');
});

test('an address that is none is refused before anything is posted', () => {
  const peer = new HandPeer();
  for (const remoteVa of [-1, -1n, 2n ** 64n, 2 ** 53, 1.5, Number.NaN]) {
    const post = { opcode: WrOpcode.RDMA_WRITE, remoteVa, rkey: 7 };
    assert.throws(
      () => peer.side.post(post, [peer.side.region(8).region, 0, 8]),
      /an address from 0 to 2\^64 - 1/,
    );
  }
  assert.deepEqual(peer.takePackets(), []);
});
