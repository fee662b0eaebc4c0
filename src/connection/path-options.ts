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
import type { PathOptions } from '../verbs/bring-up.js';
import { usageError } from '../verbs/errors.js';

/** For 4.096 µs × 2^timeout the default is 16, which is 268 ms. */
export interface ConnectionPathOptions
  extends Pick<
    PathOptions,
    'port' | 'gidIndex' | 'trafficClass' | 'flowLabel' | 'hopLimit' | 'timeout' | 'retryCount' | 'minRnrTimer'
  > {
  /**
   * `'session'`: the peer's GID must be the address of its end of the session. `'any'`: its device may have another
   * address, as when the session runs over another network. Default `'session'`.
   */
  readonly peerAddress?: 'session' | 'any';
}

export type PathSettings = PathOptions & Required<Pick<ConnectionPathOptions, 'port' | 'peerAddress'>>;

/** RNR retries go on for ever: flow control keeps messages from coming without a receive. */
const DEFAULTS: PathSettings = { port: 1, timeout: 16, retryCount: 7, rnrRetry: 7, peerAddress: 'session' };

const RANGES = {
  port: [1, 255],
  gidIndex: [0, 0xffff],
  flowLabel: [0, 0xfffff],
  trafficClass: [0, 255],
  hopLimit: [1, 255],
  timeout: [1, 31],
  retryCount: [0, 7],
  minRnrTimer: [0, 31],
} as const;

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT, naming the option. */
export function pathSettings(options: ConnectionPathOptions = {}): PathSettings {
  for (const [name, [min, max]] of Object.entries(RANGES)) {
    const value = options[name as keyof typeof RANGES];
    if (value === undefined) continue;
    if (!Number.isInteger(value) || value < min || value > max)
      throw usageError(`path.${name} must be an integer from ${min} to ${max}, not ${String(value)}`);
  }
  const { peerAddress = 'session' } = options;
  if (peerAddress !== 'session' && peerAddress !== 'any')
    throw usageError(`path.peerAddress must be 'session' or 'any', not ${String(peerAddress)}`);
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return { ...DEFAULTS, ...Object.fromEntries(given) };
}
