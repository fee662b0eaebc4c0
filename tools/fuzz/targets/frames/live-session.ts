/**
 * A session as a server or client runs it, over a socket in memory: control channel, handshake, and a reader after it.
 * It keeps what happened, for the questions that are asked at the end.
 */
import { ControlChannel } from '../../../../src/session/control-channel.js';
import { establishSession } from '../../../../src/session/establish-session.js';
import type { Frame } from '../../../../src/session/frames.js';
import { HandshakeDeadline } from '../../../../src/session/handshake-deadline.js';
import type { SessionAttributes, SessionRole } from '../../../../src/session/session-data.js';
import { bindParameters, type KeyExporter } from '../../../../src/session/session-secrets.js';
import { type Psn, toPsn } from '../../../../src/verbs/brands.js';
import { RdmaError } from '../../../../src/verbs/errors.js';
import { sessionParameters } from '../../../../testkit/session-parameters.js';
import type { Binder } from './frame-crafter.js';
import { MemorySocket } from './memory-socket.js';

/** Not a number that the crafted frames hold, so that its digits betray it. */
export const OWN_PSN: Psn = toPsn(9_173_551);

const OWN_PARAMETERS = sessionParameters('192.0.2.1');

export interface SessionPlan {
  readonly role: SessionRole;
  /** Turns of the event loop that making objects takes. */
  readonly slowTurns: number;
  /** The step that fails, if any. */
  readonly failing: 'objects' | 'transition' | null;
  /** After the handshake nobody takes the frames. */
  readonly unread: boolean;
  /** The peer never reads what we send. */
  readonly deaf: boolean;
}

class WatchedDeadline extends HandshakeDeadline {
  disarmed = false;

  override disarm(): void {
    this.disarmed = true;
    super.disarm();
  }
}

export class LiveSession {
  readonly plan: SessionPlan;
  readonly socket: MemorySocket;
  readonly channel: ControlChannel;
  readonly deadline = new WatchedDeadline(3_600_000, () => {});
  /** Settles when nothing of the session runs any more. */
  readonly over: Promise<void>;
  isOver = false;
  objectsMade = 0;
  transitions: SessionAttributes[] = [];
  established: SessionAttributes | undefined;
  /** Why the handshake or the reader ended. */
  error: unknown;
  /** Frames that came after the handshake. */
  readonly received: Frame[] = [];

  constructor(plan: SessionPlan) {
    this.plan = plan;
    this.socket = new MemorySocket(plan.deaf);
    this.channel = new ControlChannel(this.socket.asTls, {
      role: plan.role,
      deadline: this.deadline,
      lingerMillis: plan.deaf ? 1 : 10_000,
    });
    this.over = this.#run();
  }

  /** What the peer's parameters must carry. */
  readonly bind: Binder = (psn, parameters) => {
    const teller = this.plan.role === 'server' ? 'client' : 'server';
    const exporter: KeyExporter = {
      role: teller,
      sessionsBefore: 0,
      exportKeyingMaterial: (length, label, context) =>
        this.socket.exportKeyingMaterial(length, label, Buffer.from(context ?? [])),
    };
    return bindParameters(exporter, teller, psn as Psn, parameters);
  };

  async #run(): Promise<void> {
    try {
      this.established = await this.#establish();
      if (!this.plan.unread) for (;;) this.received.push(await this.channel.receive());
    } catch (error) {
      this.error = error;
    }
    await this.channel.closed;
    this.isOver = true;
  }

  #establish(): Promise<SessionAttributes> {
    const steps = {
      createObjects: async () => {
        this.objectsMade++;
        await this.#work('objects');
        return OWN_PARAMETERS;
      },
      transition: async (attributes: SessionAttributes) => {
        this.transitions.push(attributes);
        await this.#work('transition');
      },
    };
    return establishSession(this.channel, steps, OWN_PSN);
  }

  async #work(step: 'objects' | 'transition'): Promise<void> {
    for (let i = 0; i < this.plan.slowTurns; i++) await turn();
    if (this.plan.failing !== step) return;
    // What an operating system's message may hold must not reach the peer.
    throw this.plan.slowTurns % 2 === 0
      ? new Error('/secret/path')
      : new RdmaError('ERR_RDMA_NO_MEMORY', 'no memory for /secret/path');
  }
}

/** One turn of the event loop. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
