/**
 * `queuepair`: servers, clients and connections. What is exported here is a promise; test/package/exports.test.ts has
 * the list.
 */
export type { AuditEvent, AuditListener, AuditRecord, AuditSubject } from './connection/audit-record.js';
export type { CallOptions, OneSidedOptions, SendOptions } from './connection/call-options.js';
export { connect } from './connection/client.js';
export type { Authorize, ClientTerms } from './connection/client-terms.js';
export type { ConnectOptions } from './connection/connect-options.js';
export type {
  Connection,
  ConnectionQueuePair,
  ConnectionStatistics,
} from './connection/connection.js';
export type { ConnectionEvents } from './connection/connection-events.js';
export type { SessionState } from './connection/connection-life.js';
export type { ConnectionStream, OpenStreamOptions } from './connection/connection-stream.js';
export type { Grant, GrantOptions } from './connection/grant.js';
export type { ConnectionHandler } from './connection/handler.js';
export type { ListenOptions } from './connection/listen-options.js';
export type { Logger } from './connection/logger.js';
export type { Message } from './connection/message-inbox.js';
export type {
  CommonOptions,
  DataPathOptions,
  LifelineKind,
  MemoryRights,
  StreamOptions,
} from './connection/options.js';
export type { ConnectionPathOptions } from './connection/path-options.js';
export type { Pem, PemSource } from './connection/pem.js';
export type { ClientRates, TrafficRate } from './connection/rates/client-rates.js';
export type { RateStatistics, Throttled } from './connection/rates/identity-rates.js';
export type { ThrottledCounts } from './connection/rates/shared-rates.js';
export { reconnecting } from './connection/reconnecting.js';
export { RemoteBuffer } from './connection/remote-buffer.js';
export type { SendQueue } from './connection/send-queue.js';
export { listen, type Server, type ServerCensus } from './connection/server.js';
export type { ServerAddress } from './connection/server-address.js';
export type { ServerEvents } from './connection/server-events.js';
export type { ServiceResolver } from './connection/service-records.js';
export type { WorkerLoss } from './connection/serving-host.js';
export type { SlotUse } from './connection/slots.js';
export { type ConnectionStep, StepName } from './connection/steps.js';
export type { WorkerDevice, WorkerStatus } from './connection/workers/worker-status.js';
export { type DeviceListEntry, listDevices, openDevice } from './open-device.js';
export type { AdmissionLimits } from './session/connect-gate.js';
export type { PeerIdentity } from './session/peer-identity.js';
export type { TlsRefusal } from './session/tls-refusal.js';
export type { Device, DeviceCensus } from './verbs/device.js';
export type { OpenDeviceOptions } from './verbs/device-provider.js';
export {
  type ConnectAttempt,
  type PlainError,
  RdmaError,
  type RdmaErrorCode,
  type RdmaErrorOptions,
  type RdmaFault,
} from './verbs/errors.js';
export type { LostPackets } from './verbs/lost-packets.js';
export type { QueuePairProgress } from './verbs/queue-pair.js';
export { REFUSAL_KINDS, type RefusalKind } from './verbs/refusal-kind.js';
export type { PlainRejection, Rejection } from './verbs/rejection.js';
export type { StreamReset } from './verbs/stream-reset.js';
