/**
 * From a control channel to a connection: PSN exchange, objects, parameters, transitions, receives, ready. Whatever
 * fails on the way, everything that was made is freed before the error is thrown.
 */
import type { ControlChannel } from '../session/control-channel.js';
import { establishSession } from '../session/establish-session.js';
import type { SessionParameters } from '../session/frames.js';
import type { SessionAttributes } from '../session/handshake.js';
import { generatePsn } from '../session/psn-source.js';
import type { Device, PortAttributes } from '../verbs/device.js';
import { RdmaError } from '../verbs/errors.js';
import { Connection } from './connection.js';
import type { DataPathLimits } from './options.js';
import { ConnectionResources } from './resources.js';
import { StepName, type StepReporter } from './steps.js';
import { bringUp, RD_ATOMIC_DEPTH } from './transitions.js';

export interface EstablishOptions {
  readonly channel: ControlChannel;
  readonly device: Device;
  readonly limits: DataPathLimits;
  readonly reporter: StepReporter;
  readonly revealPsns: boolean;
}

/** @throws RdmaError why the session or a verbs call failed. */
export async function establish(options: EstablishOptions): Promise<Connection> {
  const { channel, device, limits, reporter } = options;
  const port = await device.queryPort();
  const psn = generatePsn();
  let resources: ConnectionResources | undefined;
  let connection: Connection | undefined;
  try {
    await establishSession(
      channel,
      {
        async createObjects() {
          reporter.report(StepName.PSN_EXCHANGED);
          resources = await ConnectionResources.create(device, limits, reporter);
          reporter.report(StepName.OBJECTS_CREATED, { qpn: resources.qp.qpn });
          return await describe(device, port, resources);
        },
        async transition(session) {
          const made = required(resources);
          reporter.report(StepName.PARAMETERS_EXCHANGED, describePeer(session, options.revealPsns));
          const own = { pathMtu: port.activeMtu, grantsMemory: made.bufferMr !== null };
          device.annotate(
            `connection ${reporter.connection}: QPN ${hex(made.qp.qpn)} at ${device.name}, ` +
              `QPN ${hex(session.peer.qpn)} at ${session.peer.gid}`,
          );
          await bringUp(made.qp, session, own, reporter);
          connection = new Connection(channel, made, session.peer, reporter);
          reporter.report(StepName.RECEIVES_POSTED, { receives: limits.receiveSlots });
        },
      },
      psn,
    );
  } catch (error) {
    await resources?.destroy();
    throw error;
  }
  reporter.report(StepName.READY);
  const established = required(connection);
  established.open();
  return established;
}

async function describe(
  device: Device,
  port: PortAttributes,
  resources: ConnectionResources,
): Promise<SessionParameters> {
  const gid = (await device.queryGids()).find(({ type }) => type === 'RoCE v2');
  if (gid === undefined) {
    throw new RdmaError(
      'ERR_RDMA_NO_DEVICE',
      `${device.name} has no RoCE v2 GID; give its port an IP address`,
    );
  }
  const { limits, bufferMr } = resources;
  return {
    qpn: resources.qp.qpn,
    gid: gid.gid,
    lid: port.lid,
    udpPort: port.udpPort,
    pathMtu: port.activeMtu,
    maxRdAtomic: RD_ATOMIC_DEPTH,
    maxDestRdAtomic: RD_ATOMIC_DEPTH,
    receive: { slots: limits.receiveSlots, slotBytes: limits.slotBytes },
    buffer:
      bufferMr === null
        ? null
        : { addr: bufferMr.addr.toString(16), rkey: bufferMr.rkey, length: bufferMr.length },
    device: device.name.slice(0, 64),
  };
}

function describePeer(session: SessionAttributes, revealPsns: boolean): Record<string, string | number> {
  const { peer } = session;
  const psns = revealPsns ? { localPsn: session.sqPsn, remotePsn: session.rqPsn } : {};
  return { peerQpn: peer.qpn, peerGid: peer.gid, peerUdpPort: peer.udpPort, ...psns };
}

const hex = (value: number): string => `0x${value.toString(16).padStart(6, '0')}`;

function required<T>(value: T | undefined): T {
  if (value === undefined)
    throw new RdmaError('ERR_RDMA_INVALID_STATE', 'a step of the session was left out');
  return value;
}
