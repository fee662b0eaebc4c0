import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Opcode } from '../../src/roce/wire/opcodes.js';
import { AccessFlags } from '../../src/verbs/access-flags.js';
import { WcOpcode } from '../../src/verbs/work-completion.js';
import { WrOpcode } from '../../src/verbs/work-request.js';
import { NicPair } from '../../testkit/nic-pair.js';

const REMOTE =
  AccessFlags.LOCAL_WRITE | AccessFlags.REMOTE_READ | AccessFlags.REMOTE_WRITE | AccessFlags.REMOTE_ATOMIC;

for (const ipv6 of [false, true]) {
  for (const mtu of [256, 1024, 4096] as const) {
    test(`SEND of every interesting size arrives whole, path MTU ${mtu}, ${ipv6 ? 'IPv6' : 'IPv4'}`, () => {
      for (const length of [0, 1, 3, 4, mtu - 1, mtu, mtu + 1, 3 * mtu, 10 * mtu + 5]) {
        const pair = new NicPair({ mtu, ipv6 });
        const [a, b] = pair.sides;
        const source = a.region(length, 0, 3).region;
        const target = b.region(length + 8).region;
        b.postRecv(7, target);
        a.send(1, source);
        pair.run();
        assert.deepEqual(a.statuses('send'), ['1:SUCCESS']);
        const [wc] = b.completions('recv');
        assert.equal(wc?.byteLen, length);
        assert.equal(wc?.opcode, WcOpcode.RECV);
        assert.equal(wc?.wrId, 7);
        assert.deepEqual(target.bytes.subarray(0, length), source.bytes);
        assert.deepEqual(target.bytes.subarray(length), new Uint8Array(8));
      }
    });

    test(`WRITE and READ of every interesting size, path MTU ${mtu}, ${ipv6 ? 'IPv6' : 'IPv4'}`, () => {
      for (const length of [0, 1, mtu, mtu + 1, 3 * mtu, 100 * mtu + 5]) {
        const pair = new NicPair({ mtu, ipv6 });
        const [a, b] = pair.sides;
        const source = a.region(length, 0, 3).region;
        const back = a.region(length).region;
        const { region: target, grant } = b.region(length + 32, REMOTE);
        const remote = { remoteVa: target.va + 16, rkey: grant.rkey };
        a.post({ opcode: WrOpcode.RDMA_WRITE, wrId: 1, ...remote }, [source, 0, length]);
        a.post({ opcode: WrOpcode.RDMA_READ, wrId: 2, ...remote }, [back, 0, length]);
        pair.run();
        assert.deepEqual(a.statuses('send'), ['1:SUCCESS', '2:SUCCESS']);
        assert.deepEqual(target.bytes.subarray(16, 16 + length), source.bytes);
        assert.deepEqual(back.bytes, source.bytes);
        assert.deepEqual(target.bytes.subarray(0, 16), new Uint8Array(16));
        assert.deepEqual(target.bytes.subarray(16 + length), new Uint8Array(16));
      }
    });
  }
}

test('a SEND that no receive waits for gets RNR NAKs until one is posted', () => {
  const pair = new NicPair();
  const [a, b] = pair.sides;
  a.send(1, a.region(10, 0, 1).region);
  pair.run(() => pair.now > 3000);
  assert.equal(b.nic.counters.rnrNaksSent > 2, true);
  assert.deepEqual(a.statuses('send'), []);
  b.postRecv(9, b.region(16).region);
  pair.run();
  assert.deepEqual(a.statuses('send'), ['1:SUCCESS']);
  assert.deepEqual(b.statuses('recv'), ['9:SUCCESS']);
});

test('every packet lost once is sent again and nothing is executed twice', () => {
  for (let lost = 1; lost <= 40; lost++) {
    const pair = new NicPair({ mtu: 256 });
    const [a, b] = pair.sides;
    let seen = 0;
    pair.tap = () => ++seen !== lost;
    const { region: target, grant } = b.region(4096, REMOTE);
    const source = a.region(4096, AccessFlags.LOCAL_WRITE, 1).region;
    const back = a.region(4096).region;
    const counter = a.region(16).region;
    for (let i = 0; i < 3; i++) b.postRecv(i, b.region(700).region);
    const remote = { remoteVa: target.va, rkey: grant.rkey };
    a.send(1, source, 0, 700);
    a.post({ opcode: WrOpcode.RDMA_WRITE, wrId: 2, ...remote }, [source, 0, 3000]);
    a.post({ opcode: WrOpcode.RDMA_READ, wrId: 3, ...remote }, [back, 0, 3000]);
    a.post({ opcode: WrOpcode.RDMA_WRITE_WITH_IMM, wrId: 4, imm: 0xdeadbeef, ...remote }, [source, 0, 300]);
    a.post(
      {
        opcode: WrOpcode.ATOMIC_FETCH_AND_ADD,
        wrId: 5,
        remoteVa: target.va + 4088,
        rkey: grant.rkey,
        compareAdd: 5n,
      },
      [counter, 0, 8],
    );
    a.send(6, source, 0, 10);
    pair.run();
    assert.deepEqual(
      a.statuses('send'),
      [1, 2, 3, 4, 5, 6].map((id) => `${id}:SUCCESS`),
      `lost packet ${lost}`,
    );
    const received = b
      .completions('recv')
      .map((wc) => `${wc.wrId}:${wc.opcode}:${wc.byteLen}:${wc.imm.toString(16)}`);
    assert.deepEqual(received, ['0:128:700:0', '1:129:300:deadbeef', '2:128:10:0'], `lost packet ${lost}`);
    assert.deepEqual(target.bytes.subarray(0, 3000), source.bytes.subarray(0, 3000));
    assert.deepEqual(back.bytes.subarray(0, 3000), source.bytes.subarray(0, 3000));
    assert.equal(target.bytes[4088], 5, `atomic once, lost packet ${lost}`);
    assert.equal(a.qp.requester.idle, true);
  }
});

test('a wrong rkey is refused with a remote access NAK and both queue pairs end in ERR', () => {
  const pair = new NicPair();
  const [a, b] = pair.sides;
  const { region: target, grant } = b.region(64, REMOTE);
  a.post({ opcode: WrOpcode.RDMA_WRITE, wrId: 1, remoteVa: target.va, rkey: grant.rkey ^ 1 }, [
    a.region(8).region,
    0,
    8,
  ]);
  a.post({ opcode: WrOpcode.RDMA_WRITE, wrId: 2, remoteVa: target.va, rkey: grant.rkey }, [
    a.region(8).region,
    0,
    8,
  ]);
  b.postRecv(3);
  pair.run();
  assert.deepEqual(a.statuses('send'), ['1:REM_ACCESS_ERR', '2:WR_FLUSH_ERR']);
  assert.deepEqual(b.statuses('recv'), ['3:WR_FLUSH_ERR']);
  assert.equal(b.nic.takeEvent()?.type, 'QP_ACCESS_ERR');
  assert.equal(pair.sent.filter((p) => p.packet.opcode === Opcode.RC_ACKNOWLEDGE).length, 1);
});

test('a peer that is gone costs eight transmissions and ends in RETRY_EXC_ERR', () => {
  const pair = new NicPair({ tap: () => false });
  const [a] = pair.sides;
  a.send(1, a.region(4, 0, 1).region);
  a.send(2, a.region(4, 0, 1).region);
  pair.run();
  assert.deepEqual(a.statuses('send'), ['1:RETRY_EXC_ERR', '2:WR_FLUSH_ERR']);
  assert.equal(a.nic.counters.timeouts, 8);
});
