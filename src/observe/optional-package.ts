/** Packages that only some users of `queuepair/observe` need, and that they install themselves. */
import { RdmaError } from '../verbs/errors.js';

/** @throws RdmaError ERR_RDMA_NOT_SUPPORTED, saying which package to install. */
export async function optionalPackage<Module>(
  name: string,
  what: string,
  load: () => Promise<Module>,
): Promise<Module> {
  try {
    return await load();
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const isMissing = code === 'ERR_MODULE_NOT_FOUND' && message.includes(`'${name}'`);
    const sentence = isMissing
      ? `${what} needs the package ${name}: npm install ${name}`
      : `${what} cannot load the package ${name}: ${message}`;
    throw new RdmaError('ERR_RDMA_NOT_SUPPORTED', sentence, { cause });
  }
}
