/** Servers of the system that some examples need, as whoever installed them finds them: by PATH, or where Debian puts PostgreSQL. */
import { existsSync, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** By example: all of these have to be in one folder. */
const NEEDS: Readonly<Record<string, readonly string[]>> = {
  'postgres.mjs': ['initdb', 'postgres'],
  'redis.mjs': ['redis-server'],
};
const DEBIAN_POSTGRES = '/usr/lib/postgresql';

export interface SystemPrograms {
  /** `undefined`: they are not installed, and the example cannot run. */
  readonly folder: string | undefined;
}

/** What of the system the example needs; `undefined` for one that needs nothing. */
export function systemProgramsOf(
  example: string,
  path: string = process.env['PATH'] ?? '',
  debian: string = DEBIAN_POSTGRES,
): SystemPrograms | undefined {
  const names = NEEDS[example];
  if (names === undefined) return undefined;
  const versions = existsSync(debian) ? readdirSync(debian) : [];
  const folders = [...path.split(delimiter), ...versions.map((version) => join(debian, version, 'bin'))];
  return { folder: folders.find((folder) => names.every((name) => existsSync(join(folder, name)))) };
}
