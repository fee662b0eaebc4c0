/** The steps of a connection that goes well from its beginning to an orderly end, as either side must report them. */
import { StepName } from '../src/connection/common/steps.js';

const UP = [
  StepName.TLS,
  StepName.PSN_EXCHANGED,
  StepName.OBJECTS_CREATED,
  StepName.PARAMETERS_EXCHANGED,
  StepName.INIT,
  StepName.RTR,
  StepName.RTS,
  StepName.RECEIVES_POSTED,
  StepName.READY,
];
const DOWN = [
  StepName.MEMORY_DEREGISTERED,
  StepName.QP_DESTROYED,
  StepName.CQS_DESTROYED,
  StepName.PD_DEALLOCATED,
  StepName.TLS_CLOSED,
];

export const CLIENT_STEPS: readonly StepName[] = [...UP, ...DOWN];
export const SERVER_STEPS: readonly StepName[] = [...UP, StepName.QUIT, ...DOWN, StepName.SLOT_FREED];
