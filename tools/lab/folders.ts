/** Where the lab's sources lie, and where it keeps what it downloads and builds: outside of the repository. */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const GUEST_SOURCES = join('tools', 'lab', 'guest');

/** The clone that this program was built from. */
export function projectFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, GUEST_SOURCES)) && dirname(folder) !== folder) folder = dirname(folder);
  return folder;
}

export const guestSources = (): string => join(projectFolder(), GUEST_SOURCES);

export function cacheFolder(environment: NodeJS.ProcessEnv = process.env): string {
  const base = environment['XDG_CACHE_HOME'];
  // The specification says to ignore a path that is not absolute.
  return join(base?.startsWith('/') ? base : join(homedir(), '.cache'), 'queuepair', 'lab');
}
