/** What must hold of streams when all of them are over, and when their connection is. */
import { SimFailure } from '../failure.js';
import type { EndProgram } from './end-program.js';
import type { StreamEnd } from './records.js';
import type { StreamProgram } from './stream-program.js';

/** All streams are over while the connection is up: of `own` ends, against those of the `other` side. */
export function verifyStreamsSettled(name: string, own: StreamProgram, other: StreamProgram): void {
  for (const end of own.ends.values()) {
    const peer = other.ends.get(-end.id);
    const object = (what: string): SimFailure =>
      new SimFailure('streams', `${name}: stream ${end.id} is over, but ${what}`);
    if (peer === undefined) {
      if (end.outgoing.reset === null) throw object('the peer never saw it');
      continue;
    }
    const resets = [end.outgoing.reset, peer.outgoing.reset, end.incoming.reset, peer.incoming.reset];
    if (resets.every((code) => code === null)) verifyWhole(end, peer, object);
    else verifyReset(end, peer, object);
  }
}

function verifyWhole(end: StreamEnd, peer: StreamEnd, object: (what: string) => SimFailure): void {
  if (!end.incoming.hasEnded) throw object('its end was not seen');
  if (end.incoming.bytes !== peer.outgoing.bytes)
    throw object(`${end.incoming.bytes} of ${peer.outgoing.bytes} bytes were read`);
  for (const { kind, outcome } of end.calls) {
    if (outcome === undefined) throw object(`a ${kind} is not`);
    if (outcome.error !== null) throw object(`a ${kind} failed: ${outcome.error.message}`);
  }
}

/** Who did not reset it itself, nor was done with it, has heard of it. */
function verifyReset(end: StreamEnd, peer: StreamEnd, object: (what: string) => SimFailure): void {
  const { incoming, outgoing } = end;
  if (peer.outgoing.reset === null || outgoing.reset !== null) return;
  if (incoming.hasEnded && outgoing.hasEnded) return;
  if (incoming.reset !== peer.outgoing.reset) throw object("the peer's reset was not heard");
}

/** An orderly end gave all that the peer was told to have arrived. */
function verifyArrived(name: string, { id, incoming }: StreamEnd, other: StreamEnd): void {
  let arrived = 0;
  for (const { bytes, outcome } of other.calls) if (outcome?.error === null) arrived += bytes;
  if (incoming.bytes < arrived)
    throw new SimFailure(
      'streams',
      `${name}: stream ${id} gave ${incoming.bytes} of ${arrived} bytes that had arrived`,
    );
}

/** The connection is over. */
export function verifyStreams(program: EndProgram): void {
  const { streams, peer, name } = program;
  for (const end of streams?.ends.values() ?? []) {
    const { id, calls, incoming, outgoing } = end;
    const other = peer?.streams?.ends.get(-id);
    if (other !== undefined && incoming.bytes > other.outgoing.bytes)
      throw new SimFailure('streams', `${name}: stream ${id} gave more than was written`);
    const wasReset = incoming.reset !== null || outgoing.reset !== null;
    if (streams?.hasEndedInOrder === true && !wasReset && other !== undefined)
      verifyArrived(name, end, other);
    for (const { kind, outcome } of calls) {
      const error = outcome?.error ?? null;
      if (error === null || error === program.end?.error) continue;
      const isEnd = error.code === 'ERR_RDMA_CLOSED' && program.end?.error === null;
      if (!isEnd && !(wasReset && error.code === 'ERR_RDMA_ABORTED'))
        throw new SimFailure('truth', `${name}: a ${kind} on stream ${id} failed with ${error.stack}`);
    }
  }
}
