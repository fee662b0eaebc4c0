/** What the codes of a RESET mean, on the wire and for programs. */
import { RdmaError } from '../../verbs/errors.js';
import type { StreamReset } from '../../verbs/stream-reset.js';

export const ResetCode = { CANCELLED: 0, FAILED: 1, REFUSED: 2 } as const;

export type ResetCode = (typeof ResetCode)[keyof typeof ResetCode];

const NAMES: readonly StreamReset[] = ['cancelled', 'failed', 'refused'];
const WHY: Readonly<Record<StreamReset, string>> = {
  cancelled: 'its program was done with it before its end',
  failed: 'its program gave it up because of an error',
  refused: 'nobody there takes streams',
  other: 'it does not say why in a way that is known here',
};

/** What the reader and the writer of a stream get that the peer has reset. */
export function resetByPeer(code: number): RdmaError {
  const reset = NAMES[code] ?? 'other';
  return new RdmaError('ERR_RDMA_STREAM_RESET', `the peer reset the stream: ${WHY[reset]}`, { reset });
}
