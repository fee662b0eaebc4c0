/**
 * Cases of the connection manager of devices of the operating system, over a libibverbs without hardware (no-op-verbs.c) and a
 * librdmacm without a kernel (rdmacm-stand-in.c). Each case is a process of its own, because a library is loaded once.
 * What a kernel does is tested in the lab.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadAddon } from '../../../src/native/addon.js';
import { compileRdmacmStandIn } from '../../../testkit/rdmacm-stand-in.js';
import { compileNoOp } from '../../../tools/verbs-cost/no-op-library.js';

export const OPEN_DEVICE = new URL('../../../src/open-device.js', import.meta.url).href;
export const CM = new URL('../../../src/cm.js', import.meta.url).href;
const folder = mkdtempSync(join(tmpdir(), 'queuepair-rdmacm-'));
// Not `after`: where several test files share a process it runs when those of the first are over.
process.once('exit', () => rmSync(folder, { recursive: true }));

const addon = loadAddon();
const verbs = join(folder, 'libverbs.so');
const rdmacm = join(folder, 'librdmacm.so');
/** Why cases cannot run here, or false. */
export const missing =
  typeof addon === 'string'
    ? addon
    : addon.rdmacm.available
      ? (compileNoOp(verbs, 'library') ?? compileRdmacmStandIn(rdmacm) ?? false)
      : 'built without rdma_cma.h';
const STAND_INS = { QUEUEPAIR_LIBIBVERBS: verbs, QUEUEPAIR_LIBRDMACM: rdmacm };

/** From when its modules are loaded. */
const HANGING_MILLIS = 6000;

/**
 * What every case has: the device, its manager, parameters, `meet` (a client and what it hears), `serve` (a listener with
 * its requests) and `next`, which takes the oldest of what was heard, or waits for it.
 */
const PRELUDE = `
  const fail = (run) => run.then(() => 'no error', ({ code, message }) => ({ code, message }));
  const device = await openDevice('noop0');
  const manager = await device.connectionManager();
  const text = (bytes) => Buffer.from(bytes).toString('latin1').replace(/\\0+$/, '');
  const own = (more = {}) => ({ qpn: 0x11, responderResources: 7, initiatorDepth: 9, retryCount: 5, rnrRetryCount: 4,
    flowControl: true, srq: false, privateData: new Uint8Array(), ...more });
  class Heard {
    items = []; waiting = [];
    add = (item) => { const waiter = this.waiting.shift(); if (waiter) waiter(item); else this.items.push(item); };
    next = () => this.items.length > 0 ? Promise.resolve(this.items.shift()) : new Promise((resolve) => this.waiting.push(resolve));
  }
  const meet = (port, more = {}, host = '192.0.2.1') => {
    const heard = new Heard();
    const id = manager.connect({ remote: { host, port }, timeoutMillis: 5000, ...own(more) }, (event) => heard.add(event));
    return { id, next: heard.next, heard: heard.items };
  };
  const serve = async (port = 0, options = {}) => {
    const heard = new Heard();
    const listener = await manager.listen({ host: '192.0.2.1', port, backlog: 8, ...options }, heard.add);
    return { listener, port: listener.address.port, next: heard.next, heard: heard.items };
  };
  const follow = (request) => { const heard = new Heard(); request.onEvent(heard.add); return heard; };
  const plain = (event) => ({ ...event, ...(event.error ? { error: { code: event.error.code, message: event.error.message } } : {}),
    ...(event.privateData ? { privateData: [text(event.privateData), event.privateData.length] } : {}) });`;

/** Runs `code` in a process; its last value is returned. */
export function play(code: string, environment: NodeJS.ProcessEnv = {}, prelude = PRELUDE): unknown {
  const program = `const { openDevice } = await import('${OPEN_DEVICE}');
    setTimeout(() => { console.error('the case hangs'); process.exit(1); }, ${HANGING_MILLIS}).unref();
    ${prelude}
    const result = await (async () => { ${code} })();
    process.stdout.write(JSON.stringify(result ?? null));`;
  const { stdout, stderr, status } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
    env: { ...process.env, ...STAND_INS, ...environment },
    timeout: 20_000,
  });
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout);
}

export interface Told {
  readonly code: string;
  readonly message: string;
}
