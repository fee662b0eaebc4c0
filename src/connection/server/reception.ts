/**
 * Where clients arrive whom TLS has verified: the first frame of each says whether it comes back to a connection that it has, or
 * wants one.
 *
 * Invariants: a client that is not let in is told why, and so are those whom the server tells of it; it holds nothing then.
 */
import type { ControlChannel } from '../../session/control-channel.js';
import type { Frame } from '../../session/frames.js';
import { asRdmaError, closedError } from '../../verbs/errors.js';
import { internalRefusal, Refused } from '../lifeline/refused.js';
import type { Rendezvous } from '../lifeline/rendezvous.js';
import type { Resumptions } from '../lifeline/resumption.js';
import { TlsRendezvous } from '../lifeline/tls-rendezvous.js';
import type { Admission, Admitted } from './admission.js';
import type { ServerNews } from './server-news.js';

/** A client that may come in. */
export interface Arrival {
  readonly rendezvous: Rendezvous;
  readonly admitted: Admitted;
}

export class Reception {
  readonly #admission: Admission;
  readonly #resumptions: Resumptions;
  readonly #news: ServerNews;

  constructor(admission: Admission, resumptions: Resumptions, news: ServerNews) {
    this.#admission = admission;
    this.#resumptions = resumptions;
    this.#news = news;
  }

  /** Returns a client that is new and may come in. Never rejects. */
  async receive(channel: ControlChannel): Promise<Arrival | undefined> {
    let first: Frame;
    try {
      first = await channel.peek();
    } catch (error) {
      this.#turnAway(channel, asRdmaError(error, 'the first frame was not read'));
      return undefined;
    }
    if (first.type !== 'resume') return this.#admit(channel);
    this.#resume(channel, first.token);
    return undefined;
  }

  #resume(channel: ControlChannel, token: string): void {
    // Taken: the session begins with what follows.
    void channel.receive();
    const rendezvous = new TlsRendezvous(channel);
    if (!this.#admission.isClosed && this.#resumptions.resume(token, rendezvous)) return;
    const reason = this.#resumptions.takeReason(token, channel.peer);
    if (reason !== undefined) {
      this.#turnAway(channel, reason);
      channel.fail(reason);
      return;
    }
    const message =
      'there is no connection that this session could take up here: it has ended, or another server or an earlier process had it';
    this.#refuse(channel, new Refused('resumption', message));
  }

  async #admit(channel: ControlChannel): Promise<Arrival | undefined> {
    try {
      const admitted = await this.#admission.admit(channel, (running) => untilGone(channel, running));
      return { rendezvous: new TlsRendezvous(channel), admitted };
    } catch (error) {
      if (error instanceof Refused) this.#refuse(channel, error);
      else if (channel.end !== undefined) this.#turnAway(channel, asRdmaError(error, 'the client was gone'));
      else this.#refuse(channel, internalRefusal(error));
      return undefined;
    }
  }

  #refuse(channel: ControlChannel, refused: Refused): void {
    this.#turnAway(channel, refused);
    channel.fail(refused, refused.answer);
  }

  #turnAway(channel: ControlChannel, error: Parameters<ServerNews['turnedAway']>[1]): void {
    this.#news.turnedAway(channel, error, this.#admission.isClosed);
  }
}

/** @throws RdmaError why the channel has ended meanwhile: nobody waits for what is `running` then. */
function untilGone<Result>(channel: ControlChannel, running: Promise<Result>): Promise<Result> {
  return new Promise<Result>((resolve, reject) => {
    const gone = (): void =>
      reject(channel.end?.error ?? closedError(`the session with ${channel.peerName}`));
    channel.onClosed = gone;
    // One that is closed already tells nobody so again.
    if (channel.end !== undefined) gone();
    running.then(resolve, reject);
  }).finally(() => {
    channel.onClosed = null;
  });
}
