/** `queuepair`: servers, clients and connections. */
export type { AuditListener, AuditRecord } from './connection/audit.js';
export type { Authorize, ClientTerms } from './connection/authorization.js';
export { type ConnectOptions, connect } from './connection/client.js';
export { Connection, type ConnectionStatistics, type SendOptions } from './connection/connection.js';
export { Grant, type GrantOptions } from './connection/grants.js';
export type { Message } from './connection/message-receiver.js';
export { RemoteBuffer } from './connection/remote-buffer.js';
export {
  type ConnectionHandler,
  type ListenOptions,
  listen,
  type Server,
  type ServerCensus,
  type ServerEvents,
} from './connection/server.js';
export { type ConnectionStep, StepName } from './connection/steps.js';
export { type DeviceListEntry, listDevices, openDevice } from './open-device.js';
export type { OpenDeviceOptions } from './verbs/device-provider.js';
export { RdmaError, type RdmaErrorCode, type RdmaFault } from './verbs/errors.js';
