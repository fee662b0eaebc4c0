/**
 * Whose turn it is to send: deficit round robin. A turn costs what its packets cost (transmit-batch.ts), and all have turns of the same
 * cost, so that neither long packets nor many of them take more of the port than others get, and who has little to send
 * waits for one turn of each of the others at most.
 *
 * Invariants: who has something to send is in the ring once; a turn that cost too much makes the next one cheaper; one that
 * ended for want of room in the batch goes on in the next batch; nothing is saved up by those who have nothing to send.
 * A step costs the same however many senders there are.
 */
import { invariant } from '../verbs/invariant.js';
import type { Sender } from './sender.js';
import type { TransmitBatch } from './transmit-batch.js';

/** What fifteen packets of 4 KiB cost: as many as leave in one segmented send. */
export const TURN_COST = 15 * (4096 + 64 + 1024);

export class Turns {
  #first: Sender | null = null;
  #last: Sender | null = null;

  /** Nobody has anything to send. */
  get areOver(): boolean {
    return this.#first === null;
  }

  /** The sender has something to send. */
  enter(sender: Sender): void {
    if (sender.scheduled || sender.destroyed) return;
    sender.scheduled = true;
    if (this.#last === null) this.#first = sender;
    else this.#last.nextScheduled = sender;
    this.#last = sender;
  }

  /** The turn of the first; returns whether there was one. */
  take(batch: TransmitBatch, now: number): boolean {
    const sender = this.#first;
    if (sender === null) return false;
    this.#first = sender.nextScheduled;
    if (this.#first === null) this.#last = null;
    sender.nextScheduled = null;
    sender.scheduled = false;
    if (sender.destroyed) return true;
    const { count, wireBytes, cost } = batch;
    const credit = sender.credit + TURN_COST;
    INVARIANT: invariant(credit > 0, 'no turn costs so much that the next one is none');
    batch.beginTurn(credit);
    const hasMore = sender.transmit(batch, now);
    batch.endTurn();
    sender.counters.txPackets += batch.count - count;
    sender.counters.txBytes += batch.wireBytes - wireBytes;
    const left = credit - (batch.cost - cost);
    if (hasMore && left > 0 && batch.isFull) {
      sender.credit = left - TURN_COST;
      this.#goOn(sender);
      return true;
    }
    sender.credit = Math.min(0, left);
    if (hasMore) this.enter(sender);
    return true;
  }

  /** Its turn is not over. */
  #goOn(sender: Sender): void {
    if (sender.scheduled || sender.destroyed) return;
    sender.scheduled = true;
    sender.nextScheduled = this.#first;
    this.#first = sender;
    this.#last ??= sender;
  }
}
