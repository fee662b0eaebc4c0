/**
 * `queuepair`: servers, clients and connections. What is exported here is a promise; test/package/exports.test.ts has
 * the list.
 */

export { connect } from './connection/client/client.js';
export { reconnecting } from './connection/client/reconnecting.js';
export type { Logger } from './connection/common/logger.js';
export { type ConnectionStep, StepName } from './connection/common/steps.js';
export type { SessionState } from './connection/lifeline/connection-life.js';
export { RemoteBuffer } from './connection/memory/remote-buffer.js';
export type { Message } from './connection/messages/message-inbox.js';
export type {
  AuditEvent,
  AuditListener,
  AuditRecord,
  AuditSubject,
} from './connection/options/audit-record.js';
export type { ConnectOptions } from './connection/options/connect-options.js';
export type { ListenOptions } from './connection/options/listen-options.js';
export type { Pem, PemSource } from './connection/options/pem.js';
export type { ServerAddress } from './connection/options/server-address.js';
export type { ServiceResolver } from './connection/options/service-records.js';
export type { CallOptions, OneSidedOptions, SendOptions } from './connection/program/call-options.js';
export type {
  Connection,
  ConnectionQueuePair,
  ConnectionStatistics,
} from './connection/program/connection.js';
export type { ConnectionEvents } from './connection/program/connection-events.js';
export type { ConnectionStream, OpenStreamOptions } from './connection/program/connection-stream.js';
export type { Grant, GrantOptions } from './connection/program/grant.js';
export type { ConnectionHandler } from './connection/program/handler.js';
export type { SendQueue } from './connection/program/send-queue.js';
export type { WorkerLoss } from './connection/program/serving-host.js';
export type { WorkerDevice, WorkerStatus } from './connection/program/worker-status.js';
export type { ClientRates, TrafficRate } from './connection/rates/client-rates.js';
export type { RateStatistics, Throttled } from './connection/rates/identity-rates.js';
export type { ThrottledCounts } from './connection/rates/shared-rates.js';
export { listen, type Server, type ServerCensus } from './connection/server/server.js';
export type { ServerEvents } from './connection/server/server-events.js';
export type { SlotUse } from './connection/server/slots.js';
export type { Authorize, ClientTerms } from './connection/terms/client-terms.js';
export type {
  CommonOptions,
  DataPathOptions,
  LifelineKind,
  MemoryRights,
  StreamOptions,
} from './connection/terms/options.js';
export type { ConnectionPathOptions } from './connection/terms/path-options.js';
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
