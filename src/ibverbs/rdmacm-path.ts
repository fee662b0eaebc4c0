/**
 * From what the kernel agreed with a peer to the arguments of `toRtr` and `toRts`, and from a program's parameters to
 * those of the kernel.
 */
import type { RdmacmAddon } from '../native/rdmacm-addon.js';
import { CM_PARAMETERS } from '../native/rdmacm-addon.js';
import type { CmParameters, CmPath, CmPeerParameters } from '../verbs/connection-manager.js';
import type { QpSnapshot } from '../verbs/qp-attributes.js';
import { QpState, QpType } from '../verbs/qp-state.js';
import { newPlaces, readSnapshot } from './attribute-array.js';
import { ROCE_UDP_PORT } from './gid-table.js';
import type { KernelEvent, KernelId } from './rdmacm-channel.js';

const NO_CAPACITY = { maxSendWr: 0, maxRecvWr: 0, maxSendSge: 0, maxRecvSge: 0, maxInlineData: 0 };

/**
 * What a queue pair of this end needs, or a negative errno. `undefined` when the peer asks for what no queue pair can be:
 * a path MTU that does not exist, or a peer without an address.
 */
export async function readPath(id: KernelId): Promise<CmPath | number | undefined> {
  const steps: QpSnapshot[] = [];
  for (const state of [QpState.INIT, QpState.RTR, QpState.RTS]) {
    const places = newPlaces();
    const mask = await id.run((addon: RdmacmAddon, handle) => addon.initQpAttr(handle, state, places));
    if (mask < 0) return mask;
    steps.push(readSnapshot(places, QpType.RC, NO_CAPACITY));
  }
  const [init, rtr, rts] = steps;
  const { av, pathMtu, destQpn, rqPsn, maxDestRdAtomic = 0 } = rtr ?? {};
  const { sqPsn, maxRdAtomic = 0, timeout, retryCount, rnrRetry } = rts ?? {};
  if (av === undefined || pathMtu === undefined || destQpn === undefined) return undefined;
  if (rqPsn === undefined || sqPsn === undefined) return undefined;
  return {
    peer: {
      gid: av.dgid,
      udpPort: ROCE_UDP_PORT,
      qpn: destQpn,
      psn: rqPsn,
      mtu: pathMtu,
      rdAtomic: maxRdAtomic,
    },
    own: { psn: sqPsn, mtu: pathMtu, rdAtomic: maxDestRdAtomic, initiatorDepth: maxRdAtomic },
    options: {
      ...readOptions(av),
      ...present('port', init?.port),
      ...present('pkeyIndex', init?.pkeyIndex),
      ...present('timeout', timeout),
      ...present('retryCount', retryCount),
      ...present('rnrRetry', rnrRetry),
      // Not minRnrTimer: the kernel's would make a peer wait for 655 ms.
    },
  };
}

/** What an address vector says of the way. */
export const readOptions = ({ sgidIndex, trafficClass, flowLabel, hopLimit }: QpSnapshot['av'] & object) => ({
  ...present('gidIndex', sgidIndex),
  ...present('trafficClass', trafficClass),
  ...present('flowLabel', flowLabel),
  ...present('hopLimit', hopLimit),
});

/** What the peer said, with its private data at full size. */
export const peerParameters = (
  { parameters, privateData }: KernelEvent,
  bytes: number,
): CmPeerParameters => ({ ...parameters, privateData: padded(privateData, bytes) });

export function padded(bytes: Uint8Array, length: number): Uint8Array {
  const full = new Uint8Array(length);
  full.set(bytes.subarray(0, length));
  return full;
}

/** The numbers of `CM_PARAMETERS`. */
export const parameterNumbers = (parameters: CmParameters, qpn: number): Float64Array =>
  Float64Array.of(
    parameters.responderResources,
    parameters.initiatorDepth,
    parameters.flowControl ? 1 : 0,
    parameters.retryCount,
    parameters.rnrRetryCount,
    parameters.srq ? 1 : 0,
    qpn,
  );

/** Of a datagram service, which has no parameters. */
export const noParameters = (qpn: number): Float64Array => {
  const numbers = new Float64Array(CM_PARAMETERS);
  numbers[CM_PARAMETERS - 1] = qpn;
  return numbers;
};

function present<Name extends string, T>(name: Name, value: T | undefined): { readonly [K in Name]?: T } {
  return value === undefined ? {} : ({ [name]: value } as { readonly [K in Name]?: T });
}
