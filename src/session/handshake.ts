/**
 * The order of a session as a state machine without sockets, timers or randomness:
 *
 *     psn → objects → parameters → transitions → ready → established → closed | failed
 *
 * Both sides send their PSN at once. Only when the peer's PSN is here does the machine ask for verbs objects, and only
 * when both sides' parameters are here does it ask for INIT → RTR → RTS; `established` means ready in both directions.
 * The sides need not be in step: a peer who is one step ahead may send its `parameters` or `ready` early, once.
 *
 * Invariants: any other frame at any other time is a violation and ends the session; a PSN never appears in a message,
 * in `inspect` or in JSON of this object (private fields), only in the frame and events that must carry it.
 */
import type { Psn } from '../verbs/brands.js';
import { RdmaError } from '../verbs/errors.js';
import type { RefusalKind } from '../verbs/refusal-kind.js';
import { byeFrame, errorFrame, type Frame, type FrameOf } from './frames.js';
import type { SessionAttributes, SessionParameters, SessionRole, ToldPath } from './session-data.js';

export const HandshakeState = {
  /** Waiting for the peer's PSN. */
  PSN: 'psn',
  /** Waiting for the caller to make the verbs objects. */
  OBJECTS: 'objects',
  /** Waiting for the peer's parameters. */
  PARAMETERS: 'parameters',
  /** Waiting for the caller to bring the queue pair to RTS. */
  TRANSITIONS: 'transitions',
  /** Waiting for the peer's `ready`. */
  READY: 'ready',
  ESTABLISHED: 'established',
  CLOSED: 'closed',
  FAILED: 'failed',
} as const;
export type HandshakeState = (typeof HandshakeState)[keyof typeof HandshakeState];

/** What a frame out of order is called. */
export const UNEXPECTED_FRAME = 'unexpected_frame';

export type HandshakeEvent =
  /** Make PD, CQs, QP, buffers and MRs, then call `setLocalParameters`. */
  | { readonly type: 'create-objects' }
  /** Bring the queue pair to RTS, post the receives, then call `setReady`. `binding`: what the peer's parameters carried. */
  | {
      readonly type: 'transition';
      readonly attributes: SessionAttributes;
      readonly binding: string | undefined;
    }
  | { readonly type: 'established' }
  | { readonly type: 'closed'; readonly reason: string | undefined }
  /** The peer sent an `error` frame; its texts are as the peer wrote them. */
  | { readonly type: 'refused'; readonly code: string; readonly message: string }
  | { readonly type: 'violation'; readonly reason: typeof UNEXPECTED_FRAME; readonly message: string };

/** What to do now: first send the frames, then act on the event. */
export interface HandshakeStep {
  readonly send: readonly Frame[];
  readonly event: HandshakeEvent | undefined;
}

const NOTHING: HandshakeStep = { send: [], event: undefined };
const just = (event: HandshakeEvent): HandshakeStep => ({ send: [], event });

export class Handshake {
  readonly #peerName: string;
  readonly #localPsn: Psn;
  readonly #isAgain: boolean;
  #state: HandshakeState = HandshakeState.PSN;
  #started = false;
  #peerPsn: Psn | undefined;
  #ownPath: ToldPath | undefined;
  #peerParameters: FrameOf<'parameters'> | undefined;
  #peerReady = false;

  /** `isAgain`: another session was established over the same channel. */
  constructor(role: SessionRole, psn: Psn, isAgain = false) {
    this.#isAgain = isAgain;
    this.#peerName = role === 'server' ? 'client' : 'server';
    this.#localPsn = psn;
  }

  get state(): HandshakeState {
    return this.#state;
  }

  /** Call once, as soon as TLS is up. */
  start(): HandshakeStep {
    if (this.#started) throw this.#misuse('start()', 'before anything else, once');
    this.#started = true;
    return { send: [{ type: 'psn', psn: this.#localPsn }], event: undefined };
  }

  /** A frame of the peer. Never throws for what the peer does. */
  receive(frame: Frame): HandshakeStep {
    if (!this.#started) throw this.#misuse('receive()', 'after start()');
    if (this.#over) return just(this.#violation(frame));
    switch (frame.type) {
      case 'psn':
        return this.#receivePsn(frame.psn) ?? this.#refuse(frame);
      case 'parameters':
        return this.#receiveParameters(frame) ?? this.#refuse(frame);
      case 'ready':
        return this.#receiveReady() ?? this.#refuse(frame);
      case 'bye':
        this.#state = HandshakeState.CLOSED;
        return just({ type: 'closed', reason: frame.reason });
      case 'error':
        this.#state = HandshakeState.FAILED;
        return just({ type: 'refused', code: frame.code, message: frame.message });
      // A peer may still have asked before it noticed that the connection recovers.
      case 'ping':
        return { send: [{ type: 'pong' }], event: undefined };
      case 'pong':
        return NOTHING;
      // Of the session before, when this side started over at once.
      case 'proven':
      case 'arrived':
        return this.#isAgain && this.#state === HandshakeState.PSN ? NOTHING : this.#refuse(frame);
      case 'resume':
      case 'leave':
        return this.#refuse(frame);
    }
  }

  /** The verbs objects exist; tell the peer about them. */
  setLocalParameters(parameters: SessionParameters & { readonly binding?: string }): HandshakeStep {
    if (this.#state !== HandshakeState.OBJECTS) {
      throw this.#misuse('setLocalParameters()', 'after the "create-objects" event, once');
    }
    const send: Frame[] = [{ type: 'parameters', ...parameters }];
    this.#ownPath = parameters.path;
    if (this.#peerParameters === undefined) {
      this.#state = HandshakeState.PARAMETERS;
      return { send, event: undefined };
    }
    return { send, event: this.#transition(this.#peerParameters) };
  }

  /** The queue pair is in RTS and its receives are posted; tell the peer. */
  setReady(): HandshakeStep {
    if (this.#state !== HandshakeState.TRANSITIONS) {
      throw this.#misuse('setReady()', 'after the "transition" event, once');
    }
    const send: Frame[] = [{ type: 'ready' }];
    this.#state = this.#peerReady ? HandshakeState.ESTABLISHED : HandshakeState.READY;
    return { send, event: this.#peerReady ? { type: 'established' } : undefined };
  }

  /** Ends the session in order. */
  close(reason?: string): HandshakeStep {
    if (this.#over) return NOTHING;
    this.#state = HandshakeState.CLOSED;
    return { send: [byeFrame(reason)], event: undefined };
  }

  /** Ends the session because of a fault on this side. */
  fail(code: RefusalKind, message: string): HandshakeStep {
    if (this.#over) return NOTHING;
    this.#state = HandshakeState.FAILED;
    return { send: [errorFrame(code, message)], event: undefined };
  }

  get #over(): boolean {
    return this.#state === HandshakeState.CLOSED || this.#state === HandshakeState.FAILED;
  }

  #receivePsn(psn: Psn): HandshakeStep | undefined {
    if (this.#state !== HandshakeState.PSN) return undefined;
    this.#peerPsn = psn;
    this.#state = HandshakeState.OBJECTS;
    return just({ type: 'create-objects' });
  }

  #receiveParameters(parameters: FrameOf<'parameters'>): HandshakeStep | undefined {
    if (this.#peerParameters !== undefined) return undefined;
    if (this.#state !== HandshakeState.OBJECTS && this.#state !== HandshakeState.PARAMETERS) return undefined;
    this.#peerParameters = parameters;
    return this.#state === HandshakeState.OBJECTS ? NOTHING : just(this.#transition(parameters));
  }

  #receiveReady(): HandshakeStep | undefined {
    if (this.#peerReady) return undefined;
    if (this.#state !== HandshakeState.TRANSITIONS && this.#state !== HandshakeState.READY) return undefined;
    this.#peerReady = true;
    if (this.#state === HandshakeState.TRANSITIONS) return NOTHING;
    this.#state = HandshakeState.ESTABLISHED;
    return just({ type: 'established' });
  }

  #transition({ path, terms, binding }: FrameOf<'parameters'>): HandshakeEvent {
    // The peer's PSN and our own path are what moved the state to where it is, so they are here.
    const peer = { ...path, psn: this.#peerPsn as Psn };
    const own = { ...(this.#ownPath as ToldPath), psn: this.#localPsn };
    this.#state = HandshakeState.TRANSITIONS;
    return { type: 'transition', attributes: { own, peer, terms }, binding };
  }

  #refuse(frame: Frame): HandshakeStep {
    const event = this.#violation(frame);
    this.#state = HandshakeState.FAILED;
    return { send: [errorFrame('protocol', `${event.reason}: ${event.message}`)], event };
  }

  #violation(frame: Frame): HandshakeEvent & { type: 'violation' } {
    return {
      type: 'violation',
      reason: UNEXPECTED_FRAME,
      message: `the ${this.#peerName} sent "${frame.type}", but in state "${this.#state}" ${this.#awaited()}`,
    };
  }

  #awaited(): string {
    switch (this.#state) {
      case HandshakeState.PSN:
        return 'only "psn" can come';
      case HandshakeState.OBJECTS:
      case HandshakeState.PARAMETERS:
        return this.#peerParameters === undefined ? 'only "parameters" can come' : 'nothing can come';
      case HandshakeState.TRANSITIONS:
      case HandshakeState.READY:
        return this.#peerReady ? 'nothing can come' : 'only "ready" can come';
      case HandshakeState.ESTABLISHED:
        return 'the handshake is over';
      case HandshakeState.CLOSED:
      case HandshakeState.FAILED:
        return 'the session is over';
    }
  }

  #misuse(call: string, when: string): RdmaError {
    return new RdmaError(
      'ERR_RDMA_INVALID_STATE',
      `${call} in state "${this.#state}"; call it ${when}, as long as the session lives`,
    );
  }
}
