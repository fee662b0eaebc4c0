/** Memory of requests and windows: what is checked of every piece, at every packet and of every region. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Flow } from '../../src/roce/flow.js';
import { Region } from '../../src/roce/memory/region.js';
import { RegionTable } from '../../src/roce/memory/region-table.js';
import { Window } from '../../src/roce/qp/bind-request.js';
import { SgeTable } from '../../src/roce/qp/sge-table.js';
import { TransmitBatch } from '../../src/roce/transmit-batch.js';
import { ViewCache } from '../../src/roce/view-cache.js';
import { AccessFlags } from '../../src/verbs/access-flags.js';
import { QpState, QpType } from '../../src/verbs/qp-state.js';
import { WrOpcode } from '../../src/verbs/work-request.js';
import { NicPair } from '../../testkit/nic-pair.js';

const { LOCAL_WRITE, REMOTE_READ, REMOTE_WRITE, MW_BIND } = AccessFlags;
const regionOf = (pd: number): Region => new Region(new Uint8Array(64), 0x1000, LOCAL_WRITE, pd, 1);

test('every piece of a list is checked, wherever it stands', () => {
  for (const wrong of [0, 1, 2]) {
    const table = new SgeTable(1, 4);
    for (let i = 0; i < 3; i++) table.add(0, regionOf(i === wrong ? 2 : 1), 0, 8);
    assert.equal(table.allows(0, 1, LOCAL_WRITE), false, `piece ${wrong}`);
  }
});

test('memory that is deregistered in the middle of a message fails the request, for RC and UC', () => {
  for (const type of [QpType.RC, QpType.UC]) {
    const pair = new NicPair({ mtu: 256, type });
    const [side, peer] = pair.sides;
    peer.postRecv(0, peer.region(1024).region);
    const { region } = side.region(1024);
    side.send(5, region);
    pair.transmitOne(0);
    side.nic.regions.deregister(region);
    pair.transmit();
    assert.deepEqual(side.statuses('send'), ['5:LOC_PROT_ERR']);
  }
});

test('a window binds within its own protection domain, and gives no right that its region has not', () => {
  const pair = new NicPair();
  const [{ nic, qp }] = pair.sides;
  const bind = (pd: number, regionAccess: number, access: number): boolean => {
    const { region } = nic.regions.register(new Uint8Array(64), regionAccess, 1);
    const window = new Window(pd, nic.regions.reserveKey());
    return nic.bindWindow(qp, {
      mw: window,
      mr: region,
      offset: 0,
      length: 64,
      access,
      rkey: nic.regions.reserveKey(),
    });
  };
  assert.equal(bind(1, LOCAL_WRITE | MW_BIND, REMOTE_WRITE), true);
  assert.equal(bind(2, LOCAL_WRITE | MW_BIND, REMOTE_WRITE), false, 'a window of another domain');
  assert.equal(bind(1, MW_BIND, REMOTE_WRITE), false, 'writable over memory that is not');
  assert.equal(bind(1, MW_BIND, REMOTE_READ), true);
});

test('no two keys are the same while both are in use', () => {
  const numbers = [7, 1, 7, 7, 8, 2, 9];
  const table = new RegionTable(() => numbers.shift() ?? assert.fail('it asks for more numbers'));
  const first = table.register(new Uint8Array(8), LOCAL_WRITE, 1).region;
  // 7 is in use as the key of the first region, then 8 as that of the second.
  const second = table.register(new Uint8Array(8), LOCAL_WRITE, 1).region;
  assert.deepEqual([first.lkey, second.lkey], [7, 8]);
});

test('a batch has no room for a packet whose pieces might not fit', () => {
  const batch = new TransmitBatch(4);
  batch.begin();
  for (let i = 0; i < 32; i++) batch.addSegment(regionOf(1), 0, 1);
  batch.commit(new Flow(), 12, 32);
  assert.equal(batch.hasRoom, false);
  batch.reset();
  assert.equal(batch.hasRoom, true);
});

test('views that share a place in the cache are told apart', () => {
  const bytes = new Uint8Array(1 << 16);
  const cache = new ViewCache();
  cache.view(bytes, 0, 8);
  for (let at = 0; at < 4096; at++) {
    const { byteOffset, length } = cache.view(bytes, at, 8);
    assert.deepEqual([byteOffset, length], [at, 8]);
  }
});

test('an overrun of the receives alone fails the queue pair, too', () => {
  const pair = new NicPair({ cqCapacity: 2, signalAll: false });
  const [side, peer] = pair.sides;
  for (let i = 0; i < 4; i++) peer.postRecv(i, peer.region(8).region);
  const { region } = side.region(8);
  for (let i = 0; i < 4; i++) side.post({ opcode: WrOpcode.SEND, signaled: false }, [region, 0, 8]);
  pair.run(() => peer.qp.state === QpState.ERR);
  assert.equal(peer.qp.state, QpState.ERR);
});

test('SQ_DRAINED is told once for each time that it was asked for', () => {
  const pair = new NicPair();
  const [side] = pair.sides;
  side.qp.modify({ state: QpState.SQD, enSqdAsyncNotify: true });
  assert.equal(side.nic.takeEvent()?.type, 'SQ_DRAINED');
  side.qp.modify({ state: QpState.SQD, maxRdAtomic: 2 });
  assert.equal(side.nic.takeEvent(), undefined);
});
