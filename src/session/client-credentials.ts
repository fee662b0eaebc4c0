/**
 * What a client shows and trusts, parsed. Reading certificates and keys takes about as long as the handshake that follows,
 * so the contexts of the latest few sets are kept for connections to come: those of a program that opens several, and
 * those that take up a lost session. A context holds no session; nothing is resumed.
 */
import { createSecureContext, type SecureContext } from 'node:tls';
import { TLS_LIMITS } from './tls-protocol.js';

/** Texts are PEM. */
export interface ClientCredentials {
  /** The authority that signed the server's certificate. Default: the public authorities that Node trusts. */
  readonly ca?: string | undefined;
  /** Our certificate, for servers that ask for one. */
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  /** PKCS #12, in place of both. */
  readonly pfx?: Uint8Array | undefined;
  /** What `key` or `pfx` is encrypted with. */
  readonly passphrase?: string | undefined;
  /** In place of all of these. */
  readonly secureContext?: SecureContext | undefined;
}

/** What a context is made of; bytes are compared by where they are. */
const FIELDS = ['ca', 'cert', 'key', 'pfx', 'passphrase'] as const;

interface Kept {
  readonly fields: readonly (string | Uint8Array | undefined)[];
  readonly context: SecureContext;
}

const MOST_KEPT = 8;
/** The one that was used last comes first. */
const kept: Kept[] = [];

/** @throws whatever is wrong with a certificate or key, as OpenSSL says it. */
export function secureContextFor(credentials: ClientCredentials): SecureContext {
  if (credentials.secureContext !== undefined) return credentials.secureContext;
  const wanted = FIELDS.map((name) => credentials[name]);
  const index = kept.findIndex(({ fields }) => fields.every((field, place) => field === wanted[place]));
  const found = index < 0 ? make(credentials, wanted) : (kept.splice(index, 1)[0] as Kept);
  kept.unshift(found);
  if (kept.length > MOST_KEPT) kept.pop();
  return found.context;
}

function make({ ca, cert, key, pfx, passphrase }: ClientCredentials, fields: Kept['fields']): Kept {
  const { minVersion, maxVersion } = TLS_LIMITS;
  const bytes = pfx === undefined ? undefined : Buffer.from(pfx);
  const context = createSecureContext({ minVersion, maxVersion, ca, cert, key, pfx: bytes, passphrase });
  return { fields, context };
}
