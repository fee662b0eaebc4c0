/**
 * Brings a session up over a control channel: pulls frames, asks the caller for its two steps, and keeps to the order
 * that the `Handshake` demands. No verbs object is asked for before the peer's PSN has arrived.
 */
import type { Psn } from '../verbs/brands.js';
import { asRdmaError, RdmaError } from '../verbs/errors.js';
import { cleanText } from './clean-text.js';
import type { ChannelEnd, ControlChannel } from './control-channel.js';
import { Handshake, type HandshakeEvent } from './handshake.js';
import { untilProven } from './proof.js';
import { generatePsn } from './psn-source.js';
import type { PeerFault, SessionAttributes, SessionParameters } from './session-data.js';
import { bindParameters, isBound } from './session-secrets.js';

export interface SessionSteps {
  /** Makes PD, CQs, QP, buffers and MRs. `signal` aborts when the session ends meanwhile. */
  createObjects(signal: AbortSignal): Promise<SessionParameters>;
  /** Looks at what the peer told, before anything is done with it; returns what it may not tell. */
  checkPeer?(attributes: SessionAttributes): Promise<PeerFault | undefined>;
  /** INIT → RTR(rqPsn) → RTS(sqPsn), and posts the receives. */
  transition(attributes: SessionAttributes, signal: AbortSignal): Promise<void>;
  /**
   * Both sides are ready: resolves when the link has carried this side's packets; the peer says so of its own. The channel
   * stays open when it rejects, because another attempt may begin over it.
   */
  prove?(attributes: SessionAttributes): Promise<void>;
  /** During the proof: so many messages of this side's are there, says the peer. */
  peerHas?(messages: number): void;
}

/**
 * Resolves when both sides are ready and both have proven the link. Rejects only after a step that was running has settled,
 * so that the caller can then free what its steps made; the channel has ended (or is ending) by then. May be called again on a
 * session that is established, by both sides: then new PSNs and parameters are exchanged.
 *
 * @throws RdmaError why the channel ended (see `ControlChannel.receive`), or what a step threw.
 */
export async function establishSession(
  channel: ControlChannel,
  steps: SessionSteps,
  psn: Psn = generatePsn(),
): Promise<SessionAttributes> {
  const abort = new AbortController();
  const stop = ({ error }: ChannelEnd): void => abort.abort(error);
  // A channel that is closed already tells nobody so again, and may still have frames of before.
  if (channel.end !== undefined) stop(channel.end);
  channel.onClosed = stop;
  try {
    return await runSteps(channel, steps, psn, abort.signal);
  } finally {
    channel.onClosed = null;
  }
}

async function runSteps(
  channel: ControlChannel,
  steps: SessionSteps,
  psn: Psn,
  signal: AbortSignal,
): Promise<SessionAttributes> {
  const handshake = new Handshake(channel.role, psn, channel.sessionsBefore > 0);
  let attributes: SessionAttributes | undefined;
  let step = handshake.start();
  for (;;) {
    const { send, event } = step;
    if (event?.type === 'violation') throw endedBy(channel, event);
    for (const frame of send) channel.send(frame);
    if (event === undefined) {
      step = handshake.receive(await channel.receive());
    } else if (event.type === 'create-objects') {
      const parameters = await ownStep(channel, async () => {
        const made = await steps.createObjects(signal);
        return { ...made, binding: bindParameters(channel, channel.role, psn, made) };
      });
      step = handshake.setLocalParameters(parameters);
    } else if (event.type === 'transition') {
      const wanted = event.attributes;
      checkBinding(channel, wanted, event.binding);
      const fault = await steps.checkPeer?.(wanted);
      if (fault !== undefined) throw endedBy(channel, { type: 'violation', ...fault });
      await ownStep(channel, () => steps.transition(wanted, signal));
      attributes = wanted;
      step = handshake.setReady();
    } else if (event.type === 'established' && attributes !== undefined) {
      channel.sessionMet();
      if (steps.prove !== undefined) await untilProven(channel, steps.prove(attributes), steps.peerHas);
      channel.handshakeDone();
      return attributes;
    } else {
      throw endedBy(channel, event);
    }
  }
}

function checkBinding(
  channel: ControlChannel,
  { peer, terms }: SessionAttributes,
  binding: string | undefined,
): void {
  if (channel.end?.error !== undefined) throw channel.end.error;
  const { psn, ...path } = peer;
  if (isBound(channel, psn, { path, terms }, binding)) return;
  const message = 'its parameters do not belong to this TLS session';
  throw endedBy(channel, { type: 'violation', reason: 'not_bound', message });
}

/**
 * The peer learns that a step failed here and of what kind the failure is, but not the message: that may name our files and
 * devices.
 */
async function ownStep<Result>(channel: ControlChannel, run: () => Promise<Result>): Promise<Result> {
  try {
    return await run();
  } catch (error) {
    // A step that failed because the session ended has nothing new to say.
    if (channel.end?.error !== undefined) throw channel.end.error;
    const failure = asRdmaError(error, 'a step of the session failed');
    channel.fail(failure, `the ${channel.role} could not set up its queue pair`);
    throw failure;
  }
}

type SessionEnd = HandshakeEvent | { type: 'violation'; reason: string; message: string };

function endedBy(channel: ControlChannel, event: SessionEnd): RdmaError {
  if (event.type === 'violation') {
    const error = new RdmaError(
      'ERR_RDMA_PROTOCOL',
      `${channel.peerName} broke the session protocol (${event.reason}): ${event.message}`,
    );
    channel.fail(error, `${event.reason}: ${event.message}`);
    return error;
  }
  const reason =
    event.type === 'closed' && event.reason !== undefined ? cleanText(event.reason, 256) : 'none';
  return new RdmaError(
    'ERR_RDMA_CONNECTION_LOST',
    `${channel.peerName} said bye before the session was established (reason: ${reason})`,
  );
}
