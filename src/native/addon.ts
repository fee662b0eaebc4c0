/**
 * Finds the native addon: a prebuilt binary that came with the package and fits this machine, else one that was
 * compiled here, else none. Loading is tried once per thread.
 *
 * QUEUEPAIR_ADDON names another file, or is `none`.
 */
import { createRequire } from 'node:module';
import { addonPlaces } from './addon-places.js';
import type { LinkAddon } from './link-addon.js';
import type { RdmacmAddon } from './rdmacm-addon.js';
import type { UdpAddon } from './udp-addon.js';
import type { VerbsAddon } from './verbs-addon.js';

const require = createRequire(import.meta.url);

/**
 * What the addon exports; `verbs` is the part for devices of the operating system (native/ibverbs/), `rdmacm` the one for
 * their connection manager (native/rdmacm/).
 */
export type Addon = UdpAddon & LinkAddon & { readonly verbs: VerbsAddon; readonly rdmacm: RdmacmAddon };

let loaded: Addon | string | undefined;

/** The addon, or why there is none. */
export function loadAddon(): Addon | string {
  loaded ??= load();
  return loaded;
}

function load(): Addon | string {
  const chosen = process.env['QUEUEPAIR_ADDON'];
  if (chosen === 'none') return 'QUEUEPAIR_ADDON is none';
  const unfit = unfitRuntime();
  if (unfit !== undefined) return unfit;
  const reasons: string[] = [];
  for (const path of chosen !== undefined ? [chosen] : addonPlaces()) {
    try {
      return require(path) as Addon;
    } catch (error) {
      // A binary for another C library or processor fails here, as one that is missing does.
      const { code, message } = error as NodeJS.ErrnoException;
      if (code !== 'MODULE_NOT_FOUND') reasons.push((message.split('\n')[0] ?? '').slice(0, 300));
      else if (chosen !== undefined) reasons.push(`QUEUEPAIR_ADDON names ${chosen}, which does not exist`);
    }
  }
  if (reasons.length === 0)
    return 'the native addon is not built (that needs a C++ compiler, make and Python 3)';
  return `the native addon cannot be loaded: ${reasons.join('; ')}`;
}

/** Where loading it would end the process, or cannot succeed. */
function unfitRuntime(): string | undefined {
  const { platform, versions } = process;
  if (versions['bun'] !== undefined) return 'Bun lacks what the native addon needs (uv_poll)';
  if (versions['deno'] !== undefined) return 'Deno lacks what the native addon needs (uv_poll)';
  if (platform !== 'linux') return `the native addon is written for Linux, this is ${platform}`;
  return undefined;
}
