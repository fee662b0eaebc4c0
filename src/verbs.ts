/**
 * `queuepair/verbs`: the verbs vocabulary and contract. What is exported here is a promise; test/package/exports.test.ts
 * has the list.
 */
export { AccessFlags } from './verbs/access-flags.js';
export type { AddressHandle, AddressVector } from './verbs/address-handle.js';
export type { AsyncEvent } from './verbs/async-event.js';
export {
  type LKey,
  PSN_MASK,
  type Psn,
  type QKey,
  QPN_MASK,
  type Qpn,
  type RKey,
  toPsn,
  toQKey,
  toQpn,
  toRKey,
} from './verbs/brands.js';
export {
  commonMtu,
  type OwnPath,
  PATH_DEFAULTS,
  type PathOptions,
  toInit,
  toRtr,
  toRts,
} from './verbs/bring-up.js';
export type {
  CompletionChannel,
  CompletionQueue,
  CompletionQueueOptions,
} from './verbs/completion-queue.js';
export {
  type CmAddress,
  type CmConnectRequest,
  type CmDatagramEvent,
  type CmDatagramLookup,
  type CmDatagramRequest,
  type CmDatagramService,
  type CmEvent,
  type CmId,
  type CmListener,
  type CmListenOptions,
  type CmParameters,
  type CmPath,
  type CmPeerParameters,
  type CmRequest,
  type CmService,
  type ConnectionManager,
  type ConnectionPortSpace,
  type OwnCmParameters,
  PortSpace,
  PrivateDataBytes,
} from './verbs/connection-manager.js';
export type {
  CloseOptions,
  Device,
  DeviceAttributes,
  DeviceCensus,
  GidEntry,
  PortAttributes,
  ProtectionDomain,
} from './verbs/device.js';
export {
  type PlainError,
  RdmaError,
  type RdmaErrorCode,
  type RdmaErrorOptions,
  type RdmaFault,
} from './verbs/errors.js';
export type { MemoryRegion } from './verbs/memory-region.js';
export type { MemoryWindow } from './verbs/memory-window.js';
export { activeMtuFor, PATH_MTUS, type PathMtu, ROCE_OVERHEAD_BYTES, toPathMtu } from './verbs/mtu.js';
export { type PeerPath, toPeerPath } from './verbs/peer-path.js';
export type { QpAttributes, QpCapacity, QpSnapshot } from './verbs/qp-attributes.js';
export { QpState, QpType, qpStateName, qpTypeName } from './verbs/qp-state.js';
export type {
  QueuePair,
  QueuePairEvent,
  QueuePairOptions,
  QueuePairProgress,
  SharedReceiveQueue,
  SharedReceiveQueueOptions,
} from './verbs/queue-pair.js';
export type { RefusalKind } from './verbs/refusal-kind.js';
export type { PlainRejection, Rejection } from './verbs/rejection.js';
export {
  createCompletions,
  statusName,
  WcFlags,
  WcOpcode,
  WcStatus,
  WorkCompletion,
} from './verbs/work-completion.js';
export {
  type ReceiveWorkRequest,
  SendFlags,
  type SendWorkRequest,
  type Sge,
  type WindowBinding,
  WrOpcode,
} from './verbs/work-request.js';
