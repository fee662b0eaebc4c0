/** All faults that are planted. */
import type { Fault } from './fault.js';
import { ADMISSION_FAULTS } from './faults/admission.js';
import { BRIEF_FAULTS } from './faults/brief.js';
import { CM_FAULTS } from './faults/cm.js';
import { CONNECTION_FAULTS } from './faults/connection.js';
import { ENGINE_FAULTS } from './faults/engine.js';
import { ERROR_FAULTS } from './faults/errors.js';
import { FRAME_FAULTS } from './faults/frames.js';
import { LIFELINE_FAULTS } from './faults/lifeline.js';
import { MEETING_FAULTS } from './faults/meetings.js';
import { MEMORY_FAULTS } from './faults/memory.js';
import { MESSAGE_FAULTS } from './faults/messages.js';
import { NET_SOCKET_FAULTS } from './faults/net-sockets.js';
import { NVME_FAULTS } from './faults/nvme.js';
import { OTHER_SERVICE_FAULTS } from './faults/other-services.js';
import { PROGRAM_STREAM_FAULTS } from './faults/program-streams.js';
import { PROOF_FAULTS } from './faults/proof.js';
import { RATE_FAULTS } from './faults/rates.js';
import { RDMACM_FAULTS } from './faults/rdmacm.js';
import { RECOVERY_FAULTS } from './faults/recovery.js';
import { REQUESTER_FAULTS } from './faults/requester.js';
import { RESPONDER_FAULTS } from './faults/responder.js';
import { RESPONDER_MEMORY_FAULTS } from './faults/responder-memory.js';
import { RING_FAULTS } from './faults/rings.js';
import { RSOCKET_FAULTS } from './faults/rsocket.js';
import { SEALING_FAULTS } from './faults/sealing.js';
import { SESSION_FAULTS } from './faults/session.js';
import { SESSION_PROOF_FAULTS } from './faults/session-proof.js';
import { SIMULATED_FAULTS } from './faults/simulated.js';
import { SOFT_FAULTS } from './faults/soft.js';
import { STREAM_FAULTS } from './faults/streams.js';
import { TLS_FAULTS } from './faults/tls.js';
import { WORKER_FAULTS } from './faults/workers.js';

export const FAULTS: readonly Fault[] = [
  ...REQUESTER_FAULTS,
  ...RESPONDER_FAULTS,
  ...RESPONDER_MEMORY_FAULTS,
  ...OTHER_SERVICE_FAULTS,
  ...ENGINE_FAULTS,
  ...CM_FAULTS,
  ...MEETING_FAULTS,
  ...SOFT_FAULTS,
  ...RING_FAULTS,
  ...RDMACM_FAULTS,
  ...CONNECTION_FAULTS,
  ...RATE_FAULTS,
  ...MESSAGE_FAULTS,
  ...MEMORY_FAULTS,
  ...ADMISSION_FAULTS,
  ...STREAM_FAULTS,
  ...PROGRAM_STREAM_FAULTS,
  ...PROOF_FAULTS,
  ...LIFELINE_FAULTS,
  ...BRIEF_FAULTS,
  ...RECOVERY_FAULTS,
  ...SIMULATED_FAULTS,
  ...SESSION_FAULTS,
  ...FRAME_FAULTS,
  ...SESSION_PROOF_FAULTS,
  ...TLS_FAULTS,
  ...ERROR_FAULTS,
  ...SEALING_FAULTS,
  ...RSOCKET_FAULTS,
  ...NET_SOCKET_FAULTS,
  ...NVME_FAULTS,
  ...WORKER_FAULTS,
];
