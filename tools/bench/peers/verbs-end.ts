/**
 * One end of a pair of verbs peers: device, queues, one registered buffer, and a queue pair that is brought up with
 * what the other end said in its hello. PSNs travel through the orchestrator here, because it is the same machine and
 * the same user; connections exchange theirs over TLS.
 */
import { openDevice } from '../../../src/open-device.js';
import { Icrc } from '../../../src/roce/wire/icrc.js';
import { generatePsn } from '../../../src/session/psn-source.js';
import { DgramPort } from '../../../src/soft/dgram-port.js';
import { SoftDevice } from '../../../src/soft/soft-device.js';
import { isSoftName, parseSoftName } from '../../../src/soft/soft-spec.js';
import { fastCrc32 } from '../../../src/soft/zlib-crc.js';
import { AccessFlags } from '../../../src/verbs/access-flags.js';
import { parseGid } from '../../../src/verbs/address.js';
import { type RKey, toPsn, toQpn, toRKey } from '../../../src/verbs/brands.js';
import type { CompletionChannel, CompletionQueue } from '../../../src/verbs/completion-queue.js';
import type { Device } from '../../../src/verbs/device.js';
import { ownGid } from '../../../src/verbs/gid-choice.js';
import type { MemoryRegion } from '../../../src/verbs/memory-region.js';
import { toPathMtu } from '../../../src/verbs/mtu.js';
import { QpState } from '../../../src/verbs/qp-state.js';
import type { QueuePair } from '../../../src/verbs/queue-pair.js';
import { statusName, type WorkCompletion } from '../../../src/verbs/work-completion.js';
import type { VerbsConfig } from '../peer-protocol.js';
import type { PeerLink } from './peer.js';

const ACCESS = AccessFlags.LOCAL_WRITE | AccessFlags.REMOTE_READ | AccessFlags.REMOTE_WRITE;
const RD_ATOMIC_DEPTH = 16;

export interface VerbsEnd {
  readonly channel: CompletionChannel;
  /** The same queue, unless the workload wants them apart. */
  readonly sendCq: CompletionQueue;
  readonly recvCq: CompletionQueue;
  readonly qp: QueuePair;
  readonly buffer: MemoryRegion;
  /** The other end's buffer. */
  readonly remoteAddr: number;
  readonly rkey: RKey;
}

export interface EndNeeds {
  readonly bufferBytes: number;
  readonly sends: number;
  readonly receives: number;
  readonly separateCqs: boolean;
}

/** `prepare` posts the receives; it runs before the other end is told that this one is ready. */
export async function openEnd(
  config: VerbsConfig,
  needs: EndNeeds,
  link: PeerLink,
  prepare: (qp: QueuePair, buffer: MemoryRegion) => void,
): Promise<VerbsEnd> {
  const device = await openBenchDevice(config);
  const pd = await device.allocPd();
  const channel = await device.createCompletionChannel();
  const capacity = needs.sends + needs.receives;
  const sendCq = await device.createCq({ capacity, channel });
  const recvCq = needs.separateCqs ? await device.createCq({ capacity, channel }) : sendCq;
  const qp = await pd.createQp({
    sendCq,
    recvCq,
    capacity: { maxSendWr: needs.sends, maxRecvWr: needs.receives, maxSendSge: 1, maxRecvSge: 1 },
  });
  const buffer = await pd.regMr(new ArrayBuffer(needs.bufferBytes), ACCESS);
  const { peer, psn, mtu } = await introduce(config, device, qp, buffer, link);
  await qp.modify({ state: QpState.INIT, pkeyIndex: 0, port: 1, accessFlags: ACCESS });
  prepare(qp, buffer);
  await qp.modify({
    state: QpState.RTR,
    av: { dgid: String(peer['gid']), udpPort: Number(peer['udpPort']) },
    pathMtu: toPathMtu(mtu),
    destQpn: toQpn(Number(peer['qpn'])),
    rqPsn: toPsn(Number(peer['psn'])),
    maxDestRdAtomic: RD_ATOMIC_DEPTH,
    minRnrTimer: 1,
  });
  await qp.modify({
    state: QpState.RTS,
    sqPsn: psn,
    timeout: 14,
    retryCount: 7,
    rnrRetry: 7,
    maxRdAtomic: RD_ATOMIC_DEPTH,
  });
  await link.ready();
  const remote = { remoteAddr: Number(peer['addr']), rkey: toRKey(Number(peer['rkey'])) };
  return { channel, sendCq, recvCq, qp, buffer, ...remote };
}

async function introduce(
  config: VerbsConfig,
  device: Device,
  qp: QueuePair,
  buffer: MemoryRegion,
  link: PeerLink,
) {
  const { udpPort, activeMtu } = await device.queryPort();
  const { gid } = await ownGid(device);
  const psn = generatePsn();
  const own = { qpn: qp.qpn, psn, gid, udpPort, mtu: Math.min(activeMtu, config.mtu) };
  const peer = await link.exchange({ ...own, addr: String(buffer.addr), rkey: buffer.rkey });
  return { peer, psn, mtu: Math.min(own.mtu, Number(peer['mtu'])) };
}

/** What wire-cost asks for is put together here: no device name chooses a port or leaves out the ICRC. */
async function openBenchDevice({ device, port, icrc }: VerbsConfig): Promise<Device> {
  if (icrc && port !== 'dgram') return openDevice(device);
  if (!isSoftName(device)) throw new Error(`${device} has no choice of port or ICRC: only soft devices have`);
  if (port === 'native') throw new Error('the native port cannot leave out the ICRC');
  const spec = parseSoftName(device);
  const address = parseGid(spec.address);
  if (address === undefined) throw new Error(`'${spec.address}' is not an IP address`);
  address.port = spec.port ?? 0;
  const checksum = new Icrc(icrc ? fastCrc32 : () => 0);
  return new SoftDevice(await DgramPort.open(address, checksum), checksum);
}

/** @throws Error unless the first `count` completions are successes. */
export function checkCompletions(completions: readonly WorkCompletion[], count: number): void {
  for (let i = 0; i < count; i++) {
    const { status } = completions[i] as WorkCompletion;
    if (status !== 0) throw new Error(`a work request failed with ${statusName(status)}`);
  }
}
