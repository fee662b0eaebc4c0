/**
 * One end of a pair of verbs peers: device, queues, one registered buffer, and a queue pair that is brought up with
 * what the other end said in its hello. PSNs travel through the orchestrator here, because it is the same machine and
 * the same user; connections exchange theirs over TLS.
 */
import { type Endpoint, openEndpoint } from '../../../src/endpoint/endpoint.js';
import { openDevice } from '../../../src/open-device.js';
import { Icrc } from '../../../src/roce/wire/icrc.js';
import { DgramPort } from '../../../src/soft/dgram-port.js';
import { SoftDevice } from '../../../src/soft/soft-device.js';
import { isSoftName, parseSoftName } from '../../../src/soft/soft-spec.js';
import { fastCrc32 } from '../../../src/soft/zlib-crc.js';
import { AccessFlags } from '../../../src/verbs/access-flags.js';
import { parseGid } from '../../../src/verbs/address.js';
import { type RKey, toRKey } from '../../../src/verbs/brands.js';
import type { Device } from '../../../src/verbs/device.js';
import type { MemoryRegion } from '../../../src/verbs/memory-region.js';
import { toPathMtu } from '../../../src/verbs/mtu.js';
import { toPeerPath } from '../../../src/verbs/peer-path.js';
import type { QueuePair } from '../../../src/verbs/queue-pair.js';
import { statusName, type WorkCompletion } from '../../../src/verbs/work-completion.js';
import type { VerbsConfig } from '../peer-protocol.js';
import type { PeerLink } from './peer.js';

const { REMOTE_READ, REMOTE_WRITE } = AccessFlags;
/** As short as a peer may ask for: receives are never missing for long. */
const MIN_RNR_TIMER = 1;

export interface VerbsEnd extends Pick<Endpoint, 'channel' | 'sendCq' | 'recvCq' | 'qp'> {
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
  const { bufferBytes, sends, receives, separateCqs } = needs;
  const endpoint = await openEndpoint(await openBenchDevice(config), {
    capacity: { maxSendWr: sends, maxRecvWr: receives, maxSendSge: 1, maxRecvSge: 1 },
    memory: bufferBytes,
    access: REMOTE_READ | REMOTE_WRITE,
    separateCqs,
    mtu: toPathMtu(config.mtu),
    path: { minRnrTimer: MIN_RNR_TIMER },
  });
  const { channel, sendCq, recvCq, qp, memory, address } = endpoint;
  prepare(qp, memory);
  const hello = await link.exchange({ ...address, addr: String(memory.addr), rkey: memory.rkey });
  await endpoint.connect(toPeerPath(hello));
  await link.ready();
  const remote = { remoteAddr: Number(hello['addr']), rkey: toRKey(Number(hello['rkey'])) };
  return { channel, sendCq, recvCq, qp, buffer: memory, ...remote };
}

/** What wire-cost asks for is put together here: no device name leaves out the ICRC. */
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
