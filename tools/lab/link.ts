/** Two connected ends: one on the soft device, one on rxe0. */
import { DevicePeer } from './device-peer.js';
import type { IpVersion } from './network.js';
import type { Peer, PeerOptions } from './peer.js';
import { RxePeer } from './rxe-peer.js';

export const DIRECTIONS = ['soft → rxe', 'rxe → soft'] as const;
/** Who requests of whom. */
export type Direction = (typeof DIRECTIONS)[number];

/** Never from a right sender over a network that corrupts nothing, whatever it loses. */
const MALFORMED = [
  'too_short',
  'bad_version',
  'unknown_opcode',
  'bad_pad',
  'bad_length',
  'bad_icrc',
  'bad_pkey',
].map((reason) => `drop_${reason}`);

export interface LinkOptions {
  readonly direction: Direction;
  readonly ip: IpVersion;
  readonly mtu: number;
  readonly bufferBytes: number;
  readonly requester?: Partial<PeerOptions>;
  readonly responder?: Partial<PeerOptions>;
}

export class Link {
  readonly requester: Peer;
  readonly responder: Peer;

  private constructor(requester: Peer, responder: Peer) {
    this.requester = requester;
    this.responder = responder;
  }

  static async open(options: LinkOptions): Promise<Link> {
    const { direction, ip, mtu, bufferBytes } = options;
    const common = { ip, mtu, bufferBytes };
    const isSoftFirst = direction === 'soft → rxe';
    const requesterOptions = { ...common, ...options.requester };
    const responderOptions = { ...common, ...options.responder };
    // First the one that may not be possible here.
    const soft = await DevicePeer.open(isSoftFirst ? requesterOptions : responderOptions);
    const rxe = await RxePeer.open(isSoftFirst ? responderOptions : requesterOptions);
    await rxe.connect(soft.address);
    await soft.connect(rxe.address);
    return isSoftFirst ? new Link(soft, rxe) : new Link(rxe, soft);
  }

  /** Packets of rxe0 that the soft device could not make sense of, by reason. */
  get malformed(): readonly string[] {
    const ends = [this.requester, this.responder].filter((end) => end instanceof DevicePeer);
    return ends
      .flatMap((end) => Object.entries(end.device.counters()))
      .filter(([name, count]) => MALFORMED.includes(name) && count > 0)
      .map(([name, count]) => `${count} ${name}`);
  }

  async close(): Promise<void> {
    await this.requester.close();
    await this.responder.close();
  }
}
