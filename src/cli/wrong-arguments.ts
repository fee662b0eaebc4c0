/** Arguments that cannot be right on any machine: which command was meant, only whoever typed it knows. Exit code 2. */
import { RdmaError } from '../verbs/errors.js';

export class WrongArguments extends RdmaError {
  /** The command whose help says more, as it is typed. */
  readonly topic: string | undefined;

  constructor(message: string, topic?: string) {
    super('ERR_RDMA_INVALID_ARGUMENT', message);
    this.topic = topic;
  }

  /** Where to read on is part of what is told. */
  in(topic: string): WrongArguments {
    const { message } = this;
    return new WrongArguments(`${message} (see: ${this.topic ?? topic} --help)`, this.topic ?? topic);
  }
}
