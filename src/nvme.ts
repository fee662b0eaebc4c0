/**
 * `queuepair/nvme`: disks over NVMe over Fabrics. `serveNvme` serves blocks of a program, a file or memory to every NVMe host over RDMA, Linux's
 * among them; `connectNvme` uses the disks of any target. The protocol authenticates nobody and hides nothing.
 */
export type { NvmeBackend, NvmeWriteOptions } from './nvme/backend.js';
export { type FileBackend, type FileBackendOptions, fileBackend } from './nvme/backends/file-backend.js';
export { type MemoryBackendOptions, memoryBackend } from './nvme/backends/memory-backend.js';
export type { NvmeCallOptions, NvmeHostWriteOptions, NvmeNamespace } from './nvme/host/namespace.js';
export {
  connectNvme,
  discoverNvme,
  type NvmeController,
  type NvmeControllerEvents,
  type NvmeIdentity,
} from './nvme/host/nvme-host.js';
export type { ConnectNvmeOptions, DiscoverNvmeOptions, NvmeReconnectOptions } from './nvme/host/options.js';
export { type NvmeHost, NvmeTarget, type NvmeTargetEvents, serveNvme } from './nvme/target/nvme-target.js';
export type { NvmeSubsystemOptions, ServeNvmeOptions } from './nvme/target/options.js';
export type { DiscoveredSubsystem } from './nvme/wire/log-pages.js';
export { openDevice } from './open-device.js';
