/** The open objects of a device: how many of each kind, and all of them in a list, oldest first. */
import type { DeviceCensus } from './device.js';
import { RdmaError } from './errors.js';
import type { LifeList, ObjectKind, ObjectLife } from './object-life.js';

/** What uses others is closed before what it uses. */
const CLOSING_ORDER: readonly ObjectKind[] = [
  'cmIds',
  'qps',
  'mws',
  'mrs',
  'ahs',
  'srqs',
  'cqs',
  'channels',
  'pds',
];

export class LiveObjects implements DeviceCensus, LifeList {
  pds = 0;
  mrs = 0;
  mws = 0;
  cqs = 0;
  channels = 0;
  qps = 0;
  srqs = 0;
  ahs = 0;
  cmIds = 0;
  #first: ObjectLife | null = null;
  #last: ObjectLife | null = null;

  add(life: ObjectLife): void {
    if (life.kind !== 'devices') this[life.kind]++;
    life.previous = this.#last;
    if (this.#last === null) this.#first = life;
    else this.#last.next = life;
    this.#last = life;
  }

  remove(life: ObjectLife): void {
    const { previous, next } = life;
    if (life.kind !== 'devices') this[life.kind]--;
    if (previous === null) this.#first = next;
    else previous.next = next;
    if (next === null) this.#last = previous;
    else next.previous = previous;
    life.previous = null;
    life.next = null;
  }

  get total(): number {
    const { pds, mrs, mws, cqs, channels, qps, srqs, ahs, cmIds } = this;
    return pds + mrs + mws + cqs + channels + qps + srqs + ahs + cmIds;
  }

  snapshot(): DeviceCensus {
    const { pds, mrs, mws, cqs, channels, qps, srqs, ahs, cmIds } = this;
    return { pds, mrs, mws, cqs, channels, qps, srqs, ahs, cmIds };
  }

  /** @throws RdmaError ERR_RDMA_IN_USE while there are any, naming them. */
  checkNone(device: string): void {
    if (this.total === 0) return;
    const open = Object.entries(this.snapshot()).filter(([, count]) => count > 0);
    const list = open.map(([kind, count]) => `${count} ${kind}`).join(', ');
    throw new RdmaError('ERR_RDMA_IN_USE', `close these objects of ${device} first: ${list}`);
  }

  /** Closes all of them, users before what they use. What cannot be closed stays. */
  async closeAll(): Promise<void> {
    const all: ObjectLife[] = [];
    for (let life = this.#first; life !== null; life = life.next) all.push(life);
    for (const kind of CLOSING_ORDER) {
      const closing = all.filter((life) => life.kind === kind).map(({ owner }) => owner?.close());
      await Promise.allSettled(closing);
    }
  }
}
