/**
 * Both ends are ready, but a session that stands says nothing about UDP: until packets have come through, nothing is up.
 *
 * Each end has its own proof: the peer's device acknowledged a small message and one that fills a packet, so messages of
 * both sizes pass in one direction, and acknowledgements, which are small, in the other. It says so by `proven`. An end goes
 * on when it has its own proof and the peer's word, and only then do messages of both sizes pass in both directions. An
 * end that waits is not up: what the peer sends before the word of this end is the course of the proof and nothing else.
 * The course may tell by `arrived` what the peer has got of this end's messages (path-proof.ts).
 */
import { closedError, RdmaError } from '../verbs/errors.js';
import type { ControlChannel } from './control-channel.js';
import { UNEXPECTED_FRAME } from './handshake.js';

/**
 * Resolves when `own` has and the peer says that it has its proof as well. A session that the network takes between the two
 * counts as proven for a client: its server may be up, and is there when the client comes back. A server is not up before it
 * knows that its client is; it waits for the client meanwhile (lifeline-machine.ts).
 *
 * @throws RdmaError what `own` rejects with, why the channel ended, ERR_RDMA_CONNECTION_LOST when the peer starts over or
 *   leaves.
 */
export async function untilProven(
  channel: ControlChannel,
  own: Promise<void>,
  onPeerHas: (messages: number) => void = nobody,
): Promise<void> {
  const course = new ProofCourse(channel, own, onPeerHas);
  const ended = course.read();
  // Whichever comes second is no news any more.
  ended.catch(() => {});
  try {
    await Promise.race([ended, Promise.all([own.then(() => course.onOwn()), course.word])]);
  } catch (error) {
    if (channel.role === 'server' || !course.hasOwn || !isLost(channel)) throw error;
  } finally {
    course.isOver = true;
  }
}

const nobody = (): void => {};

/** Not ended by either side: the network has taken it. */
const isLost = ({ end }: ControlChannel): boolean =>
  end?.error?.code === 'ERR_RDMA_CONNECTION_LOST' || end?.error?.code === 'ERR_RDMA_TLS';

/** What the peer says until the proof is over. Other frames stay for the next reader. */
class ProofCourse {
  readonly word: Promise<void>;
  /** Nothing more is read here. */
  isOver = false;
  /** The peer was told, unless it is gone. */
  hasOwn = false;
  readonly #channel: ControlChannel;
  readonly #own: Promise<void>;
  readonly #onPeerHas: (messages: number) => void;
  #onWord: () => void = nobody;
  #hasWord = false;

  constructor(channel: ControlChannel, own: Promise<void>, onPeerHas: (messages: number) => void) {
    this.#channel = channel;
    this.#own = own;
    this.#onPeerHas = onPeerHas;
    this.word = new Promise((resolve) => {
      this.#onWord = resolve;
    });
  }

  onOwn(): void {
    this.hasOwn = true;
    this.isOver = this.#hasWord;
    if (this.#channel.end === undefined) this.#channel.send({ type: 'proven' });
  }

  /** Rejects when there will be no proof. */
  async read(): Promise<void> {
    const channel = this.#channel;
    while (!this.isOver) {
      const frame = await channel.peek();
      if (this.isOver) return;
      const { type } = frame;
      // The last frame of a peer that has its proof: what is left is the proof of this side.
      if (type === 'leave' && this.#hasWord) {
        await Promise.race([this.#own, gone(channel)]);
        return;
      }
      if (type === 'psn' || type === 'bye') {
        const what = type === 'psn' ? 'starts over' : 'said bye';
        const message = `${channel.peerName} ${what} before packets of both sizes came through in both directions`;
        throw new RdmaError('ERR_RDMA_CONNECTION_LOST', message);
      }
      const isWord = type === 'proven' && !this.#hasWord;
      const isCourse = type === 'arrived' && !this.#hasWord;
      if (!isWord && !isCourse && type !== 'ping' && type !== 'pong') throw unexpected(channel, type);
      await channel.receive();
      if (isCourse) this.#onPeerHas(frame.messages);
      if (type === 'ping') channel.send({ type: 'pong' });
      if (isWord) this.#heardWord();
    }
  }

  #heardWord(): void {
    this.#hasWord = true;
    this.isOver = this.hasOwn;
    this.#onWord();
  }
}

/** Rejects when the channel is gone. */
async function gone(channel: ControlChannel): Promise<never> {
  const { error } = await channel.closed;
  throw error ?? closedError(`the session with ${channel.peerName}`);
}

function unexpected(channel: ControlChannel, type: string): RdmaError {
  const what = `${UNEXPECTED_FRAME}: it sent "${type}" before the link was proven`;
  const error = new RdmaError(
    'ERR_RDMA_PROTOCOL',
    `${channel.peerName} broke the session protocol (${what})`,
  );
  channel.fail(error, what);
  return error;
}
