/**
 * Numbers of connections that no program can choose. One object, because the simulation of connections puts others in their
 * place (testkit/near-wraps.ts), as it does with clocks and random numbers: counters that begin just below their wrap then
 * wrap in every run. Both ends of a connection must have the same ones.
 */
export const FIXED_NUMBERS = {
  /** Where counting begins. */
  first: {
    /** Fragments of a direction, modulo 2^32. */
    fragment: 0,
    /** Cost of the messages of a direction, modulo 2^32. */
    messageCost: 0,
    /** Bytes of a direction of a stream, modulo 2^32. */
    streamByte: 0,
    /** The number below that of the first stream. */
    stream: 0,
    /** Pieces that were sealed with a key. */
    sealedPiece: 0,
    /** Requests for sealed memory, modulo 2^32. */
    sealedRequest: 0,
  },
  /** Shorter chunks of streams are not worth a registration of their own (docs/streams.md says what it costs). */
  lentChunkBytes: 128 * 1024,
};
