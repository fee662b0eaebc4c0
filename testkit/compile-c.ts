/** Compiles a C file of this project for a test or a tool. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** `source`: from the project's folder on. Returns why it cannot be compiled here, or `undefined`. */
export function compileC(source: string, output: string, flags: readonly string[]): string | undefined {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, source)) && dirname(folder) !== folder) folder = dirname(folder);
  const args = ['-O2', '-Wall', '-Wextra', ...flags, '-o', output, join(folder, source)];
  const result = spawnSync('cc', args, { encoding: 'utf8' });
  if (result.error !== undefined) return 'there is no C compiler';
  if (result.status === 0) return undefined;
  const header = /fatal error: (\S+\.h): No such file/.exec(result.stderr)?.[1];
  return header === undefined
    ? `the C compiler failed: ${result.stderr.slice(0, 300)}`
    : `the header ${header} is not installed`;
}
