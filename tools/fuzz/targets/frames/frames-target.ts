/**
 * A hostile peer on the control channel: right and wrong frames, damaged ones and bare bytes, cut anywhere, into a live
 * session. The first step of an input is the plan of the session; each other one is a frame, or something that happens
 * besides.
 *
 * What it insists on: frames come out the same however they were cut; objects are made only after the peer's PSN, and
 * queue pairs brought up only with what the peer said; an orderly peer is served to the end; everything that the session
 * says is a frame, and the last one says why it ended, without secrets; nobody waits for ever and nothing piles up.
 */
import { isDeepStrictEqual } from 'node:util';
import { FrameDecoder } from '../../../../src/session/frame-decoder.js';
import { type DecodedFrame, type Frame, MAX_FRAME_BODY_BYTES } from '../../../../src/session/frames.js';
import { RdmaError } from '../../../../src/verbs/errors.js';
import { Choices } from '../../choices.js';
import { must, type Target } from '../../target.js';
import { FRAME_FIELDS } from './field-values.js';
import { type CraftedFrame, FRAME_TYPES, FrameCrafter } from './frame-crafter.js';
import { LiveSession, OWN_PSN, type SessionPlan, turn } from './live-session.js';
import { readHandshake, readStream, type StreamModel } from './stream-model.js';

const STEP_BYTES = 32;
const MAX_STEPS = 40;
/** Frames that a channel may hold for nobody, and one that is being decoded. */
const MAX_WAITING_FRAMES = 17;
const MAX_UNSENT_BYTES = 65_536 + MAX_FRAME_BODY_BYTES + 4;
const MAX_LAST_TURNS = 64;
const MAX_LAST_MILLIS = 2000;
/** The beginnings of PSNs and keys that crafted frames hold, right or refused. */
const REFUSED_NUMBERS = ['1193046', '3735928559'];

export class FramesTarget implements Target {
  readonly name = 'frames';
  readonly stepBytes = STEP_BYTES;
  readonly maxSteps = MAX_STEPS;
  readonly #choices = new Choices();
  readonly #crafter = new FrameCrafter();

  /** An orderly session in each plan, and every field of every frame with every value of its list. */
  seeds(): Uint8Array[] {
    const seeds: Uint8Array[] = [];
    for (let plan = 0; plan < 32; plan++)
      seeds.push(input([plan & 1, plan >> 1, plan >> 3], [], [], [], [], []));
    for (const [i, type] of FRAME_TYPES.entries()) {
      for (let name = 0; name < Object.keys(FRAME_FIELDS[type]).length; name++) {
        for (let value = 0; value < 6; value++)
          seeds.push(input([], [90, i, value], [128, i, 0, 0, 0, 0, 0, 0, value]));
      }
    }
    // Nobody takes what comes after the handshake.
    seeds.push(input([0, 0, 2], [], [], [3, 5], [218, 0, 20], [218, 20], [219, 23]));
    seeds.push(input([1, 0, 2], [], [], [3, 5], [218, 23], [219, 23]));
    for (let kind = 0; kind < 15; kind++) seeds.push(input([], [], [160, 4, 0, kind]));
    return seeds;
  }

  async run(bytes: Uint8Array): Promise<number> {
    const choices = this.#choices.reset(bytes, 0, STEP_BYTES);
    const session = new LiveSession(pickPlan(choices));
    const peer = new Peer(session);
    this.#crafter.reset(session.bind);
    for (let at = STEP_BYTES; at < bytes.length; at += STEP_BYTES) {
      const wait = this.#step(peer, choices.reset(bytes, at, at + STEP_BYTES));
      for (let i = 0; i < wait; i++) await turn();
      checkBounds(peer);
    }
    await finish(peer);
    return Math.max(1, peer.frames);
  }

  /** Returns how many turns of the event loop to wait. */
  #step(peer: Peer, choices: Choices): number {
    const kind = choices.u8();
    if (kind < 80) peer.send(this.#crafter.next(choices), choices);
    else if (kind < 110) peer.send(this.#crafter.right(choices), choices);
    else if (kind < 150) peer.send(this.#crafter.wrong(choices), choices);
    else if (kind < 180) peer.send(this.#crafter.text(choices), choices);
    else if (kind < 196) peer.send(this.#crafter.damaged(choices), choices);
    else if (kind < 208) peer.send(this.#crafter.misframed(choices), choices);
    else if (kind < 218) peer.send(this.#crafter.raw(choices), choices);
    else if (kind < 222)
      for (let i = choices.below(24); i >= 0; i--) peer.send(this.#crafter.next(choices), choices);
    else happen(peer, kind);
    return kind % 4 === 3 ? choices.below(6) : 0;
  }
}

/** The hostile side, and all the bytes that it has sent. */
class Peer {
  readonly session: LiveSession;
  frames = 0;
  /** The session was ended from our side, or the connection cut: an orderly peer need not be served. */
  disturbed = false;
  readonly #chunks: Uint8Array[] = [];

  constructor(session: LiveSession) {
    this.session = session;
  }

  get stream(): Uint8Array {
    return Buffer.concat(this.#chunks);
  }

  send(frame: CraftedFrame, choices: Choices): void {
    const { bytes, valid } = frame;
    this.frames++;
    if (valid !== undefined) {
      const { frames, faulty } = readStream(bytes);
      must(
        valid === (frames.length === 1 && !faulty),
        `a frame is ${valid ? 'accepted' : 'refused'}: ${Buffer.from(bytes.subarray(4, 160)).toString()}`,
      );
    }
    const cuts = choices.oneIn(3) ? 1 + choices.below(4) : 0;
    for (let from = 0, i = 0; from < bytes.length; i++) {
      const to = i < cuts ? Math.min(bytes.length, from + 1 + choices.below(24)) : bytes.length;
      const chunk = bytes.subarray(from, to);
      this.#chunks.push(chunk);
      this.session.socket.feed(chunk);
      from = to;
    }
  }
}

function pickPlan(choices: Choices): SessionPlan {
  const role = (choices.u8() & 1) === 0 ? 'server' : 'client';
  const slowTurns = choices.below(4);
  const flags = choices.u8();
  return {
    role,
    slowTurns,
    failing: (flags & 24) === 8 ? 'objects' : (flags & 24) === 16 ? 'transition' : null,
    unread: (flags & 2) !== 0,
    deaf: (flags & 5) === 5,
  };
}

/** What happens besides: on our side, in time, on the network. */
function happen(peer: Peer, kind: number): void {
  const { session } = peer;
  const { channel, socket, deadline } = session;
  if (kind >= 250) return;
  peer.disturbed ||= kind < 246;
  if (kind < 226) void channel.close(kind & 1 ? 'because' : undefined);
  else if (kind < 230) channel.fail(new RdmaError('ERR_RDMA_ABORTED', 'this side gave up'));
  else if (kind < 234) {
    if (!deadline.disarmed) deadline.onExpired();
  } else if (kind < 238) socket.hangUp();
  else if (kind < 242) socket.destroy(Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' }));
  else if (kind < 246) socket.destroy();
  else if (channel.end === undefined) channel.send({ type: 'ping' });
}

function checkBounds({ session }: Peer): void {
  const { socket } = session;
  must(socket.writableLength <= MAX_UNSENT_BYTES, 'what a deaf peer leaves unsent is bounded');
}

/** The peer goes, and the session must come to its end by itself. */
async function finish(peer: Peer): Promise<void> {
  const { session } = peer;
  const model = readStream(peer.stream);
  for (let i = 0; i < 16; i++) await turn();
  const wasServed = session.established !== undefined;
  checkUnread(peer, model);
  if (session.plan.unread && session.channel.end === undefined) void session.channel.close();
  session.socket.hangUp();
  const startedAt = performance.now();
  for (let i = 0; !session.isOver; i++) {
    await turn();
    const tookTooLong = i > MAX_LAST_TURNS && performance.now() > startedAt + MAX_LAST_MILLIS;
    must(!tookTooLong, 'a session whose peer is gone ends');
  }
  must(session.deadline.disarmed, 'a session that ended leaves no timer');
  checkDecoding(peer.stream, model);
  checkHandshake(peer, model, wasServed);
  checkSent(peer, model);
}

function checkUnread({ session, disturbed }: Peer, { frames, faulty }: StreamModel): void {
  const { unread } = session.plan;
  if (!unread || disturbed || faulty || session.established === undefined) return;
  const left = frames.length - readHandshake(frames, session.bind).length;
  if (left > MAX_WAITING_FRAMES && session.channel.end === undefined)
    must(session.socket.isPaused(), 'a channel that nobody reads stops reading');
}

/** Cut into single bytes, the stream gives the same frames. */
function checkDecoding(stream: Uint8Array, { frames, faulty, restBytes }: StreamModel): void {
  const decoder = new FrameDecoder();
  const decoded: DecodedFrame[] = [];
  const size = stream.length > 2048 ? 61 : 1;
  for (let at = 0; at < stream.length; at += size)
    decoded.push(...decoder.push(stream.subarray(at, at + size)));
  must(
    decoded.length === frames.length + (faulty ? 1 : 0),
    'a decoder finds the frames and one fault at most',
  );
  for (const [i, result] of decoded.entries()) {
    must(result.ok === i < frames.length, 'the fault comes last');
    if (result.ok)
      must(isDeepStrictEqual(result.frame, frames[i]), 'cutting a stream does not change its frames');
    else checkText(result.violation.message, frames);
  }
  if (!faulty) must(decoder.insideFrame === restBytes > 0, 'a decoder knows that a frame is incomplete');
}

function checkHandshake({ session, disturbed }: Peer, model: StreamModel, wasServed: boolean): void {
  const { plan, transitions, established, error, received } = session;
  const { frames, faulty } = model;
  const handshake = readHandshake(frames, session.bind);
  must(session.objectsMade <= 1 && transitions.length <= 1, 'each step is asked for once');
  if (session.objectsMade > 0)
    must(handshake.psn !== undefined, 'objects are made after the PSN of the peer');
  for (const { own, peer, terms } of transitions) {
    const { psn, ...path } = peer;
    must(psn === handshake.psn?.psn && own.psn === OWN_PSN, 'a queue pair gets the PSNs that were exchanged');
    const told = handshake.parameters;
    must(
      isDeepStrictEqual([path, terms], [told?.path, told?.terms]),
      'a queue pair gets the parameters that the peer sent',
    );
  }
  if (established !== undefined) must(handshake.established, 'a session is established by frames in order');
  if (error !== undefined) must(error instanceof RdmaError, `a session ends with an RdmaError, not ${error}`);
  else must(plan.unread, 'a reader learns of the end');
  const rest = frames.slice(handshake.length);
  must(isReceived(received, rest), 'what was received is what was sent');
  const ends = faulty || frames.some(({ type }) => type === 'bye' || type === 'error');
  const isOrderly = handshake.established && !ends && !disturbed && !plan.deaf && plan.failing === null;
  if (!isOrderly) return;
  must(wasServed, 'an orderly peer is served');
  if (!plan.unread) must(received.length === rest.length, 'all frames of an orderly peer arrive');
}

/** Nothing is left out, but before a fault: of what nobody had taken by then, only the word that the peer was up counts. */
function isReceived(received: readonly Frame[], sent: readonly Frame[]): boolean {
  const until = received.findIndex((frame, i) => !isDeepStrictEqual(frame, sent[i]));
  if (until < 0) return true;
  const words = sent.slice(until).filter(({ type }) => type === 'proven').length;
  const last = received.slice(until);
  return last.length <= words && last.every(({ type }) => type === 'proven');
}

/** All that the session said: frames, of which only the last one ends it. */
function checkSent({ session, disturbed }: Peer, model: StreamModel): void {
  if (session.plan.deaf) return;
  const { frames, faulty, restBytes } = readStream(Buffer.concat(session.socket.sent));
  must(!faulty && restBytes === 0, 'a session says nothing but frames');
  const lasts = frames.filter(({ type }) => type === 'error' || type === 'bye');
  must(lasts.length <= 1, 'a session ends once');
  if (lasts.length === 1) must(frames.at(-1) === lasts[0], 'nothing follows the end of a session');
  const pongs = frames.filter(({ type }) => type === 'pong').length;
  const pings = model.frames.filter(({ type }) => type === 'ping').length;
  must(pongs <= pings, 'a sign of life is given when it was asked for');
  must(frames.length - pongs <= 64, 'a session says little');
  const last = lasts[0];
  if (last?.type === 'error') checkText(`${last.code} ${last.message}`, model.frames);
  // One that said bye before has hung up.
  const hasLeft = disturbed || model.frames.some(({ type }) => type === 'bye' || type === 'error');
  const { error, plan } = session;
  if (hasLeft || plan.failing !== null || !(error instanceof RdmaError)) return;
  must(last?.type === 'error' || error.code !== 'ERR_RDMA_PROTOCOL', 'a peer is told its fault');
}

/** A message about the peer's frames holds no secret and nothing that a terminal acts on. */
function checkText(message: string, frames: readonly Frame[]): void {
  must(message.length <= 640 && !/[\p{C}\p{Zl}\p{Zp}]/u.test(message), 'a message is clean and short');
  must(!message.includes(String(OWN_PSN)), 'a message does not hold our PSN');
  must(!message.includes('/secret/'), 'a message does not hold what went wrong on our side');
  for (const number of REFUSED_NUMBERS) must(!message.includes(number), 'a message does not hold PSN or key');
  for (const frame of frames) {
    if (frame.type !== 'psn' || frame.psn < 100_000 || frame.psn >= 0xfffffe) continue;
    must(!message.includes(String(frame.psn)), 'a message does not hold the PSN of the peer');
  }
}

/** Steps, each padded with zeros. */
function input(...steps: number[][]): Uint8Array {
  const bytes = new Uint8Array(steps.length * STEP_BYTES);
  for (const [i, step] of steps.entries()) bytes.set(step, i * STEP_BYTES);
  return bytes;
}
