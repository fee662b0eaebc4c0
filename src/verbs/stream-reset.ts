/** Why a peer reset a stream, as a word for programs. */
export const STREAM_RESETS = [
  /** Its program was done with the stream before its end: `destroy()`. */
  'cancelled',
  /** Its program gave up because of an error, or of its signal: `destroy(error)`. */
  'failed',
  /** Nobody there takes streams, or not any more. */
  'refused',
  /** A code that this version does not know. */
  'other',
] as const;

export type StreamReset = (typeof STREAM_RESETS)[number];
