/** The page, its script and its style, as `scripts/build-web.mjs` made them of `web/`. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { RdmaError } from '../../verbs/errors.js';

export interface Asset {
  readonly type: string;
  readonly bytes: Uint8Array;
}

const FILES = {
  '': ['dashboard.html', 'text/html; charset=utf-8'],
  'dashboard.js': ['dashboard.js', 'text/javascript; charset=utf-8'],
  'dashboard.css': ['dashboard.css', 'text/css; charset=utf-8'],
  'dashboard.svg': ['dashboard.svg', 'image/svg+xml'],
} as const;

export type AssetName = keyof typeof FILES;

export const isAssetName = (name: string): name is AssetName => Object.hasOwn(FILES, name);

/**
 * By the end of their address; the page has none.
 *
 * @throws RdmaError ERR_RDMA_NOT_SUPPORTED when they were not built.
 */
export function readAssets(): Readonly<Record<AssetName, Asset>> {
  const read = (name: AssetName): Asset => {
    const [file, type] = FILES[name];
    return { type, bytes: findFile(file) };
  };
  return {
    '': read(''),
    'dashboard.js': read('dashboard.js'),
    'dashboard.css': read('dashboard.css'),
    'dashboard.svg': read('dashboard.svg'),
  };
}

/** In `build/web` of the package, however deep this module lies in it. */
function findFile(name: string): Uint8Array {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    try {
      return readFileSync(join(folder, 'build', 'web', name));
    } catch (cause) {
      if (dirname(folder) !== folder) continue;
      const message = `build/web/${name} is missing: build the package anew; a bundle of your program has to leave queuepair outside`;
      throw new RdmaError('ERR_RDMA_NOT_SUPPORTED', message, { cause });
    }
  }
}
