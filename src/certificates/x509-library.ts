/**
 * The library that writes X.509 certificates, loaded on first need: it takes about a fifth of a second, and nobody who
 * brings certificates of their own should pay for it.
 *
 * Its dependency-injection package refuses to load without the metadata functions of `Reflect`, though this library
 * gives it no metadata. They are lent to it for the time of the (synchronous) load and taken back, so that no other
 * code of the process ever sees a changed `Reflect`.
 */
import { webcrypto } from 'node:crypto';
import { createRequire } from 'node:module';
import type * as X509 from '@peculiar/x509';

const NO_METADATA = {
  getMetadata: (): undefined => undefined,
  getOwnMetadata: (): undefined => undefined,
  defineMetadata: (): void => undefined,
};

let library: typeof X509 | undefined;

export function x509Library(): typeof X509 {
  library ??= load();
  return library;
}

function load(): typeof X509 {
  const require = createRequire(import.meta.url);
  const lend = !('getMetadata' in Reflect);
  if (lend) Object.assign(Reflect, NO_METADATA);
  try {
    const loaded = require('@peculiar/x509') as typeof X509;
    loaded.cryptoProvider.set(webcrypto);
    return loaded;
  } finally {
    if (lend) for (const name of Object.keys(NO_METADATA)) Reflect.deleteProperty(Reflect, name);
  }
}
