/**
 * What a client shows and trusts, parsed. Reading certificates and keys takes about as long as the handshake that follows,
 * so the contexts of the latest few sets are kept for connections to come: those of a program that opens several, and
 * those that take up a lost session. A context holds no session; nothing is resumed.
 */
import { createSecureContext, type SecureContext } from 'node:tls';
import { TLS_LIMITS } from './tls-protocol.js';

/** PEM, all of it. */
export interface ClientCredentials {
  /** The authority that signed the server's certificate. Default: the public authorities that Node trusts. */
  readonly ca?: string | undefined;
  /** Our certificate, for servers that ask for one. */
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

interface Kept {
  readonly credentials: ClientCredentials;
  readonly context: SecureContext;
}

const MOST_KEPT = 8;
/** The one that was used last comes first. */
const kept: Kept[] = [];

/** @throws whatever is wrong with a certificate or key, as OpenSSL says it. */
export function secureContextFor({ ca, cert, key }: ClientCredentials): SecureContext {
  const index = kept.findIndex(
    ({ credentials }) => credentials.ca === ca && credentials.cert === cert && credentials.key === key,
  );
  const found = index < 0 ? make({ ca, cert, key }) : (kept.splice(index, 1)[0] as Kept);
  kept.unshift(found);
  if (kept.length > MOST_KEPT) kept.pop();
  return found.context;
}

function make(credentials: ClientCredentials): Kept {
  const { minVersion, maxVersion } = TLS_LIMITS;
  return { credentials, context: createSecureContext({ minVersion, maxVersion, ...credentials }) };
}
