/**
 * librdmacm as this process has it: looked for when a connection manager is asked for, until it is found. That it is missing
 * is an answer, not an accident: sessions work without it.
 */
import { loadAddon } from '../native/addon.js';
import type { RdmacmAddon } from '../native/rdmacm-addon.js';
import { RdmaError } from '../verbs/errors.js';

const LIBRARY = 'librdmacm.so.1';
/** Names another library, for a vendor's own build of it. */
const LIBRARY_VARIABLE = 'QUEUEPAIR_LIBRDMACM';

let found: RdmacmAddon | undefined;

/** @throws RdmaError ERR_RDMA_NO_LIBRARY, saying what is missing: the addon, the header at its build, or the library. */
export function rdmacmLibrary(): RdmacmAddon {
  found ??= find();
  return found;
}

function find(): RdmacmAddon {
  const loaded = loadAddon();
  if (typeof loaded === 'string') throw missing(loaded);
  const addon = loaded.rdmacm;
  if (!addon.available) {
    throw missing(
      'the native addon was built without the header rdma/rdma_cma.h; install it (Debian: librdmacm-dev) and build again',
    );
  }
  const path = process.env[LIBRARY_VARIABLE] ?? LIBRARY;
  const problem = addon.load(path);
  if (problem === null) return addon;
  throw missing(`${path} cannot be loaded (${problem}); install it (Debian: librdmacm1)`);
}

const missing = (reason: string): RdmaError =>
  new RdmaError(
    'ERR_RDMA_NO_LIBRARY',
    `no connection manager for devices of the operating system: ${reason}`,
  );
