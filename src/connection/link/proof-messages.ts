/**
 * The two messages that prove a link (link-proof.ts). They hold nothing but a limit, and the second is padded to a whole
 * packet, or to what a receive of the peer takes.
 *
 * Both leave before anything else: they name the number that the peer expects next without using it up.
 */
import { PROOF_MESSAGES } from '../../session/session-data.js';
import { WrOpcode } from '../../verbs/work-request.js';
import { HEADER_BYTES, MessageKind, writeHeader } from '../fragments/message-header.js';
import type { ReceiveWindow } from '../fragments/receive-window.js';
import { type Sealer, TAG_BYTES } from '../fragments/sealing.js';
import type { WorkTracker } from '../fragments/work-tracker.js';
import type { LinkProof } from './link-proof.js';
import type { ConnectionResources } from './resources.js';

export interface ProofMessages {
  readonly tracker: WorkTracker;
  readonly resources: Pick<ConnectionResources, 'messageMr' | 'proofAt'>;
  readonly window: ReceiveWindow;
  /** `null` on connections that are not encrypted. */
  readonly sealer: Sealer | null;
  /** Number of the fragment that the peer expects next. */
  readonly sequence: number;
  readonly pathMtu: number;
  /** Of the peer's receives. */
  readonly slotBytes: number;
}

/** A fragment without payload. */
const bareBytes = (sealer: Sealer | null): number => HEADER_BYTES + (sealer === null ? 0 : TAG_BYTES);

/** Posts both and tells `proof` what becomes of them. */
export function postProof(messages: ProofMessages, proof: LinkProof): void {
  const { sealer, pathMtu, slotBytes } = messages;
  const smallBytes = bareBytes(sealer);
  if (slotBytes <= smallBytes) {
    // Too small for any message: there is nothing to prove, and the sender refuses the peer's terms.
    for (let i = 0; i < PROOF_MESSAGES; i++) proof.onDone(undefined);
    return;
  }
  post(messages, proof, 'small', smallBytes);
  post(messages, proof, 'full', Math.min(pathMtu, slotBytes));
}

function post(messages: ProofMessages, proof: LinkProof, size: 'small' | 'full', length: number): void {
  const { tracker, resources, window, sealer, sequence } = messages;
  const { messageMr: mr } = resources;
  const offset = resources.proofAt[size];
  window.told = window.limit;
  const fields = { flags: 0, sequence, limit: window.limit, stream: 0, tag: 0, value: 0 };
  writeHeader(mr.bytes, offset, { kind: MessageKind.LIMIT, ...fields });
  const body = mr.bytes.subarray(offset + HEADER_BYTES, offset + length).fill(0);
  const padding = new Uint8Array(length - bareBytes(sealer));
  sealer?.seal(mr.bytes.subarray(offset, offset + HEADER_BYTES), padding, body);
  const sges = [{ mr, offset, length }];
  tracker.post({ opcode: WrOpcode.SEND, sges }, (error) => proof.onDone(error));
}
