/**
 * `queuepair/cm`: meeting peers by rdma_cm, as every RDMA program does. It authenticates nobody and hides nothing; the
 * connections of `queuepair` itself do.
 */
export { CmConnection, type CmEnding } from './cm/cm-connection.js';
export { CmIncoming, CmServer, listen } from './cm/cm-server.js';
export {
  type ConnectedEndpoint,
  connect,
  connectEndpoint,
} from './cm/connect.js';
export {
  CmDatagramIncoming,
  CmDatagramServer,
  listenUd,
  RDMA_UDP_QKEY,
  resolveUd,
} from './cm/datagram-service.js';
export type { CmDepths } from './cm/meeting-queue-pair.js';
export type {
  CmAcceptOptions,
  CmConnectOptions,
  CmDatagramAcceptOptions,
  CmDatagramListenOptions,
  CmDatagramRejectOptions,
  CmDepthOptions,
  CmDisconnectOptions,
  CmListenOptions,
  CmNextOptions,
  CmPortSpace,
  CmQueuePair,
  CmRejectOptions,
  CmResolveOptions,
  CmServiceOptions,
  EndpointConnectOptions,
} from './cm/options.js';
export { openDevice } from './open-device.js';
export {
  type CmAddress,
  type CmDatagramService,
  type CmParameters,
  PrivateDataBytes,
  RejectReason,
} from './verbs/connection-manager.js';
export type { Rejection } from './verbs/rejection.js';
