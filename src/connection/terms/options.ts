/** Options that servers and clients share, with their defaults. */
import { totalmem } from 'node:os';
import { MAX_NOTICE_MILLIS } from '../../session/terms.js';
import type { Device } from '../../verbs/device.js';
import { usageError } from '../../verbs/errors.js';
import type { Logger } from '../common/logger.js';
import type { ConnectionStep } from '../common/steps.js';
import type { SharedRates } from '../rates/shared-rates.js';
import { type ConnectionPathOptions, type PathSettings, pathSettings, quitMillis } from './path-options.js';

/** Where a server listens unless it is told. */
export const DEFAULT_HOST = '127.0.0.1';
export const DEFAULT_PORT = 4433;
export const DEFAULT_HANDSHAKE_DEADLINE_MILLIS = 5000;
export const DEFAULT_RECOVERY_MILLIS = 10_000;
const DEFAULT_KEEP_ALIVE_MILLIS = 5000;
/** Of `keepAliveMillis`: for so many a connection may be silent at most before an end looks after its peer. */
export const CALM_INTERVALS = 8;
const DEFAULT_OPEN_STREAMS = 128;
const DEFAULT_STREAM_WINDOW_BYTES = 1024 * 1024;

/** What a peer may do by itself with memory of ours. */
export interface MemoryRights {
  readonly read: boolean;
  readonly write: boolean;
}

/** Streams of the peer. What it may have this side keep is `open` × `windowBytes`. */
export interface StreamOptions {
  /** Streams that the peer may have open; 0: it may open none. Default 128. */
  readonly open?: number;
  /** Bytes of each stream that may wait to be read. Default 1 MiB. */
  readonly windowBytes?: number;
}

export interface DataPathOptions {
  /** Receives for fragments of the peer, and so what the peer may have under way. Default 32. */
  readonly receiveSlots?: number;
  /** Bytes of one send or receive slot, header included. Default 32 KiB. */
  readonly slotBytes?: number;
  /** Messages of the peer above this are refused. Default 16 MiB. */
  readonly maxMessageBytes?: number;
  /**
   * Bytes of messages that may wait to be sent, with 512 for each message. Beyond it `send` rejects with
   * ERR_RDMA_QUEUE_FULL: await it. One message is always taken. Default 64 MiB.
   */
  readonly sendQueueBytes?: number;
  /**
   * Reads and writes that may wait or be under way, those included that were given up and that the device still has. Beyond
   * it `read` and `write` reject with ERR_RDMA_QUEUE_FULL: await them. Default 1024.
   */
  readonly maxOperations?: number;
  /** Streams of the peer: how many, and how much of each may wait for the program. */
  readonly streams?: StreamOptions;
  /** Bytes of the buffer that the peer may write and read by itself. Default 0: it gets none. */
  readonly bufferBytes?: number;
  /**
   * Seals messages and one-sided writes with keys that only the two ends of the TLS session have; reads become messages.
   * It is on when either side says so. Memory that the peer may write must not be granted a second time for writing while it
   * does: what another write covers before it was opened counts as forged, and ends the connection. Sizes, times,
   * message headers, addresses and keys of memory stay visible.
   */
  readonly encryption?: 'aes-256-gcm';
  /** How packets travel and how long they are waited for. */
  readonly path?: ConnectionPathOptions;
  /**
   * `'brief'`: the TLS session ends once the path is proven, if both ends say so, and each recovery makes another one. A silent
   * connection then costs a server some KiB and no descriptor; a peer whose process dies is noticed by its silence alone
   * (`keepAliveMillis`). Where one end does not say it, the session stays. Default `'session'`.
   */
  readonly lifeline?: LifelineKind;
}

export type LifelineKind = 'session' | 'brief';

export interface CommonOptions extends DataPathOptions {
  /** An open device, which stays open, or the name of one to open. Default `soft`, on the address in use. */
  readonly device?: Device | string;
  /** From the TCP connection until both sides are ready. Default 5000. */
  readonly handshakeDeadlineMillis?: number;
  /**
   * How long a connection that failed tries to recover before it ends. 0 = not at all: the first failure ends it.
   * Default 10000.
   */
  readonly recoveryMillis?: number;
  /**
   * A peer of which nothing is heard, by session or packets, is taken for lost after three of these; where nothing has moved for six of
   * them, after nine. A session tells at once of a process that is gone. 0 = never. Default 5000.
   */
  readonly keepAliveMillis?: number;
  /** Called for every step of bringing a connection up or taking it down, e.g. to narrate it. */
  readonly onStep?: (step: ConnectionStep) => void;
  /** Is told of the life of servers and connections, without PSNs, keys and payload. Default: none. */
  readonly logger?: Logger;
  /**
   * Has V8 compile the way of a message before anything else, by messages that this thread sends to itself in memory, as a service does that tells
   * its balancer only then that it is ready. Costs 0.1 to 0.2 s, once in a thread; each worker of a server does it. Default false.
   */
  readonly warmUp?: boolean;
  /** Puts PSNs into the steps. They are secrets: only for demonstrations. Default false. */
  readonly revealPsns?: boolean;
}

/** How a connection deals with failure. */
export interface RecoveryLimits {
  readonly recoveryMillis: number;
  readonly keepAliveMillis: number;
  /** How long an orderly end in which nothing moves takes at most. */
  readonly quitMillis: number;
}

export const recoveryLimits = (options: CommonOptions): RecoveryLimits => ({
  recoveryMillis: options.recoveryMillis ?? DEFAULT_RECOVERY_MILLIS,
  keepAliveMillis: options.keepAliveMillis ?? DEFAULT_KEEP_ALIVE_MILLIS,
  quitMillis: quitMillis(pathSettings(options.path)),
});

export interface DataPathLimits {
  readonly receiveSlots: number;
  readonly slotBytes: number;
  readonly maxMessageBytes: number;
  readonly sendQueueBytes: number;
  readonly maxOperations: number;
  readonly streams: Required<StreamOptions>;
  readonly bufferBytes: number;
  /** The buffer that the peer may reach is in memory that other threads can share. */
  readonly sharesBuffer?: boolean;
  readonly rights: MemoryRights;
  readonly encryption: 'aes-256-gcm' | undefined;
  readonly path: PathSettings;
  readonly lifeline: LifelineKind;
  /** How long this end takes at most to notice that a peer has become silent; infinity: it never looks. */
  readonly noticeMillis: number;
  /** Of the identity of the peer, over all its connections. */
  readonly rates?: SharedRates;
}

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT. */
export const withDefaults = (
  options: DataPathOptions & Pick<CommonOptions, 'keepAliveMillis'>,
): DataPathLimits =>
  checkLimits({
    receiveSlots: options.receiveSlots ?? 32,
    slotBytes: options.slotBytes ?? 32 * 1024,
    maxMessageBytes: options.maxMessageBytes ?? 16 * 1024 * 1024,
    sendQueueBytes: options.sendQueueBytes ?? 64 * 1024 * 1024,
    maxOperations: options.maxOperations ?? 1024,
    streams: {
      open: options.streams?.open ?? DEFAULT_OPEN_STREAMS,
      windowBytes: options.streams?.windowBytes ?? DEFAULT_STREAM_WINDOW_BYTES,
    },
    bufferBytes: options.bufferBytes ?? 0,
    rights: { read: true, write: true },
    encryption: options.encryption,
    path: pathSettings(options.path),
    lifeline: options.lifeline ?? 'session',
    noticeMillis: noticeMillis(options.keepAliveMillis ?? DEFAULT_KEEP_ALIVE_MILLIS, options.path),
  });

/** By how many intervals a look may come behind eight: its turn is a quarter of one behind, and its timer as late at most. */
const LATE_INTERVALS = 1 / 2;

/** A look finds it silent within eight intervals or little more, and the next two or the queue pair conclude that it is gone. */
function noticeMillis(keepAliveMillis: number, path: ConnectionPathOptions | undefined): number {
  if (keepAliveMillis === 0) return Number.POSITIVE_INFINITY;
  const millis =
    (CALM_INTERVALS + LATE_INTERVALS) * keepAliveMillis +
    Math.min(3 * keepAliveMillis, quitMillis(pathSettings(path)));
  return Math.min(MAX_NOTICE_MILLIS, Math.ceil(millis));
}

/** Asked once: a server checks the limits of every client, and the operating system reads a file for it. */
let machineBytes: number | undefined;

/**
 * Checks that what a connection allocates can be allocated here.
 *
 * @throws RdmaError ERR_RDMA_INVALID_ARGUMENT, naming the option.
 */
export function checkLimits(limits: DataPathLimits): DataPathLimits {
  const { bufferBytes, receiveSlots, slotBytes, lifeline, noticeMillis } = limits;
  if (lifeline === 'brief' && noticeMillis === Number.POSITIVE_INFINITY)
    throw usageError(
      "lifeline 'brief' needs keepAliveMillis above 0: without a session nothing else tells that the peer is gone",
    );
  const slots = receiveSlots * slotBytes;
  machineBytes ??= totalmem();
  const machine = machineBytes;
  if (bufferBytes > machine) {
    throw usageError(
      `bufferBytes must fit into memory: ${bufferBytes} bytes are more than the ${machine} of this machine`,
    );
  }
  if (slots > machine) {
    throw usageError(
      `receiveSlots × slotBytes must fit into memory: ${slots} bytes are more than the ${machine} of this machine`,
    );
  }
  return limits;
}
