/**
 * A directory that a copy reads from or writes to, and nothing outside of it: whatever a peer asks for is looked up name by name
 * from its root.
 *
 * Invariants: no symbolic link below the root is followed; files are ordinary files, opened without following and without
 * waiting. (Who may change the directory on this machine may do so in the moment between the look and the use; a peer may not.)
 */
import { constants, type Stats } from 'node:fs';
import { type FileHandle, lstat, open, opendir, readdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { isOwnName, joinPath, pathFault } from './copy-path.js';
import { PlaceError, why } from './place-error.js';

const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
const MODE_BITS = 0o777;
/** Of one walk: directories below that many are read as a whole, so that a deep tree takes no more descriptors. */
const MAX_OPEN_DIRECTORIES = 32;

export type Walked =
  | {
      readonly kind: 'file' | 'directory';
      /** From where the walk began. */
      readonly path: string;
      readonly absolute: string;
      readonly size: number;
      readonly mode: number;
      readonly mtimeMillis: number;
    }
  | { readonly kind: 'skipped'; readonly path: string; readonly reason: string };

/** What writes a file of the place, and can be told to stop. */
export interface Writing {
  keep(reason: string): Promise<void>;
}

export class Place {
  readonly root: string;
  /** Partial files that are written now, by the path of what they become. */
  readonly partials = new Map<string, Writing>();

  /** @throws PlaceError when it is no directory. */
  static async at(directory: string): Promise<Place> {
    const root = await realpath(directory).catch((error: unknown) => {
      throw new PlaceError(`${directory} ${why(error)}`);
    });
    if (!(await lstat(root)).isDirectory()) throw new PlaceError(`${directory} is no directory`);
    return new Place(root);
  }

  private constructor(root: string) {
    this.root = root;
  }

  /** The directory that holds what `path` names, and the name. @throws PlaceError */
  async locate(path: string): Promise<{ readonly directory: string; readonly name: string }> {
    const fault = pathFault(path);
    if (fault !== undefined) throw new PlaceError(`${path}: ${fault}`);
    const names = path.split('/');
    const name = names.pop() ?? '';
    let directory = this.root;
    for (const one of names) {
      directory = join(directory, one);
      const stats = await lstat(directory).catch((error: unknown) => {
        throw new PlaceError(`${path}: ${one} ${why(error)}`);
      });
      if (stats.isSymbolicLink())
        throw new PlaceError(`${path}: ${one} is a symbolic link, which is not followed`);
      if (!stats.isDirectory()) throw new PlaceError(`${path}: ${one} is no directory`);
    }
    return { directory, name };
  }

  /** What is there; `undefined` when nothing is. @throws PlaceError */
  async look(path: string): Promise<{ readonly absolute: string; readonly stats: Stats } | undefined> {
    const { directory, name } = await this.locate(path);
    const absolute = name === '' ? directory : join(directory, name);
    try {
      return { absolute, stats: await lstat(absolute) };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw new PlaceError(`${path} ${why(error)}`);
    }
  }

  /** All files and directories at `base` and below, each directory before what is in it. */
  async *walk(base: string): AsyncGenerator<Walked, void, void> {
    const found = await this.look(base);
    if (found === undefined) throw new PlaceError(`${base} does not exist`);
    yield* walkAt(found.absolute, '', 0, found.stats);
  }
}

async function* walkAt(
  absolute: string,
  path: string,
  depth: number,
  known?: Stats,
): AsyncGenerator<Walked, void, void> {
  const stats = known ?? (await lstat(absolute).catch((error: unknown) => why(error)));
  if (typeof stats === 'string') {
    yield { kind: 'skipped', path, reason: stats };
    return;
  }
  const fault =
    stats.isFile() || stats.isDirectory() ? (pathFault(path) ?? numberFault(stats)) : specialKind(stats);
  if (fault !== undefined) {
    yield { kind: 'skipped', path: Buffer.from(path).toString(), reason: fault };
    return;
  }
  const kind = stats.isFile() ? 'file' : 'directory';
  const size = stats.isFile() ? stats.size : 0;
  yield { kind, path, absolute, size, mode: stats.mode & MODE_BITS, mtimeMillis: Math.round(stats.mtimeMs) };
  if (!stats.isDirectory()) return;
  try {
    const isDeep = depth >= MAX_OPEN_DIRECTORIES;
    const names = isDeep ? await readdir(absolute, { withFileTypes: true }) : await opendir(absolute);
    for await (const { name } of names) {
      if (!isOwnName(name)) yield* walkAt(join(absolute, name), joinPath(path, name), depth + 1);
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === undefined) throw error;
    yield { kind: 'skipped', path, reason: why(error) };
  }
}

/** Some file systems keep numbers that cannot be told exactly. */
const numberFault = ({ size, mtimeMs }: Stats): string | undefined =>
  Number.isSafeInteger(size) && Number.isSafeInteger(Math.round(mtimeMs))
    ? undefined
    : 'has a size or a time that is too large';

export const specialKind = (stats: Stats): string =>
  stats.isSymbolicLink() ? 'is a symbolic link, which is not followed' : 'is neither a file nor a directory';

/** Opens an ordinary file to read. @throws PlaceError */
export async function openOrdinary(absolute: string): Promise<FileHandle> {
  try {
    const file = await open(absolute, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if ((await file.stat()).isFile()) return file;
    await file.close();
  } catch (error) {
    throw new PlaceError(why(error));
  }
  throw new PlaceError('is no ordinary file');
}
