/** The engine alone, as programs use it: two NICs in memory and in virtual time, by what the package exports. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Cq,
  Datagram,
  type Flow,
  formatGid,
  Icrc,
  Nic,
  packetLength,
  parseGid,
  type Qp,
  type RandomU32,
  TransmitBatch,
  type UdpAddress,
  writePacket,
} from 'queuepair/roce';
import {
  AccessFlags,
  createCompletions,
  QpState,
  QpType,
  SendFlags,
  toPsn,
  WcStatus,
  WrOpcode,
} from 'queuepair/verbs';

const DELAY_MICROS = 5;
const PD = 1;

interface End {
  readonly nic: Nic;
  readonly cq: Cq;
  readonly qp: Qp;
}

/** Not for keys that anybody must not guess. */
function countingRandom(start: number): RandomU32 {
  let next = start;
  return () => {
    next = (Math.imul(next, 1664525) + 1013904223) >>> 0;
    return next;
  };
}

function createEnd(address: string, seed: number): End {
  const nic = new Nic({ addresses: [parseGid(address) as UdpAddress], random: countingRandom(seed) });
  (nic.addresses[0] as UdpAddress).port = 4791;
  const cq = nic.createCq(16);
  const capacity = { maxSendWr: 8, maxRecvWr: 8, maxSendSge: 1, maxRecvSge: 1, maxInlineData: 32 };
  const qp = nic.createQp(
    { type: QpType.RC, pd: PD, sendCq: cq, recvCq: cq, srq: null, signalAll: false, capacity },
    0,
  );
  return { nic, cq, qp };
}

function bringUp({ qp }: End, peer: End): void {
  const dgid = formatGid(peer.nic.addresses[0] as UdpAddress);
  const psn = toPsn(0x123456);
  qp.modify({ state: QpState.INIT, pkeyIndex: 0, port: 1, accessFlags: AccessFlags.REMOTE_WRITE });
  const path = { av: { dgid }, destQpn: peer.qp.qpn, pathMtu: 1024 } as const;
  qp.modify({ state: QpState.RTR, ...path, rqPsn: psn, maxDestRdAtomic: 1, minRnrTimer: 12 });
  const limits = { timeout: 14, retryCount: 7, rnrRetry: 7, maxRdAtomic: 1 };
  qp.modify({ state: QpState.RTS, sqPsn: psn, ...limits });
}

/** Carries packets between both until neither has one to send; returns what time it is then. */
function exchange(ends: readonly [End, End], start: number): number {
  const batch = new TransmitBatch(16);
  const icrc = new Icrc();
  const datagram = new Datagram();
  let now = start;
  for (let quiet = 0; quiet < 2; ) {
    for (const [index, { nic }] of ends.entries()) {
      const count = nic.pollTransmit(batch, now);
      quiet = count > 0 ? 0 : quiet + 1;
      now += DELAY_MICROS;
      for (let i = 0; i < count; i++) {
        const bytes = new Uint8Array(packetLength(batch, i));
        writePacket(batch, i, bytes, 0, icrc);
        const { source, destination } = batch.flow[i] as Flow;
        datagram.bytes = bytes;
        datagram.at = 0;
        datagram.length = bytes.length;
        Object.assign(datagram.source, source);
        Object.assign(datagram.destination, destination);
        (ends[1 - index] as End).nic.receive(datagram, now);
      }
      batch.reset();
    }
  }
  return now;
}

test('two NICs in memory exchange a SEND and a WRITE with nothing but the engine', () => {
  const ends = [createEnd('10.0.0.1', 1), createEnd('10.0.0.2', 2)] as const;
  const [a, b] = ends;
  bringUp(a, b);
  bringUp(b, a);

  const inbox = b.nic.regions.register(new Uint8Array(64), AccessFlags.LOCAL_WRITE, PD).region;
  b.qp.postRecv({ wrId: 1, sges: [{ mr: inbox }] });
  const rights = AccessFlags.LOCAL_WRITE | AccessFlags.REMOTE_WRITE;
  const { region: board, grant } = b.nic.regions.register(new Uint8Array(4096), rights, PD);
  assert.ok(grant);

  const text = new TextEncoder().encode('hello');
  const { SIGNALED } = SendFlags;
  a.qp.postSend({ wrId: 2, opcode: WrOpcode.SEND, flags: SIGNALED, inlineData: text });
  const page = a.nic.regions.register(new Uint8Array(4096).fill(7), 0, PD).region;
  const to = { remoteAddr: board.va, rkey: grant.rkey };
  a.qp.postSend({ wrId: 3, opcode: WrOpcode.RDMA_WRITE, flags: SIGNALED, sges: [{ mr: page }], ...to });
  assert.ok(exchange(ends, 0) > 0);

  const completions = createCompletions(4);
  const idsOf = ({ cq }: End): [number, number][] =>
    completions.slice(0, cq.poll(completions, 4)).map(({ wrId, status }) => [wrId, status]);
  assert.deepEqual(idsOf(a), [
    [2, WcStatus.SUCCESS],
    [3, WcStatus.SUCCESS],
  ]);
  assert.deepEqual(idsOf(b), [[1, WcStatus.SUCCESS]]);
  assert.deepEqual(inbox.bytes.subarray(0, text.length), text);
  assert.deepEqual(board.bytes, page.bytes);
});

test('the engine refuses what cannot be posted, in words, and posts nothing of it', () => {
  const { qp } = createEnd('10.0.0.1', 1);
  const send = { wrId: 1, opcode: WrOpcode.SEND };
  assert.throws(() => qp.postSend(send), /postSend needs a queue pair in RTS, this one is in RESET/);
  assert.throws(() => qp.postRecv({ wrId: 1 }), /postRecv needs a queue pair in INIT or later/);
  const ends = [createEnd('10.0.0.1', 1), createEnd('10.0.0.2', 2)] as const;
  const [a, b] = ends;
  bringUp(a, b);
  for (let i = 0; i < 8; i++) a.qp.postSend(send);
  assert.throws(() => a.qp.postSend(send), /the send queue holds 8 requests already/);
});
