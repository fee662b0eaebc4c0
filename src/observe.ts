/**
 * `queuepair/observe`: metrics, latencies and traces of servers and connections. What it needs of other packages it loads when it
 * is asked for it. docs/observability.md has the whole.
 */
export type {
  AdmittedNote,
  ClosedNote,
  ConnectNote,
  RecoveryNote,
  RefusedNote,
  StepNote,
  ThrottledNote,
} from './connection/program/diagnostics.js';
export type {
  ConnectionNote,
  ErrorNote,
  OperationKind,
  OperationNote,
} from './connection/program/operation-watch.js';
export { type Dashboard, type DashboardOptions, dashboard } from './observe/dashboard/dashboard.js';
export {
  type LatencyHistograms,
  type LatencyOptions,
  latencyHistograms,
} from './observe/latency-histograms.js';
export {
  type MetricsRegister,
  type ServerMetrics,
  type ServerMetricsOptions,
  serverMetrics,
} from './observe/server-metrics.js';
export { traceOperations } from './observe/tracing.js';
export { type DiagnosticsMessages, watch } from './observe/watching.js';
