/** What a file of the user cannot do is told in words, with its name. */
import { RdmaError, usageError } from '../verbs/errors.js';
import { why } from './copy/place-error.js';

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT with the name of the file for what the file system refuses, and `advice` behind it. */
export async function withFile<T>(path: string, work: () => Promise<T>, advice = ''): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof RdmaError || (error as NodeJS.ErrnoException).code === undefined) throw error;
    throw usageError(`the file ${path} ${why(error)}${advice}`);
  }
}
