/** What must hold of calls whose program does not wait for as long as it takes. */
import { RdmaError } from '../../../src/verbs/errors.js';
import { SimFailure } from '../failure.js';
import type { Marks } from '../marks.js';
import type { EndProgram } from './end-program.js';
import { isOwn, type Outcome, ROUNDING_MILLIS, type SendRecord, type Waited } from './records.js';
import type { Course, World } from './world.js';

/** What a call may take longer than its program waits: it has only to say so. */
const PROMPT_MILLIS = 0.1;
/** What a failed attempt to connect takes to free what it has made, beside its control verbs. */
const CLEAN_UP_MILLIS = 2500;
const CLEAN_UP_VERBS = 60;

type Asked = Pick<SendRecord, 'outcome' | 'waited'>;

/** Whether the program gave it up, with nothing of it under way: then nothing may come of it. */
export const wasTakenBack = (program: EndProgram, { outcome, waited }: Asked): boolean =>
  waited !== null &&
  ownError(program, outcome, waited) &&
  outcome?.error?.code !== 'ERR_RDMA_OUTCOME_UNKNOWN';

/** Whether nobody knows what came of it because its program gave it up. */
export const wasLeft = (program: EndProgram, { outcome, waited }: Asked): boolean =>
  waited !== null &&
  ownError(program, outcome, waited) &&
  outcome?.error?.code === 'ERR_RDMA_OUTCOME_UNKNOWN';

/** Whether it ended because its program did not wait any longer. */
function ownError(program: EndProgram, outcome: Outcome | undefined, waited: Waited): boolean {
  const error = outcome?.error ?? null;
  if (outcome === undefined || error === null || isByEnd(program, error)) return false;
  // The cause of a recovery may be a timeout as well.
  if (outcome.at < waited.endsAt - ROUNDING_MILLIS) return false;
  return isOwn(error.code === 'ERR_RDMA_OUTCOME_UNKNOWN' ? error.cause : error, waited);
}

/** Whether it is unknown, or failed, because the connection ended. */
export function isByEnd({ end }: EndProgram, error: RdmaError): boolean {
  if (end === undefined) return false;
  const isUnknown = error.code === 'ERR_RDMA_OUTCOME_UNKNOWN';
  if (!isUnknown) return error === end.error;
  const { cause } = error;
  return cause === end.error || (cause instanceof RdmaError && cause.code === 'ERR_RDMA_CLOSED');
}

export function verifyPatience(program: EndProgram, marks: Marks): void {
  for (const { number, outcome, waited } of program.sends) {
    const error = outcome?.error ?? null;
    if (error?.code !== 'ERR_RDMA_OUTCOME_UNKNOWN') continue;
    if (waited === null && !isByEnd(program, error))
      throw new SimFailure(
        'truth',
        `${program.name}: message ${number} is unknown, but nobody gave it up or ended the connection`,
      );
  }
  for (const record of program.sends) verifyPrompt(program, record, 'send', marks);
  for (const record of program.oneSided) verifyPrompt(program, record, record.kind, marks);
}

function verifyPrompt(
  program: EndProgram,
  { number, outcome, waited }: Asked & { readonly number: number },
  kind: 'send' | 'write' | 'read',
  marks: Marks,
): void {
  if (outcome === undefined) return;
  const what = `${program.name}: ${kind} ${number}`;
  const { error } = outcome;
  const isOther = waited === null || !ownError(program, outcome, waited);
  const saysSo = error?.code === 'ERR_RDMA_TIMEOUT' || error?.code === 'ERR_RDMA_ABORTED';
  if (isOther && saysSo && error !== program.end?.error)
    throw new SimFailure('patience', `${what} did not wait for as long as it should: ${error.stack}`);
  if (waited === null) return;
  if (outcome.at > waited.endsAt + ROUNDING_MILLIS + PROMPT_MILLIS)
    throw new SimFailure('patience', `${what} ended ${outcome.at - waited.endsAt} ms too late`);
  if (!isOther) marks.hit(`${kind} given up: ${error?.code}`);
}

/** A client that no longer wants to connect, or may not take longer. */
export function verifyConnect({ scenario, marks }: World, { connecting, number, plan }: Course): void {
  if (connecting === null) return;
  const { began, ended, error, waited } = connecting;
  const what = `client ${number}`;
  if (error?.code === 'ERR_RDMA_ABORTED' && (waited === null || !isOwn(error, waited)))
    throw new SimFailure('truth', `${what}: nobody aborted it, but ${error.stack}`);
  if (error?.code === 'ERR_RDMA_ABORTED') marks.hit('connect: given up');
  const slack = CLEAN_UP_MILLIS + CLEAN_UP_VERBS * scenario.verbMillis;
  const deadline = began + plan.client.handshakeDeadlineMillis + slack;
  if (ended > deadline) throw new SimFailure('patience', `${what} connected ${ended - deadline} ms too long`);
  if (waited === null || ended < waited.endsAt) return;
  if (ended > waited.endsAt + slack)
    throw new SimFailure('patience', `${what} went on connecting after it was aborted`);
  if (error === null && ended > waited.endsAt + PROMPT_MILLIS)
    throw new SimFailure('patience', `${what} was connected after it was aborted`);
}
