/** Where the native addon can lie, the likeliest place first. */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The name of the C library's loader is within the first bytes of a program. */
const HEAD_BYTES = 4096;

/** Paths of files that may be there. */
export function addonPlaces(): string[] {
  const folder = packageFolder();
  if (folder === undefined) return [];
  const { platform, arch } = process;
  return [
    join(folder, 'prebuilt', `${platform}-${arch}-${usesMusl(process.execPath) ? 'musl' : 'glibc'}.node`),
    join(folder, 'build', 'native', 'queuepair.node'),
  ];
}

/** The folder of this package: above this module, or, when a bundler has put it into another file, where that file can find it. */
function packageFolder(): string | undefined {
  const own = folderAbove(dirname(fileURLToPath(import.meta.url)));
  if (own !== undefined) return own;
  try {
    return dirname(createRequire(import.meta.url).resolve('queuepair/package.json'));
  } catch {
    return undefined;
  }
}

function folderAbove(start: string): string | undefined {
  for (let folder = start; ; folder = dirname(folder)) {
    try {
      const { name } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { name?: unknown };
      if (name === 'queuepair') return folder;
    } catch {
      // There is none here, or none that can be read: further up.
    }
    if (dirname(folder) === folder) return undefined;
  }
}

/** Whether a program is linked with musl. `false` also when it cannot be read. */
export function usesMusl(program: string): boolean {
  try {
    const file = openSync(program, 'r');
    try {
      const head = Buffer.alloc(HEAD_BYTES);
      return head.subarray(0, readSync(file, head, 0, HEAD_BYTES, 0)).includes('/ld-musl-');
    } finally {
      closeSync(file);
    }
  } catch {
    return false;
  }
}
