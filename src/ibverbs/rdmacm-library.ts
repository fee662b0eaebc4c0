/**
 * librdmacm as this process has it: found once, when the first connection manager is asked for. That it is missing is an
 * answer, not an accident: sessions work without it.
 */
import { loadAddon } from '../native/addon.js';
import type { RdmacmAddon } from '../native/rdmacm-addon.js';
import { RdmaError } from '../verbs/errors.js';

const LIBRARY = 'librdmacm.so.1';
/** Names another library, for a vendor's own build of it. */
const LIBRARY_VARIABLE = 'QUEUEPAIR_LIBRDMACM';

let found: RdmacmAddon | RdmaError | undefined;

/** @throws RdmaError ERR_RDMA_NO_LIBRARY, saying what is missing: the addon, the header at its build, or the library. */
export function rdmacmLibrary(): RdmacmAddon {
  found ??= find();
  if (found instanceof RdmaError) throw found;
  return found;
}

function find(): RdmacmAddon | RdmaError {
  const loaded = loadAddon();
  if (typeof loaded === 'string') return missing(loaded);
  const addon = loaded.rdmacm;
  if (!addon.available) {
    return missing(
      'the native addon was built without the header rdma/rdma_cma.h; install it (Debian: librdmacm-dev) and build again',
    );
  }
  const path = process.env[LIBRARY_VARIABLE] ?? LIBRARY;
  const problem = addon.load(path);
  return problem === null
    ? addon
    : missing(`${path} cannot be loaded (${problem}); install it (Debian: librdmacm1)`);
}

const missing = (reason: string): RdmaError =>
  new RdmaError(
    'ERR_RDMA_NO_LIBRARY',
    `no connection manager for devices of the operating system: ${reason}`,
  );
