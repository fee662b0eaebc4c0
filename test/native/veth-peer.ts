/**
 * One end of a reliable queue pair, in a process that a test starts inside a network namespace. Speaks with the test
 * over the IPC channel: says hello with what the other end needs, takes the other end's hello, and then does what it is
 * told: `write` transfers its buffer, `touch` a few bytes of it many times, `send` one short message, `state` asks for the port's, `forget` begins its
 * events anew.
 */
import { createHash } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import { openEndpoint } from '../../src/endpoint/endpoint.js';
import { openDevice } from '../../src/open-device.js';
import { AccessFlags } from '../../src/verbs/access-flags.js';
import { toPsn, toQpn, toRKey } from '../../src/verbs/brands.js';
import type { Device } from '../../src/verbs/device.js';
import { RdmaError } from '../../src/verbs/errors.js';
import { SendFlags, WrOpcode } from '../../src/verbs/work-request.js';

export interface Hello {
  readonly gid: string;
  readonly qpn: number;
  readonly addr: string;
  readonly rkey: number;
}

export type Order =
  | { readonly do: 'connect'; readonly peer: Hello }
  | { readonly do: 'send' | 'write' | 'touch' | 'report' | 'state' | 'forget' | 'end' };

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
const TOUCHES = 1100;

const address = process.argv[2] as string;
const device = await openWhenUp(`soft:${address}?io=${process.argv[3] ?? 'native'}&port=4791`);
const events: string[] = [];
device.onAsyncEvent((event) => 'port' in event && events.push(event.type));
const endpoint = await openEndpoint(device, {
  memory: BUFFER_BYTES,
  access: AccessFlags.REMOTE_WRITE,
  psn: PSN,
  mtu: PATH_MTU,
  // 0.5 s: a link that was made a moment ago may not know its neighbour for a second.
  path: { timeout: 17 },
});
const { qp, memory: mr } = endpoint;
const buffer = mr.bytes;
const inbox = await endpoint.register(64);
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
  const { gid, qpn } = hello;
  // Both ends are alike, but for where they are.
  await endpoint.connect({ ...endpoint.address, gid, qpn: toQpn(qpn) });
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
  let isDone = false;
  await endpoint.until(
    () => isDone,
    ({ wrId }) => {
      isDone ||= wrId === 1;
    },
  );
}

/** So many WRITEs that the peer gets a socket of its own. */
async function touch(): Promise<void> {
  const { addr, rkey } = peer as Hello;
  let done = 0;
  for (let posted = 0; posted < TOUCHES; ) {
    const remote = { remoteAddr: BigInt(addr), rkey: toRKey(rkey) };
    qp.postSend({
      wrId: 2,
      opcode: WrOpcode.RDMA_WRITE,
      flags: SendFlags.SIGNALED,
      sges: [{ mr, offset: 0, length: 5 }],
      ...remote,
    });
    posted++;
    await endpoint.until(
      () => done === posted,
      ({ wrId }) => {
        if (wrId === 2) done++;
      },
    );
  }
}

async function end(): Promise<void> {
  await endpoint.close();
  await device.close();
  process.disconnect();
}

async function obey(order: Order): Promise<Report | string | null> {
  if (order.do === 'forget') events.length = 0;
  if (order.do === 'state') return (await device.queryPort()).state;
  if (order.do === 'connect') await connect(order.peer);
  else if (order.do === 'end') await end();
  else if (order.do === 'touch') await touch();
  else if (order.do === 'send' || order.do === 'write') await transfer(order.do);
  if (order.do !== 'report') return null;
  const sha256 = createHash('sha256').update(buffer).digest('hex');
  return { sha256, counters: device.counters(), events };
}

process.on('message', (order: Order) => {
  void obey(order).then((report) => process.connected && process.send?.(report));
});
const { gid, qpn } = endpoint.address;
process.send?.({ gid, qpn, addr: String(mr.addr), rkey: mr.rkey } satisfies Hello);
