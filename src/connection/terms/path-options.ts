/**
 * How the packets of a connection travel, and how long its queue pair waits for the peer: options, their defaults, and
 * what they become.
 *
 * The defaults of `timeout` and `retryCount` make a queue pair wait 2.1 s for an answer. A peer that stands still for
 * less (a paused process, a container that used up its share of the processor, a debugger, a virtual machine that
 * moves) costs nothing but time then: with 14, which many programs use, 0.54 s end the queue pair, and every write that
 * was under way has an unknown outcome. Dead peers are found by the session, not by the queue pair; and a lost packet
 * seldom waits for this timeout on the soft device, which asks after an answer that is late.
 */
import type { PathOptions } from '../../verbs/bring-up.js';
import type { PathMtu } from '../../verbs/mtu.js';

/** For 4.096 µs × 2^timeout the default is 16, which is 268 ms. */
export interface ConnectionPathOptions
  extends Pick<
    PathOptions,
    'port' | 'gidIndex' | 'trafficClass' | 'flowLabel' | 'hopLimit' | 'timeout' | 'retryCount' | 'minRnrTimer'
  > {
  /**
   * `'session'`: the peer's GID must be the address of its end of the session. `'any'`: its device may have another
   * address, as when the session runs over another network. Loopback addresses count as one. Default `'session'`.
   */
  readonly peerAddress?: 'session' | 'any';
  /** Largest payload of a packet; the smaller one of both ends counts. Default: what the port allows. */
  readonly mtu?: PathMtu;
}

export type PathSettings = PathOptions &
  Required<Pick<ConnectionPathOptions, 'port' | 'peerAddress' | 'timeout' | 'retryCount'>> &
  Pick<ConnectionPathOptions, 'mtu'>;

/** RNR retries go on for ever: flow control keeps messages from coming without a receive. */
const DEFAULTS: PathSettings = { port: 1, timeout: 16, retryCount: 7, rnrRetry: 7, peerAddress: 'session' };

/** What a program that is slow to take its messages is given in any case. */
const SHORTEST_QUIT_MILLIS = 1500;
/** A queue pair that waits for longer than this, or for ever, does not keep a program from its end. */
const LONGEST_QUIT_MILLIS = 30_000;
/** Between the end of the last retry and the word of it. */
const NOTICE_MILLIS = 500;

/** How long a queue pair waits for an answer until it has spent its retries; infinity for `timeout` 0. */
export const answerMillis = ({
  timeout,
  retryCount,
}: Pick<PathSettings, 'timeout' | 'retryCount'>): number =>
  timeout === 0 ? Number.POSITIVE_INFINITY : (4.096 * 2 ** timeout * (retryCount + 1)) / 1000;

/**
 * How long an orderly end waits while nothing moves: longer than the queue pair takes to notice a path that is dead, so that
 * a connection which could recover does not end with messages that the peer never got.
 */
export const quitMillis = (path: Pick<PathSettings, 'timeout' | 'retryCount'>): number =>
  Math.min(LONGEST_QUIT_MILLIS, Math.max(SHORTEST_QUIT_MILLIS, answerMillis(path) + NOTICE_MILLIS));

/** The options were checked (option-rules.ts). */
export function pathSettings(options: ConnectionPathOptions = {}): PathSettings {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return { ...DEFAULTS, ...Object.fromEntries(given) };
}
