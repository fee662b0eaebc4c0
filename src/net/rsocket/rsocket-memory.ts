/**
 * What one end of an rsocket is made of before it meets its peer: an endpoint whose receives have no memory, the ring that
 * the peer writes into, the tables in which it announces its own buffers, and the ring that this end sends from.
 *
 * Invariants: the peer can write the receive ring and the tables, and nothing else; receives are posted before the peer
 * can know of this end, because it writes as soon as it does.
 */
import { type Endpoint, openEndpoint } from '../../endpoint/endpoint.js';
import { AccessFlags } from '../../verbs/access-flags.js';
import type { Device } from '../../verbs/device.js';
import type { MemoryRegion } from '../../verbs/memory-region.js';
import { MAX_CONTROLS, RsocketMachine } from './rsocket-machine.js';
import type { RsocketOptions } from './rsocket-options.js';
import { IOMAP_ENTRY_BYTES } from './wire/iomap-entry.js';
import { type RsocketTerms, toldIomapEntries } from './wire/private-data.js';
import { SGL_ENTRY_BYTES } from './wire/sgl-entry.js';

const { LOCAL_WRITE, REMOTE_WRITE } = AccessFlags;
const TABLE_ENTRIES = 2;
const MAX_MESSAGE_BYTES = 64 * 1024;
const MAX_DATA_POSTS = 64;
const MAX_POSTS = MAX_DATA_POSTS + MAX_CONTROLS;
/** Messages that take no credit may come on top of the credits. */
const SPARE_RECEIVES = 16;
const INLINE_BYTES = 64;

const DEFAULT_BUFFER_BYTES = 256 * 1024;
/** As stock peers. */
const DEFAULT_CREDITS = 384;

export class RsocketMemory {
  readonly endpoint: Endpoint;
  readonly ring: MemoryRegion;
  readonly table: MemoryRegion;
  readonly sendRing: MemoryRegion;
  readonly terms: RsocketTerms;

  /** @throws RdmaError of the verbs; nothing stays open then. */
  static async open(device: Device, options: RsocketOptions): Promise<RsocketMemory> {
    const { receiveBufferBytes = DEFAULT_BUFFER_BYTES, sendBufferBytes = DEFAULT_BUFFER_BYTES } = options;
    const iomapEntries = toldIomapEntries(options.iomapEntries ?? 0);
    const endpoint = await openEndpoint(device, {
      access: REMOTE_WRITE,
      signalAll: true,
      separateCqs: false,
      capacity: {
        maxSendWr: MAX_POSTS,
        maxRecvWr: DEFAULT_CREDITS + SPARE_RECEIVES,
        maxInlineData: INLINE_BYTES,
      },
      // How long silence may be is for the program to say: a socket may be idle for ever.
      wait: { timeoutMillis: Number.POSITIVE_INFINITY },
    });
    try {
      const ring = await endpoint.register(evenBytes(receiveBufferBytes), LOCAL_WRITE | REMOTE_WRITE);
      const tableBytes = TABLE_ENTRIES * SGL_ENTRY_BYTES + iomapEntries * IOMAP_ENTRY_BYTES;
      const table = await endpoint.register(tableBytes, LOCAL_WRITE | REMOTE_WRITE);
      const sendRing = await endpoint.register(sendBufferBytes);
      return new RsocketMemory(endpoint, ring, table, sendRing, iomapEntries);
    } catch (error) {
      await endpoint.close().catch(() => {});
      throw error;
    }
  }

  private constructor(
    endpoint: Endpoint,
    ring: MemoryRegion,
    table: MemoryRegion,
    sendRing: MemoryRegion,
    iomapEntries: number,
  ) {
    this.endpoint = endpoint;
    this.ring = ring;
    this.table = table;
    this.sendRing = sendRing;
    this.terms = {
      // The code reads its tables byte by byte, so that it can choose.
      isBigEndian: false,
      knowsIomap: true,
      credits: DEFAULT_CREDITS,
      iomapEntries,
      tableAddr: Number(table.addr),
      tableRkey: table.rkey,
      tableEntries: TABLE_ENTRIES,
      bufferAddr: Number(ring.addr),
      bufferRkey: ring.rkey,
      bufferBytes: ring.length / 2,
    };
    const receives = Array.from({ length: DEFAULT_CREDITS + SPARE_RECEIVES }, () => ({ wrId: 0 }));
    endpoint.qp.postRecvBatch(receives);
  }

  /** How both ends go on once they know each other. */
  machineWith(peer: RsocketTerms): RsocketMachine {
    return new RsocketMachine({
      own: this.terms,
      peer,
      table: this.table.bytes,
      sendRingBytes: this.sendRing.length,
      maxMessageBytes: MAX_MESSAGE_BYTES,
      maxPosts: MAX_POSTS,
    });
  }
}

const evenBytes = (bytes: number): number => bytes + (bytes % 2);
