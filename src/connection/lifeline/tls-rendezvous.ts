/**
 * A rendezvous over TLS: each meeting is a session over the control channel, which ties paths and terms to this TLS
 * connection, and whose keys come from it.
 *
 * Invariants: frames are read by one at a time, the meeting or the watch; the PSN with which a peer starts over is left
 * for the meeting that begins with it. What the peer sends between two meetings is a sign of life, a new beginning, a
 * goodbye, or a breach that ends the channel. Of a brief one (`part`) the client needs the server's word, and the server nothing
 * more: so no client goes on without its session while its server waits for it.
 */
import type { ControlChannel, FrameWatch } from '../../session/control-channel.js';
import { establishSession } from '../../session/establish-session.js';
import type { FrameType } from '../../session/frames.js';
import { PathProof } from '../../session/path-proof.js';
import type { PeerIdentity } from '../../session/peer-identity.js';
import type { SessionAttributes } from '../../session/session-data.js';
import { deriveKeys, endSecret } from '../../session/session-secrets.js';
import type { Terms } from '../../session/terms.js';
import { asRdmaError, RdmaError, type RdmaErrorCode } from '../../verbs/errors.js';
import type { LinkKeys, LinkTerms } from '../data-path/data-plane.js';
import type { MeetingSteps, Rendezvous, RendezvousEnd, RendezvousListener } from './rendezvous.js';

const FAILED = 'the session failed on an internal error';

export class TlsRendezvous implements Rendezvous, FrameWatch {
  readonly #channel: ControlChannel;
  /** Who is told of the peer between two meetings. */
  #listener: RendezvousListener | null = null;
  readonly #proof: PathProof;
  #hasSaidLeave = false;
  /** The peer has said it as well. */
  #hasHeardLeave = false;

  constructor(channel: ControlChannel) {
    this.#channel = channel;
    this.#proof = new PathProof(channel);
  }

  get peerName(): string {
    return this.#channel.peerName;
  }

  get peer(): PeerIdentity | null {
    return this.#channel.peer;
  }

  get remoteAddress(): string {
    return this.#channel.remoteAddress;
  }

  get remotePort(): number {
    return this.#channel.remotePort;
  }

  get localAddress(): string {
    return this.#channel.localAddress;
  }

  get localPort(): number {
    return this.#channel.localPort;
  }

  get end(): RendezvousEnd | undefined {
    return this.#channel.end;
  }

  get isParted(): boolean {
    const { end } = this.#channel;
    return this.#hasSaidLeave && (end === undefined || this.#isWithout);
  }

  /** It has ended as `part` wanted it. A server that has said `leave` does without the session, however that ends. */
  get #isWithout(): boolean {
    if (this.#hasHeardLeave) return true;
    const { role, end } = this.#channel;
    return role === 'server' && end?.error !== undefined && end.told === undefined && isLoss(end.error);
  }

  async meet(steps: MeetingSteps): Promise<Terms> {
    this.unwatch();
    const channel = this.#channel;
    const end = { role: channel.role, secret: endSecret(channel) };
    try {
      const { terms } = await establishSession(channel, {
        createObjects: (signal) => steps.prepare({ reachedAt: channel.localAddress, end }, signal),
        checkPeer: ({ peer }) => steps.peerFault(peer, channel.remoteAddress),
        transition: (met) => steps.connect(withKeys(channel, met)),
        prove: (met) => steps.prove(met.terms, this.#proof.begin(met)),
        peerHas: (messages) => this.#proof.peerHas(messages),
      });
      return terms;
    } catch (error) {
      throw this.#proof.meant(asRdmaError(error, FAILED));
    } finally {
      this.#proof.end();
    }
  }

  watch(listener: RendezvousListener): void {
    this.#listener = listener;
    this.#channel.watch(this);
  }

  unwatch(): void {
    this.#listener = null;
    this.#channel.watch(null);
  }

  part(): void {
    if (this.#channel.end !== undefined) return;
    this.#hasSaidLeave = true;
    this.#channel.leave();
  }

  ask(): void {
    this.#channel.send({ type: 'ping' });
  }

  fail(error: RdmaError, told: string): void {
    const meant = this.#proof.isUnderWay ? this.#proof.meant(error) : error;
    this.#channel.fail(meant, meant === error ? told : meant.message);
  }

  drop(error: RdmaError): void {
    this.#channel.drop(error);
  }

  close(received?: number): Promise<void> {
    return this.#channel.close('quit', received);
  }

  // --- what the channel tells -----------------------------------------------------------------------------------------

  takes(type: FrameType): boolean {
    return type !== 'psn';
  }

  onFrame(type: FrameType): void {
    const listener = this.#listener;
    if (type === 'bye') {
      this.unwatch();
      listener?.onLeft();
    } else if (type === 'leave' && this.#hasSaidLeave) {
      this.unwatch();
      this.#hasHeardLeave = true;
      this.#channel.part();
      listener?.onParted();
    } else if (this.#isExpected(type)) {
      listener?.onHeard();
    }
  }

  onOther(): void {
    const listener = this.#listener;
    this.#listener = null;
    // It would wait for an answer over a session that this side has left: so it learns at once that there is none.
    if (this.#hasSaidLeave) this.#channel.drop(startedOver(this.peerName));
    listener?.onRestart();
  }

  onNoMore(error: RdmaError): void {
    const listener = this.#listener;
    this.#listener = null;
    if (this.#hasSaidLeave && this.#isWithout) listener?.onParted();
    else listener?.onEnded(error);
  }

  /** Ends the channel over a frame that does not belong here. */
  #isExpected(type: FrameType): boolean {
    const channel = this.#channel;
    if (type === 'ping') {
      if (channel.end === undefined && !this.#hasSaidLeave) channel.send({ type: 'pong' });
      return true;
    }
    if (type === 'pong') return true;
    const message = `${channel.peerName} sent "${type}" after the session was established`;
    channel.fail(new RdmaError('ERR_RDMA_PROTOCOL', message));
    return false;
  }
}

const LOSSES: readonly RdmaErrorCode[] = ['ERR_RDMA_CONNECTION_LOST', 'ERR_RDMA_TIMEOUT', 'ERR_RDMA_TLS'];
/** Not ended by either side: the network has taken it. */
const isLoss = ({ code }: RdmaError): boolean => LOSSES.includes(code);

const startedOver = (peerName: string): RdmaError =>
  new RdmaError('ERR_RDMA_CONNECTION_LOST', `${peerName} starts over`);

/** The keys are derived when they are asked for: most connections do without. */
const withKeys = (channel: ControlChannel, met: SessionAttributes): LinkTerms => ({
  ...met,
  get keys() {
    return linkKeys(channel, met);
  },
});

const linkKeys = (channel: ControlChannel, met: SessionAttributes): LinkKeys => ({
  messages: deriveKeys(channel, 'messages', met),
  memory: deriveKeys(channel, 'memory', met),
});
