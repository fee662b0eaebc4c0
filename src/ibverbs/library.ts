/**
 * libibverbs as this process has it: found once, when the first device is asked for. That it is missing is an answer,
 * not an accident: devices of other kinds work without it.
 */

import { loadAddon } from '../native/addon.js';
import type { VerbsAddon } from '../native/verbs-addon.js';
import { RdmaError } from '../verbs/errors.js';
import { Errno, verbError } from './verbs-error.js';

const LIBRARY = 'libibverbs.so.1';
/** Names another library, for a vendor's own build of it. */
const LIBRARY_VARIABLE = 'QUEUEPAIR_LIBIBVERBS';

let found: VerbsAddon | RdmaError | undefined;

/** @throws RdmaError ERR_RDMA_NO_LIBRARY, saying what is missing: the addon, the header at its build, or the library. */
export function verbsLibrary(): VerbsAddon {
  found ??= find();
  if (found instanceof RdmaError) throw found;
  return found;
}

function find(): VerbsAddon | RdmaError {
  const loaded = loadAddon();
  if (typeof loaded === 'string') return missing(loaded);
  const addon = loaded.verbs;
  if (!addon.available) {
    return missing(
      'the native addon was built without the header infiniband/verbs.h; install it (Debian: libibverbs-dev) and build again',
    );
  }
  const path = process.env[LIBRARY_VARIABLE] ?? LIBRARY;
  const problem = addon.load(path);
  if (problem === null) return addon;
  return missing(
    `${path} cannot be loaded (${problem}); install it (Debian: libibverbs1, ibverbs-providers)`,
  );
}

const missing = (reason: string): RdmaError =>
  new RdmaError('ERR_RDMA_NO_LIBRARY', `no RDMA devices of the operating system: ${reason}`);

/**
 * Names of the RDMA devices that the operating system has.
 *
 * @throws RdmaError ERR_RDMA_NO_LIBRARY.
 */
export async function listIbverbsDevices(): Promise<readonly string[]> {
  const names = await verbsLibrary().list();
  if (typeof names !== 'number') return names;
  // The kernel has no RDMA at all: no devices, as in the list of a kernel without any.
  if (names === -Errno.ENOSYS || names === -Errno.ENOENT) return [];
  throw verbError('listing the RDMA devices', -names);
}
