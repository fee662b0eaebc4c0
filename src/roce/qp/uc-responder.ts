/**
 * The responder of a UC queue pair. Nothing is answered: a message with a gap, or one that may not be carried out, is
 * dropped without a word, and with the next FIRST or ONLY packet a new message begins, whatever its PSN.
 *
 * The receive that a dropped message took is filled again from the start by the next message. One from a shared queue
 * cannot wait for that without being lost to the other queue pairs, and completes with REM_INV_REQ_ERR; both are what
 * Linux rxe does (error classes D and E of the specification). Only a fault of the receive itself ends the queue pair.
 */
import { AccessFlags } from '../../verbs/access-flags.js';
import { WcStatus } from '../../verbs/work-completion.js';
import { DropReason } from '../drop-reason.js';
import { psnAdd } from '../psn.js';
import { OpcodeFlag } from '../wire/opcodes.js';
import type { PacketView } from '../wire/packet.js';
import { IncomingMessage } from './incoming-message.js';
import type { QpHost } from './qp-host.js';
import type { ResponderHalf } from './service-halves.js';

const NEXT = DropReason.NONE;

export class UcResponder implements ResponderHalf {
  readonly hasResponses = false;
  readonly hasOnlyAcknowledgement = false;
  readonly nextDeadline = Number.POSITIVE_INFINITY;
  readonly #qp: QpHost;
  readonly #message: IncomingMessage;
  #expectedPsn = 0;
  /** The rest of the present message is dropped. */
  #dropping = false;

  constructor(qp: QpHost, maxRecvSge: number) {
    this.#qp = qp;
    this.#message = new IncomingMessage(qp, maxRecvSge);
  }

  start(rqPsn: number): void {
    this.reset();
    this.#expectedPsn = rqPsn;
  }

  resize(): void {}

  handleTimeout(): void {}

  reset(): void {
    this.#dropping = false;
    this.#message.reset();
  }

  flush(): void {
    this.#message.fail(WcStatus.WR_FLUSH_ERR);
  }

  onRequest(packet: PacketView): DropReason {
    const inSequence = packet.psn === this.#expectedPsn;
    this.#expectedPsn = psnAdd(packet.psn, 1);
    if ((packet.flags & OpcodeFlag.START) !== 0) {
      if (this.#message.inProgress) this.#abandon();
      this.#dropping = false;
    } else if (this.#dropping || !inSequence) {
      return this.#drop(DropReason.OUT_OF_ORDER);
    }
    const right = (packet.flags & OpcodeFlag.WRITE) !== 0 ? AccessFlags.REMOTE_WRITE : 0;
    const message = this.#message;
    let reason = message.checkSequence(packet.flags);
    if (reason === NEXT) reason = message.checkOperation(packet, right);
    if (reason === NEXT) reason = message.checkReceive(packet.flags);
    if (reason === NEXT) reason = message.checkLength(packet);
    if (reason === NEXT) reason = message.checkMemory(packet, right);
    if (reason !== NEXT) return this.#drop(reason);
    message.store(packet);
    if ((packet.flags & OpcodeFlag.END) !== 0) message.finish(packet);
    return NEXT;
  }

  transmit(): number {
    return 0;
  }

  dropAnswers(): void {}

  #drop(reason: DropReason): DropReason {
    this.#dropping = true;
    if (reason === DropReason.RECEIVE_PROTECTION) {
      this.#message.fail(WcStatus.LOC_PROT_ERR);
      this.#qp.enterError();
    } else {
      this.#abandon();
    }
    return reason;
  }

  #abandon(): void {
    if (this.#qp.srq === null) this.#message.end();
    else this.#message.fail(WcStatus.REM_INV_REQ_ERR);
  }
}
