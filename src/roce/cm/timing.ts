/** How long the communication manager waits for what, in milliseconds. docs/cm.md gives the reasons. */

/** Between two REQs, DREQs or SIDR_REQs. */
export const REPEAT_MILLIS = 1000;
/** What a peer's own times become at least and at most: a REP goes out no faster, and nobody waits longer for an MRA. */
export const SHORTEST_REPEAT_MILLIS = 50;
export const LONGEST_SERVICE_MILLIS = 30_000;
/**
 * A REP goes out again so often until its peer was heard, each time after twice as long, and this long at most: whoever asks
 * in the name of somebody else must not make this host speak to them much.
 */
export const UNHEARD_REPEATS = 4;
export const LONGEST_REPEAT_MILLIS = 4000;
/** Codes in a REQ: 4.1 s for an answer, and as many repetitions as Linux asks for. */
export const RESPONSE_TIMEOUT = 20;
export const MAX_CM_RETRIES = 15;
/** The patience that an MRA asks for: 8.2 s. */
export const MRA_SERVICE_TIMEOUT = 21;
/** The program has this long to answer a request, and the peer to be heard after the REP. */
export const REQUEST_MILLIS = 120_000;
/** The program has this long to bring its queue pair up after a REP. */
export const RESPONSE_MILLIS = 60_000;
/** A datagram lookup is given up by the peer long before. */
export const LOOKUP_MILLIS = 30_000;
/** An answered lookup is kept for its repetition: Linux asks again after 4.1 s, and two answers may get lost. */
export const ANSWERED_MILLIS = 10_000;
export const DISCONNECT_TRIES = 5;
/** A peer that is said to have forgotten a connection is asked so often. */
export const DOUBT_TRIES = 4;
/** After the end, at least and at most; between them the time of the path. */
export const SHORTEST_TIMEWAIT_MILLIS = 2048;
export const LONGEST_TIMEWAIT_MILLIS = 8192;
/** Code of a packet's life on a path whose program says nothing: 0.27 s, as newer kernels have it. */
export const PACKET_LIFETIME = 16;
