/** Judges of the faults of a room that name none of their own, in the order in which they are asked. */
import type { Judge } from './fault.js';

export const CONNECTION_JUDGES: readonly Judge[] = [
  'test/connection/message-flow',
  'test/connection/connection',
  'test/connection/bad-input',
  'test/connection/encryption',
  'fuzz:messages',
];

export const SESSION_JUDGES: readonly Judge[] = [
  'test/session/corners',
  'test/session/handshake',
  'test/session/frames',
  'test/session/frame-decoder',
  'test/session/connect-gate',
  'test/session/client-credentials',
  'test/session/peer-identity',
  'test/session/tls-errors',
  'test/session/control-channel',
  'test/session/tls-client',
  'test/session/tls-refusal',
  'test/session/establish-session',
];

export const ADMISSION_JUDGES: readonly Judge[] = [
  'test/connection/admission',
  'test/connection/authorization',
  'test/connection/refusal-kinds',
  'test/connection/draining',
  'test/connection/recovery',
];
