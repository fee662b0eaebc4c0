/**
 * udaddy: the client asks where the service is (SIDR) and sends its datagrams, each with the number of its own queue pair;
 * the server answers to that queue pair, at the address from which the first one came.
 */
import { listenUd, RDMA_UDP_QKEY, resolveUd } from '../../../src/cm/datagram-service.js';
import { type Endpoint, openEndpoint } from '../../../src/endpoint/endpoint.js';
import type { AddressHandle } from '../../../src/verbs/address-handle.js';
import { toPsn, toQpn } from '../../../src/verbs/brands.js';
import { QpType } from '../../../src/verbs/qp-state.js';
import { WcOpcode } from '../../../src/verbs/work-completion.js';
import { SendFlags, WrOpcode } from '../../../src/verbs/work-request.js';
import { type Player, type PlayerOptions, TIMEOUT_MILLIS } from './player.js';

const MESSAGE_BYTES = 100;
/** In front of every datagram that comes in. */
const GRH_BYTES = 40;
const SLOT_BYTES = GRH_BYTES + MESSAGE_BYTES;
const NEXT_HEADER_AT = 6;
const UDP_HEADER = 17;
const IPV4_SOURCE_AT = 32;
const IPV6_SOURCE_AT = 8;

interface Target {
  readonly ah: AddressHandle;
  readonly qpn: number;
}

export const udaddy: Player = (options) => (options.host === undefined ? serve(options) : play(options));

async function serve(options: PlayerOptions): ReturnType<Player> {
  const { device, bind, port, count } = options;
  const server = await listenUd(device, { port, ...(bind === undefined ? {} : { host: bind }) });
  options.onListening();
  const end = await DatagramEnd.open(options);
  try {
    const request = await server.next();
    if (request === undefined) throw new Error('the server was closed before a client came');
    await request.accept({ qp: end.endpoint });
    await end.receive(count);
    const [qpn = 0] = end.immediates;
    const ah = await end.handleFor(end.firstSource);
    await end.send({ ah, qpn }, count);
    return { datagrams: count };
  } finally {
    await end.close();
    await server.close();
  }
}

async function play(options: PlayerOptions): ReturnType<Player> {
  const { device, host = '', port, count } = options;
  const end = await DatagramEnd.open(options);
  try {
    const { gid, qpn } = await resolveUd(device, { host, port, timeoutMillis: TIMEOUT_MILLIS });
    const ah = await end.handleFor(gid);
    await end.send({ ah, qpn }, count);
    await end.receive(count);
    return { datagrams: count };
  } finally {
    await end.close();
  }
}

class DatagramEnd {
  readonly endpoint: Endpoint;
  readonly immediates: number[] = [];
  #sent = 0;
  #wanted = 0;

  static async open({ device, count }: PlayerOptions): Promise<DatagramEnd> {
    const endpoint = await openEndpoint(device, {
      type: QpType.UD,
      capacity: { maxSendWr: count, maxRecvWr: count },
      memory: (count + 1) * SLOT_BYTES,
      path: { qkey: RDMA_UDP_QKEY },
      psn: toPsn(0),
      wait: { timeoutMillis: TIMEOUT_MILLIS },
    });
    const { memory, qp } = endpoint;
    for (let i = 0; i < count; i++) {
      qp.postRecv({ wrId: i, sges: [{ mr: memory, offset: i * SLOT_BYTES, length: SLOT_BYTES }] });
    }
    await endpoint.connect(null);
    return new DatagramEnd(endpoint);
  }

  private constructor(endpoint: Endpoint) {
    this.endpoint = endpoint;
  }

  /** Of the first datagram that came in: its IP header is in the 40 bytes before it. */
  get firstSource(): string {
    const header = Buffer.from(this.endpoint.memory.bytes.subarray(0, GRH_BYTES));
    const isIpv6 = header[0] !== 0 && header[NEXT_HEADER_AT] === UDP_HEADER;
    if (!isIpv6) return `::ffff:${[...header.subarray(IPV4_SOURCE_AT, IPV4_SOURCE_AT + 4)].join('.')}`;
    const words = [0, 2, 4, 6, 8, 10, 12, 14].map((at) => header.readUInt16BE(IPV6_SOURCE_AT + at));
    return words.map((word) => word.toString(16)).join(':');
  }

  async handleFor(gid: string): Promise<AddressHandle> {
    return this.endpoint.keep(await this.endpoint.pd.createAh({ dgid: gid }));
  }

  async send({ ah, qpn }: Target, count: number): Promise<void> {
    const { memory, qp } = this.endpoint;
    this.#wanted += count;
    for (let i = 0; i < count; i++) {
      qp.postSend({
        wrId: 0,
        opcode: WrOpcode.SEND_WITH_IMM,
        flags: SendFlags.SIGNALED,
        imm: qp.qpn,
        sges: [{ mr: memory, offset: memory.length - SLOT_BYTES, length: MESSAGE_BYTES }],
        ah,
        remoteQpn: toQpn(qpn),
        remoteQkey: RDMA_UDP_QKEY,
      });
    }
    await this.receive(this.immediates.length);
  }

  /** Until so many datagrams have come in all, and all that were sent are gone. */
  async receive(count: number): Promise<void> {
    await this.endpoint.until(
      () => this.immediates.length >= count && this.#sent >= this.#wanted,
      ({ opcode, imm }) => {
        if (opcode === WcOpcode.RECV) this.immediates.push(imm);
        else this.#sent++;
      },
    );
  }

  close(): Promise<void> {
    return this.endpoint.close();
  }
}
