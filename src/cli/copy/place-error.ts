/**
 * What is wrong with a path of a copy, in a sentence that goes behind its name.
 *
 * Invariant: nobody parses these sentences; a peer and a person read the same ones.
 */
import { getSystemErrorMap } from 'node:util';

/** Something about a path that a peer, or a person, is told in a sentence. */
export class PlaceError extends Error {
  override readonly name = 'PlaceError';
}

const WORDS: Readonly<Record<string, string>> = {
  ENOENT: 'does not exist',
  EACCES: 'may not be used by the user of this program',
  EPERM: 'may not be used by the user of this program',
  ELOOP: 'is a symbolic link, which is not followed',
  ENOTDIR: 'is below something that is no directory',
  EISDIR: 'is a directory',
  ENOSPC: 'does not fit: no space is left on its disk',
  EDQUOT: 'does not fit: the quota of its owner is used up',
  EFBIG: 'is larger than files may be there',
  EIO: 'cannot be read or written: its disk reports an error',
  EROFS: 'is on a disk that is read-only',
  ENAMETOOLONG: 'has a name that is too long there',
  EMFILE: 'cannot be opened: this program has too many files open',
};

/** What went wrong with a file, after its name. */
export function why(error: unknown): string {
  if (error instanceof PlaceError) return error.message;
  const { code, errno, message } = error as NodeJS.ErrnoException;
  const known = code === undefined ? undefined : WORDS[code];
  if (known !== undefined) return known;
  // The message of a system error holds paths of this machine, which a peer need not know.
  const description = errno === undefined ? undefined : getSystemErrorMap().get(errno)?.[1];
  return `cannot be used: ${description ?? message}`;
}
