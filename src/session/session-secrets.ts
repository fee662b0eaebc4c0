/**
 * What the two ends of a session derive from its TLS connection and nobody else can (RFC 8446, 7.5): the values that tie
 * parameters to the session they were told in, and the keys of encrypted connections.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Psn } from '../verbs/brands.js';
import type { ControlChannel } from './control-channel.js';
import type {
  DirectionKeys,
  KeyPair,
  SessionAttributes,
  SessionParameters,
  SessionRole,
} from './session-data.js';
import { addressesAsHex } from './terms.js';

export type KeyExporter = Pick<ControlChannel, 'role' | 'sessionsBefore' | 'exportKeyingMaterial'>;

const BINDING_LABEL = 'EXPORTER-queuepair-parameters';
const ENDS_LABEL = 'EXPORTER-queuepair-ends';
const BINDING_BYTES = 32;
const KEY_BYTES = 32;
const IV_BYTES = 12;

/**
 * Ties what a side tells about its queue pair to this TLS connection, to the side and to its PSN: the same parameters
 * are worth nothing in another session, or as if the other side had told them. Lower-case hex.
 */
export function bindParameters(
  exporter: KeyExporter,
  teller: SessionRole,
  psn: Psn,
  parameters: SessionParameters,
): string {
  const { path, terms } = parameters;
  const context = createHash('sha256')
    .update(`${teller} ${exporter.sessionsBefore} ${psn} ${canonical({ path, terms })}`)
    .digest();
  return exporter.exportKeyingMaterial(BINDING_BYTES, BINDING_LABEL, context).toString('hex');
}

/** Whether the peer's parameters were told in this session by this peer. */
export function isBound(
  exporter: KeyExporter,
  psn: Psn,
  parameters: SessionParameters,
  binding: string | undefined,
): boolean {
  const teller = exporter.role === 'server' ? 'client' : 'server';
  const wanted = Buffer.from(bindParameters(exporter, teller, psn, parameters));
  const given = Buffer.from(binding ?? '');
  return given.length === wanted.length && timingSafeEqual(given, wanted);
}

/** A value that only the two ends of this TLS connection know, by which they find each other in one process. */
export const endSecret = (exporter: KeyExporter): Buffer =>
  exporter.exportKeyingMaterial(BINDING_BYTES, ENDS_LABEL);

/**
 * Fresh keys for what `purpose` names, bound to this TLS connection, to how many sessions it carried before, and to the
 * PSNs and queue pair numbers of both sides.
 */
export function deriveKeys(
  exporter: KeyExporter,
  purpose: string,
  { own, peer }: Pick<SessionAttributes, 'own' | 'peer'>,
): KeyPair {
  const isServer = exporter.role === 'server';
  const [ofServer, ofClient] = isServer ? [own, peer] : [peer, own];
  const numbers = [exporter.sessionsBefore, ofServer.psn, ofServer.qpn, ofClient.psn, ofClient.qpn];
  const context = Buffer.from(numbers.join(' '));
  const derive = (sender: SessionRole): DirectionKeys => {
    const label = `EXPORTER-queuepair-${purpose}-${sender}`;
    const bytes = exporter.exportKeyingMaterial(KEY_BYTES + IV_BYTES, label, context);
    return { key: bytes.subarray(0, KEY_BYTES), iv: bytes.subarray(KEY_BYTES) };
  };
  const server = derive('server');
  const client = derive('client');
  return isServer ? { own: server, peer: client } : { own: client, peer: server };
}

/** JSON whose text does not depend on the order in which fields were set. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (key, inner: unknown) =>
    typeof inner === 'object' && inner !== null
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : addressesAsHex(key, inner),
  );
}
