/** Compiles no-op-verbs.c: as a library that takes the place of libibverbs, or as the program that measures from C. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SOURCE = join('tools', 'verbs-cost', 'no-op-verbs.c');

/** Returns why it cannot be compiled here, or `undefined`. */
export function compileNoOp(output: string, kind: 'library' | 'program'): string | undefined {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, SOURCE)) && dirname(folder) !== folder) folder = dirname(folder);
  const flags = kind === 'library' ? ['-shared', '-fPIC'] : ['-DWITH_MAIN'];
  const result = spawnSync('cc', ['-O2', ...flags, '-o', output, join(folder, SOURCE)], { encoding: 'utf8' });
  if (result.error !== undefined) return 'there is no C compiler';
  if (result.status === 0) return undefined;
  return /infiniband\/verbs\.h/.test(result.stderr)
    ? 'the header infiniband/verbs.h is not installed'
    : `the C compiler failed: ${result.stderr.slice(0, 300)}`;
}
