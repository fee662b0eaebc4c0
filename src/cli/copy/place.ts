/**
 * A directory that a copy reads from or writes to, and nothing outside of it: whatever a peer asks for is looked up name by name
 * from its root.
 *
 * Invariants: no symbolic link below the root is followed, also where somebody on this machine puts one there in the meantime (as far as
 * `Folder` goes); files are ordinary files, opened without following and without waiting.
 */
import { isUtf8 } from 'node:buffer';
import { constants, type OpenDirOptions, type Stats } from 'node:fs';
import { type FileHandle, lstat, open, opendir, readdir, realpath } from 'node:fs/promises';
import { isOwnName, joinPath, pathFault } from './copy-path.js';
import { Folder } from './folder.js';
import { PlaceError, why } from './place-error.js';

const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK } = constants;
const MODE_BITS = 0o777;
/** Of one walk: directories below that many are read as a whole, so that a deep tree takes no more descriptors. */
const MAX_OPEN_DIRECTORIES = 16;

export type Walked =
  | {
      readonly kind: 'file' | 'directory';
      /** From where the walk began. */
      readonly path: string;
      readonly size: number;
      readonly mode: number;
      readonly mtimeMillis: number;
    }
  | { readonly kind: 'skipped'; readonly path: string; readonly reason: string };

/** A name in a directory. */
export interface Located {
  readonly folder: Folder;
  readonly name: string;
}

/** What writes a file of the place, and can be told to stop. */
export interface Writer {
  keep(reason: string): Promise<void>;
}

export class Place {
  readonly root: string;
  /** Partial files that are written now, by the path of what they become. */
  readonly partials = new Map<string, Writer>();

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

  /** The directory that holds what `path` names, which the caller closes, and the name. @throws PlaceError */
  async locate(path: string): Promise<Located> {
    const fault = pathFault(path);
    if (fault !== undefined) throw new PlaceError(`${path}: ${fault}`);
    const names = path.split('/');
    const name = names.pop() ?? '';
    return { folder: await this.#enter(names, path), name };
  }

  /** What is there; `undefined` when nothing is. @throws PlaceError */
  async look(path: string): Promise<Stats | undefined> {
    const { folder, name } = await this.locate(path);
    return lookIn(folder, name, path).finally(() => folder.close());
  }

  /** Opens an ordinary file to read. @throws PlaceError */
  async open(path: string): Promise<FileHandle> {
    const { folder, name } = await this.locate(path);
    try {
      return await openOrdinary(folder.at(name));
    } finally {
      await folder.close();
    }
  }

  /** Opens a directory. @throws PlaceError */
  async openDirectory(path: string): Promise<FileHandle> {
    const { folder, name } = await this.locate(path);
    return open(folder.at(name), O_RDONLY | O_DIRECTORY | O_NOFOLLOW).finally(() => folder.close());
  }

  /** All files and directories at `base` and below, each directory before what is in it. */
  async *walk(base: string): AsyncGenerator<Walked, void, void> {
    const stats = await this.look(base);
    if (stats === undefined) throw new PlaceError(`${base} does not exist`);
    yield* this.#walkAt({
      stats,
      path: '',
      full: base,
      depth: 0,
      enter: () => this.#enter(namesOf(base), base),
    });
  }

  /** `told`: for what is told of a failure. */
  async #enter(names: readonly string[], told: string): Promise<Folder> {
    let folder = await Folder.root(this.root);
    for (const name of names) {
      const above = folder;
      try {
        folder = await above.enter(name);
      } catch (error) {
        throw new PlaceError(`${told}: ${why(error)}`);
      } finally {
        await above.close();
      }
    }
    return folder;
  }

  async *#walkAt(met: Met): AsyncGenerator<Walked, void, void> {
    const { stats, path } = met;
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
    yield { kind, path, size, mode: stats.mode & MODE_BITS, mtimeMillis: Math.round(stats.mtimeMs) };
    if (!stats.isDirectory()) return;
    try {
      yield* met.depth < MAX_OPEN_DIRECTORIES ? this.#walkInside(met) : this.#walkDeep(met);
    } catch (error) {
      if (!(error instanceof PlaceError) && (error as NodeJS.ErrnoException).code === undefined) throw error;
      yield { kind: 'skipped', path, reason: why(error) };
    }
  }

  async *#walkInside(met: Met): AsyncGenerator<Walked, void, void> {
    const folder = await met.enter();
    try {
      for await (const entry of await opendir(folder.at(), AS_BYTES_HERE)) {
        const name = String(entry.name);
        if (isOwnName(name)) continue;
        const stats = isText(entry.name)
          ? await lstat(folder.at(name)).catch((error: unknown) => why(error))
          : NO_TEXT;
        yield* this.#walkAt({ ...below(met, name), stats, enter: () => folder.enter(name) });
      }
    } finally {
      await folder.close();
    }
  }

  /** Holds nothing open meanwhile. */
  async *#walkDeep(met: Met): AsyncGenerator<Walked, void, void> {
    const folder = await met.enter();
    const names = await readdir(folder.at(), AS_BYTES).finally(() => folder.close());
    for (const bytes of names) {
      const name = String(bytes);
      if (isOwnName(name)) continue;
      const next = below(met, name);
      const stats = isText(bytes)
        ? await this.look(next.full).catch((error: unknown) => why(error))
        : NO_TEXT;
      const enter = (): Promise<Folder> => this.#enter(namesOf(next.full), next.full);
      yield* this.#walkAt({ ...next, stats: stats ?? 'does not exist', enter });
    }
  }
}

/** Names that are no text would come out as other ones. */
const AS_BYTES = { encoding: 'buffer' } as const;
/** The types of Node.js do not name what `opendir` takes as `readdir` does. */
const AS_BYTES_HERE = AS_BYTES as unknown as OpenDirOptions;
const NO_TEXT = 'has a name that is no Unicode text';
const isText = (name: string | Uint8Array): boolean => typeof name === 'string' || isUtf8(name);

/** What a walk has come to. */
interface Met {
  /** Or why there are none. */
  readonly stats: Stats | string;
  /** From where the walk began. */
  readonly path: string;
  /** From the root. */
  readonly full: string;
  readonly depth: number;
  /** Opens it, when it is a directory. */
  readonly enter: () => Promise<Folder>;
}

const below = ({ path, full, depth }: Met, name: string) => ({
  path: joinPath(path, name),
  full: joinPath(full, name),
  depth: depth + 1,
});

const namesOf = (path: string): string[] => (path === '' ? [] : path.split('/'));

/** Some file systems keep numbers that cannot be told exactly. */
const numberFault = ({ size, mtimeMs }: Stats): string | undefined =>
  Number.isSafeInteger(size) && Number.isSafeInteger(Math.round(mtimeMs))
    ? undefined
    : 'has a size or a time that is too large';

export const specialKind = (stats: Stats): string =>
  stats.isSymbolicLink() ? 'is a symbolic link, which is not followed' : 'is neither a file nor a directory';

/** What is there; `undefined` when nothing is. `told`: for what is told of a failure. @throws PlaceError */
export async function lookIn(folder: Folder, name: string, told: string): Promise<Stats | undefined> {
  try {
    return await lstat(folder.at(name));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new PlaceError(`${told} ${why(error)}`);
  }
}

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
