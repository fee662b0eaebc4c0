/** Lost packets that no NAK tells of: the requester looks after them long before the timeout, and spends no retry on that. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Requester } from '../../src/roce/qp/requester.js';
import { RoundTrips } from '../../src/roce/qp/round-trips.js';
import { Opcode } from '../../src/roce/wire/opcodes.js';
import { AccessFlags } from '../../src/verbs/access-flags.js';
import { WrOpcode } from '../../src/verbs/work-request.js';
import { type InFlight, NicPair } from '../../testkit/nic-pair.js';
import { Random } from '../../testkit/random.js';

const DELAY_MICROS = 50;
const REMOTE = AccessFlags.LOCAL_WRITE | AccessFlags.REMOTE_READ | AccessFlags.REMOTE_WRITE;
/** Timeout 14. */
const TIMEOUT_MICROS = 67_000;

/** A pair that knows its path: twenty WRITEs are behind it. */
function warmPair(retryCount = 7): { pair: NicPair; write: (id: number, packets: number) => void } {
  const pair = new NicPair({ mtu: 256, delayMicros: DELAY_MICROS, attributes: { retryCount } });
  const [a, b] = pair.sides;
  const { region, grant } = b.region(64 * 256, REMOTE);
  const source = a.region(64 * 256, 0, 3).region;
  const write = (id: number, packets: number): void => {
    const remote = { remoteVa: region.va, rkey: grant.rkey };
    a.post({ opcode: WrOpcode.RDMA_WRITE, wrId: id, ...remote }, [source, 0, packets * 256]);
  };
  for (let id = 0; id < 20; id++) {
    write(id, 1);
    pair.run();
  }
  assert.equal(a.statuses('send').length, 20);
  return { pair, write };
}

/** The same on a path that has lost a packet of late, as a probe has found out. */
function lossyPair(retryCount = 7): ReturnType<typeof warmPair> {
  const warm = warmPair(retryCount);
  warm.write(50, 1);
  loseOnce(warm.pair, ({ packet }) => packet.opcode === Opcode.RC_WRITE_ONLY);
  const [a] = warm.pair.sides;
  assert.deepEqual(a.statuses('send'), ['50:SUCCESS']);
  assert.equal(a.nic.counters.probes, 1);
  return warm;
}

/** Loses the packets that `isLost` picks, each once, and returns the µs until everything is done. */
function loseOnce(pair: NicPair, isLost: (item: InFlight) => boolean, count = 1): number {
  let left = count;
  const start = pair.now;
  pair.tap = (item) => !(left > 0 && isLost(item) && left-- > 0);
  pair.run(() => pair.sides[0].sendCq.count > 0);
  const micros = pair.now - start;
  // Timers that nobody needs any more.
  pair.run();
  assert.equal(left, 0, 'everything that was to be lost was sent');
  return micros;
}

test('on a clean path answers that are some milliseconds late are waited for, and nothing is sent twice', () => {
  const { pair, write } = warmPair();
  const [a, b] = pair.sides;
  const random = new Random(5).u32;
  pair.tap = (item) => {
    if (item.to === 0 && random() % 8 === 0) item.at += random() % 10_000;
    return true;
  };
  for (let id = 0; id < 500; id++) {
    write(100 + id, 1 + (random() % 32));
    if (id % 16 === 15) pair.run();
  }
  pair.run();
  assert.equal(a.statuses('send').filter((status) => status.endsWith('SUCCESS')).length, 256, 'all that fit');
  assert.equal(a.nic.counters.retransmittedPackets, 0);
  assert.equal(a.nic.counters.probes, 0);
  assert.equal(b.nic.counters.duplicateRequests, 0);
});

test('a probe of a clean path is one packet, the newest, and its duplicate disturbs nothing', () => {
  const { pair, write } = warmPair();
  const [a, b] = pair.sides;
  let isLate = true;
  pair.tap = (item) => {
    if (item.to === 0 && isLate) item.at += 20_000;
    if (item.to === 0) isLate = false;
    return true;
  };
  write(99, 12);
  const first = pair.sent.length;
  pair.run();
  assert.deepEqual(a.statuses('send'), ['99:SUCCESS']);
  assert.equal(a.nic.counters.probes, 1);
  assert.equal(a.nic.counters.retransmittedPackets, 1);
  assert.equal(b.nic.counters.duplicateRequests, 1);
  const requests = pair.sent.slice(first).filter(({ to }) => to === 1);
  assert.equal(requests.length, 13);
  assert.equal(requests[12]?.packet.psn, requests[11]?.packet.psn);
  assert.equal(a.nic.counters.timeouts, 0);
});

test('on a clean path too, the end of a message is looked after before the timeout, whatever of it was lost', () => {
  const lost: [string, number, (item: InFlight) => boolean][] = [
    ['the last packet', 1, ({ packet }) => packet.opcode === Opcode.RC_WRITE_LAST],
    ['the last packets', 3, ({ packet, to }) => to === 1 && psnAt(packet.psn) >= 9],
    ['all packets', 12, ({ to }) => to === 1],
    ['the acknowledgement', 1, ({ to }) => to === 0],
    ['two acknowledgements', 2, ({ to }) => to === 0],
  ];
  let firstPsn = 0;
  const psnAt = (psn: number): number => (psn - firstPsn) & 0xffffff;
  for (const [what, count, isLost] of lost) {
    const { pair, write } = warmPair(1);
    const [a] = pair.sides;
    firstPsn = (a.qp.requester as Requester).nextPsn;
    write(99, 12);
    const micros = loseOnce(pair, isLost, count);
    assert.deepEqual(a.statuses('send'), ['99:SUCCESS'], what);
    assert.equal(micros < TIMEOUT_MICROS, true, `${what}: ${micros} µs`);
    assert.equal(a.nic.counters.timeouts, 0, what);
  }
});

test('on a clean path a READ whose end is lost is asked for again before the timeout', () => {
  for (const opcode of [
    Opcode.RC_READ_REQUEST,
    Opcode.RC_READ_RESPONSE_LAST,
    Opcode.RC_READ_RESPONSE_FIRST,
  ]) {
    const { pair } = warmPair(0);
    const [a, b] = pair.sides;
    const { region, grant } = b.region(1024, REMOTE, 7);
    const target = a.region(1024).region;
    a.post({ opcode: WrOpcode.RDMA_READ, wrId: 99, remoteVa: region.va, rkey: grant.rkey }, [
      target,
      0,
      1024,
    ]);
    const micros = loseOnce(pair, ({ packet }) => packet.opcode === opcode);
    assert.deepEqual(a.statuses('send'), ['99:SUCCESS']);
    assert.deepEqual(target.bytes, region.bytes);
    assert.equal(micros < TIMEOUT_MICROS / 2, true, `${micros} µs`);
  }
});

test('the last packet of a message that is lost is sent again after little more than a round trip', () => {
  const { pair, write } = lossyPair();
  const [a] = pair.sides;
  write(99, 1);
  const micros = loseOnce(pair, ({ packet }) => packet.opcode === Opcode.RC_WRITE_ONLY);
  assert.deepEqual(a.statuses('send'), ['99:SUCCESS']);
  assert.equal(
    micros < 5 * 2 * DELAY_MICROS,
    true,
    `${micros} µs, and a round trip takes ${2 * DELAY_MICROS}`,
  );
  assert.equal(a.nic.counters.probes, 2);
  assert.equal(a.nic.counters.timeouts, 0);
});

test('a NAK that is lost does not cost a timeout either', () => {
  const { pair, write } = lossyPair();
  const [a] = pair.sides;
  write(99, 12);
  let missed = false;
  const micros = loseOnce(
    pair,
    ({ packet, to }) => {
      if (to === 0) return missed;
      if (packet.opcode !== Opcode.RC_WRITE_MIDDLE || missed) return false;
      missed = true;
      return true;
    },
    2,
  );
  assert.deepEqual(a.statuses('send'), ['99:SUCCESS']);
  assert.equal(micros < TIMEOUT_MICROS / 10, true, `${micros} µs`);
  assert.equal(a.nic.counters.timeouts, 0);
});

test('probes spend no retries: with retry_cnt 0 a lost packet is still repaired', () => {
  const { pair, write } = lossyPair(0);
  const [a] = pair.sides;
  write(99, 1);
  loseOnce(pair, ({ packet }) => packet.opcode === Opcode.RC_WRITE_ONLY, 3);
  assert.deepEqual(a.statuses('send'), ['99:SUCCESS']);
});

test('a peer that is gone is probed a few times only, each twice as late, before the timeout decides', () => {
  const { pair, write } = lossyPair(0);
  const [a] = pair.sides;
  const start = pair.now;
  const sentAt: number[] = [];
  pair.tap = () => {
    sentAt.push(pair.now - start);
    return false;
  };
  write(99, 1);
  pair.run();
  assert.deepEqual(a.statuses('send'), ['99:RETRY_EXC_ERR']);
  const waits = sentAt.slice(1).map((at, i) => at - (sentAt[i] as number));
  assert.equal(waits.length >= 3 && waits.length <= 6, true, `${waits.length} probes`);
  for (const [i, wait] of waits.entries()) {
    assert.equal(i === 0 || wait >= 1.9 * (waits[i - 1] as number), true, `${waits.join(', ')} µs`);
  }
  assert.equal(pair.now - start >= TIMEOUT_MICROS, true);
});

test('a lost READ request is asked for again after little more than a round trip', () => {
  const { pair } = lossyPair();
  const [a, b] = pair.sides;
  const { region, grant } = b.region(256, REMOTE, 7);
  const target = a.region(256).region;
  a.post({ opcode: WrOpcode.RDMA_READ, wrId: 99, remoteVa: region.va, rkey: grant.rkey }, [target, 0, 256]);
  const micros = loseOnce(pair, ({ packet }) => packet.opcode === Opcode.RC_READ_REQUEST);
  assert.deepEqual(a.statuses('send'), ['99:SUCCESS']);
  assert.deepEqual(target.bytes, region.bytes);
  assert.equal(micros < 5 * 2 * DELAY_MICROS, true, `${micros} µs`);
});

test('round trips are those of the newest packet that an answer covers, and forget what is sent again', () => {
  const trips = new RoundTrips();
  trips.begin(0xfffffe, true, 10);
  trips.begin(1, true, 20);
  trips.begin(5, false, 30);
  assert.equal(trips.oldestLeftAt, 10);
  assert.equal(trips.leftAtOf(4), 20);
  assert.equal(trips.leftAtOf(0xfffff0), -1);
  assert.equal(trips.finishUpTo(2), 20);
  assert.equal(trips.wasClear, true);
  assert.equal(trips.oldestLeftAt, 30);
  assert.equal(trips.finishUpTo(2), -1, 'once');
  trips.dropFrom(4);
  assert.equal(trips.oldestLeftAt, -1);
  assert.equal(trips.finishUpTo(9), -1);
});
