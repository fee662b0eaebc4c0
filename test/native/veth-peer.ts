/**
 * One end of a reliable queue pair, in a process that a test starts inside a network namespace. Speaks with the test
 * over the IPC channel: says hello with what the other end needs, takes the other end's hello, and then does what it is
 * told: `write` transfers its buffer, `send` one short message, `state` asks for the port's, `forget` begins its
 * events anew.
 */
import { createHash } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import { openDevice } from '../../src/open-device.js';
import { AccessFlags } from '../../src/verbs/access-flags.js';
import { toPsn, toQpn, toRKey } from '../../src/verbs/brands.js';
import type { Device } from '../../src/verbs/device.js';
import { RdmaError } from '../../src/verbs/errors.js';
import { QpState } from '../../src/verbs/qp-state.js';
import { createCompletions, statusName } from '../../src/verbs/work-completion.js';
import { SendFlags, WrOpcode } from '../../src/verbs/work-request.js';

export interface Hello {
  readonly gid: string;
  readonly qpn: number;
  readonly addr: string;
  readonly rkey: number;
}

export type Order =
  | { readonly do: 'connect'; readonly peer: Hello }
  | { readonly do: 'send' | 'write' | 'report' | 'state' | 'forget' | 'end' };

export interface Report {
  readonly sha256: string;
  readonly counters: Readonly<Record<string, number>>;
  /** Of the port. */
  readonly events: readonly string[];
}

export const BUFFER_BYTES = 200_003;
const PSN = toPsn(0xffffc0);
const PATH_MTU = 1024;
const ADDRESS_MILLIS = 3000;

const address = process.argv[2] as string;
const device = await openWhenUp(`soft:${address}?io=${process.argv[3] ?? 'native'}&port=4791`);
const events: string[] = [];
device.onAsyncEvent((event) => 'port' in event && events.push(event.type));
const pd = await device.allocPd();
const channel = await device.createCompletionChannel();
const cq = await device.createCq({ capacity: 64, channel });
const qp = await pd.createQp({ sendCq: cq, recvCq: cq });
const buffer = new Uint8Array(BUFFER_BYTES);
const mr = await pd.regMr(buffer, AccessFlags.LOCAL_WRITE | AccessFlags.REMOTE_WRITE);
const inbox = await pd.regMr(new Uint8Array(64), AccessFlags.LOCAL_WRITE);
let peer: Hello | undefined;

/** An address of an interface that was made a moment ago may need another one. */
async function openWhenUp(name: string): Promise<Device> {
  const deadline = performance.now() + ADDRESS_MILLIS;
  for (;;) {
    try {
      return await openDevice(name);
    } catch (error) {
      const isAddress = error instanceof RdmaError && error.code === 'ERR_RDMA_ADDRESS';
      if (!isAddress || performance.now() > deadline) throw error;
      await setTimeout(20);
    }
  }
}

async function connect(hello: Hello): Promise<void> {
  peer = hello;
  await qp.modify({ state: QpState.INIT, pkeyIndex: 0, port: 1, accessFlags: AccessFlags.REMOTE_WRITE });
  await qp.modify({
    state: QpState.RTR,
    av: { dgid: hello.gid },
    pathMtu: PATH_MTU,
    destQpn: toQpn(hello.qpn),
    rqPsn: PSN,
    maxDestRdAtomic: 1,
    minRnrTimer: 12,
  });
  await qp.modify({
    state: QpState.RTS,
    sqPsn: PSN,
    // 0.5 s: a link that was made a moment ago may not know its neighbour for a second.
    timeout: 17,
    retryCount: 7,
    rnrRetry: 7,
    maxRdAtomic: 1,
  });
  qp.postRecv({ wrId: 99, sges: [{ mr: inbox }] });
}

async function transfer(kind: 'send' | 'write'): Promise<void> {
  const { addr, rkey } = peer as Hello;
  const flags = SendFlags.SIGNALED;
  if (kind === 'send') {
    qp.postSend({ wrId: 1, opcode: WrOpcode.SEND, flags, sges: [{ mr, offset: 0, length: 5 }] });
  } else {
    for (let i = 0; i < BUFFER_BYTES; i++) buffer[i] = i * 31 + (i >>> 8);
    const remote = { remoteAddr: BigInt(addr), rkey: toRKey(rkey) };
    qp.postSend({ wrId: 1, opcode: WrOpcode.RDMA_WRITE, flags, sges: [{ mr }], ...remote });
  }
  const [wc] = createCompletions(1);
  if (wc === undefined) return;
  for (;;) {
    cq.reqNotify();
    if (cq.poll([wc]) === 0) await channel.next();
    else if (wc.wrId === 1) break;
  }
  if (wc.status !== 0) throw new Error(`the ${kind} ended with ${statusName(wc.status)}`);
}

async function end(): Promise<void> {
  await qp.close();
  await cq.close();
  await channel.close();
  await mr.close();
  await inbox.close();
  await pd.close();
  await device.close();
  process.disconnect();
}

async function obey(order: Order): Promise<Report | string | null> {
  if (order.do === 'forget') events.length = 0;
  if (order.do === 'state') return (await device.queryPort()).state;
  if (order.do === 'connect') await connect(order.peer);
  else if (order.do === 'end') await end();
  else if (order.do === 'send' || order.do === 'write') await transfer(order.do);
  if (order.do !== 'report') return null;
  const sha256 = createHash('sha256').update(buffer).digest('hex');
  return { sha256, counters: device.counters(), events };
}

process.on('message', (order: Order) => {
  void obey(order).then((report) => process.connected && process.send?.(report));
});
const gid = (await device.queryGids())[0]?.gid as string;
process.send?.({ gid, qpn: qp.qpn, addr: String(mr.addr), rkey: mr.rkey } satisfies Hello);
