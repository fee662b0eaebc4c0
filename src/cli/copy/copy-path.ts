/**
 * Paths of a copy as they travel: relative, with `/` between names, empty for what was asked for itself.
 *
 * Invariant: a path that `pathFault` accepts names something inside of where it is applied, on every platform, as long as no
 * symbolic link is followed; and never one of our own partial files.
 */
import { createHash, randomBytes } from 'node:crypto';

const MAX_PATH_BYTES = 4096;
const MAX_NAME_BYTES = 255;
const OWN_NAME = /^\.queuepair-[0-9a-f]{16}(-[0-9a-f]{8})?\.(part|journal)$/i;

/** Why a path of a peer is refused; `undefined` when it is not. */
export function pathFault(path: string): string | undefined {
  if (path === '') return undefined;
  if (path.startsWith('/')) return 'it is absolute: paths are relative to the shared directory';
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) return `it is longer than ${MAX_PATH_BYTES} bytes`;
  for (const name of path.split('/')) {
    const fault = nameFault(name);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function nameFault(name: string): string | undefined {
  if (name === '' || name === '.' || name === '..') return `it has a part "${name}"`;
  if (name.includes('\0') || name.includes('\\')) return 'it has a character that names cannot have';
  // Half a character could not be told from another one once it is written.
  if (/\p{Cs}/u.test(name)) return 'it is no Unicode text';
  if (Buffer.byteLength(name) > MAX_NAME_BYTES) return `a name is longer than ${MAX_NAME_BYTES} bytes`;
  return isOwnName(name) ? 'it is a partial file of a copy' : undefined;
}

export const isOwnName = (name: string): boolean => OWN_NAME.test(name);

/** Where a file is kept until it is whole, and what is known of it, in the same directory. */
export function partNames(name: string): { readonly part: string; readonly journal: string } {
  const mark = createHash('sha256').update(name).digest('hex').slice(0, 16);
  return { part: `.queuepair-${mark}.part`, journal: `.queuepair-${mark}.journal` };
}

/** A name beside one of those that nobody else uses, for a moment. */
export const uniqueName = (name: string): string =>
  name.replace(/(?=\.\w+$)/, `-${randomBytes(4).toString('hex')}`);

export const joinPath = (base: string, path: string): string =>
  base === '' ? path : path === '' ? base : `${base}/${path}`;

/** As people type it: `a/b/`, `./a`, `.`. Whatever else is wrong, `pathFault` says. */
export function typedPath(text: string): string {
  const names = text.split('/').filter((name, i) => name !== '.' && (name !== '' || i === 0));
  return names.join('/');
}
