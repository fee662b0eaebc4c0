/** Arguments that cannot be right on any machine: which command was meant, only whoever typed it knows. Exit code 2. */
import { RdmaError } from '../verbs/errors.js';

export class WrongArguments extends RdmaError {
  constructor(message: string) {
    super('ERR_RDMA_INVALID_ARGUMENT', message);
  }
}
