/**
 * How two ends of an rsocket meet by rdma_cm: each says in its private data where the other may write. It authenticates
 * nobody and hides nothing (docs/threat-model.md).
 *
 * Invariant: a peer whose private data cannot be used is rejected, or left, before anything is posted for it.
 */
import type { CmConnection } from '../../cm/cm-connection.js';
import type { CmIncoming } from '../../cm/cm-server.js';
import { connect } from '../../cm/connect.js';
import type { Device } from '../../verbs/device.js';
import type { FaultCounts } from './fault-counts.js';
import { RsocketChannel } from './rsocket-channel.js';
import { RsocketMemory } from './rsocket-memory.js';
import type { RsocketOptions } from './rsocket-options.js';
import { readPrivateData, writePrivateData } from './wire/private-data.js';

/** 7 = for ever: messages that take no credit rely on it. */
const RETRIES = { retryCount: 7, rnrRetryCount: 7 };
/** Nobody reads, and there are no atomics. */
const DEPTHS = { responderResources: 0, initiatorDepth: 0 };

export interface RsocketTarget {
  readonly host: string;
  readonly port: number;
  readonly signal?: AbortSignal;
}

/** @throws RdmaError of `connect` of rdma_cm, and ERR_RDMA_PROTOCOL for a peer that is no rsocket. */
export async function connectRsocket(
  device: Device,
  target: RsocketTarget,
  options: RsocketOptions,
  faults: FaultCounts,
): Promise<RsocketChannel> {
  const memory = await RsocketMemory.open(device, options);
  let connection: CmConnection | undefined;
  try {
    const { udpPort, timeoutMillis } = options;
    connection = await connect(device, {
      ...target,
      ...RETRIES,
      ...DEPTHS,
      qp: memory.endpoint,
      privateData: writePrivateData(memory.terms),
      ...(udpPort === undefined ? {} : { udpPort }),
      ...(timeoutMillis === undefined ? {} : { timeoutMillis }),
    });
    const peer = readPrivateData(connection.privateData);
    if (typeof peer === 'string') throw faults.count(peer, target.host);
    return new RsocketChannel(memory, peer, connection, faults);
  } catch (error) {
    await connection?.disconnect();
    await memory.endpoint.close().catch(() => {});
    throw error;
  }
}

/** @throws RdmaError of `CmIncoming.accept`, and ERR_RDMA_PROTOCOL for a client that is no rsocket; it was rejected. */
export async function acceptRsocket(
  device: Device,
  request: CmIncoming,
  options: RsocketOptions,
  faults: FaultCounts,
  signal?: AbortSignal,
): Promise<RsocketChannel> {
  const peer = readPrivateData(request.privateData);
  if (typeof peer === 'string') {
    await request.reject();
    throw faults.count(peer, request.remote.host);
  }
  let memory: RsocketMemory;
  try {
    memory = await RsocketMemory.open(device, options);
  } catch (error) {
    await request.reject();
    throw error;
  }
  try {
    const privateData = writePrivateData(memory.terms);
    const connection = await request.accept({
      qp: memory.endpoint,
      privateData,
      ...DEPTHS,
      rnrRetryCount: 7,
      ...(signal === undefined ? {} : { signal }),
    });
    return new RsocketChannel(memory, peer, connection, faults);
  } catch (error) {
    await memory.endpoint.close().catch(() => {});
    throw error;
  }
}
