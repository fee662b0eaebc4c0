/** What an end says of itself when the two meet: the path to its queue pair, and its terms. */
import type { SessionParameters } from '../../session/session-data.js';
import { MAX_WINDOW_BYTES } from '../../session/terms.js';
import type { Device, PortAttributes } from '../../verbs/device.js';
import { ownGid } from '../../verbs/gid-choice.js';
import type { DataPathLimits } from '../terms/options.js';
import { type ConnectionResources, firstReceives } from './resources.js';
import { RD_ATOMIC_DEPTH } from './transitions.js';

export interface OwnEnd {
  readonly device: Device;
  readonly port: PortAttributes;
  readonly limits: DataPathLimits;
  readonly resources: ConnectionResources;
  /** Number of the fragment that this side expects next. */
  readonly received: number;
  /** Streams that the peer may have open. */
  readonly openStreams: number;
}

/**
 * `reachedAt`: the address at which the peer reaches this machine; its GID is told where the device has that.
 *
 * @throws RdmaError of the verbs.
 */
export async function ownParameters(end: OwnEnd, reachedAt: string): Promise<SessionParameters> {
  const { device, port, limits, resources, received, openStreams } = end;
  const { qp, bufferMr } = resources;
  const { port: portNumber, gidIndex: index, mtu = port.activeMtu } = limits.path;
  const { gid } = await ownGid(device, reachedAt, portNumber, index);
  const path = {
    qpn: qp.qpn,
    gid,
    lid: port.lid,
    udpPort: port.udpPort,
    mtu: mtu < port.activeMtu ? mtu : port.activeMtu,
    rdAtomic: RD_ATOMIC_DEPTH,
  };
  const terms = {
    receive: { slots: firstReceives(limits), slotBytes: limits.slotBytes },
    messages: { maxBytes: limits.maxMessageBytes, windowBytes: messageWindow(limits) },
    streams: { open: openStreams, windowBytes: limits.streams.windowBytes },
    buffer: bufferMr === null ? null : { addr: bufferMr.addr, rkey: bufferMr.rkey, length: bufferMr.length },
    received,
    ...(limits.encryption === undefined ? {} : { encryption: limits.encryption }),
    ...(limits.lifeline === 'brief' ? { brief: { noticeMillis: limits.noticeMillis } } : {}),
    device: device.name.slice(0, 64),
  };
  return { path, terms };
}

/** Cost of the messages that may wait for the program. */
export const messageWindow = ({ receiveSlots, slotBytes }: DataPathLimits): number =>
  Math.min(MAX_WINDOW_BYTES, receiveSlots * slotBytes);
