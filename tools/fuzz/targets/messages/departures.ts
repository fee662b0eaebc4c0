/** Looks at every fragment that our side posts: it must be one that the peer takes, where no other is under way, and no limit goes back. */
import {
  isUnnumbered,
  MessageKind,
  readHeader,
} from '../../../../src/connection/fragments/message-header.js';
import type { Sge } from '../../../../src/verbs/work-request.js';
import { must } from '../../target.js';
import type { PeerSeals } from './peer-seals.js';
import type { ReceiverModel } from './receiver-model.js';
import type { SentModel } from './sent-model.js';
import type { WatchedMemory, WatchedQp } from './watched-queues.js';
import type { WorldPlan } from './world-plan.js';

export interface DeparturesOptions {
  readonly plan: WorldPlan;
  readonly model: ReceiverModel;
  readonly sent: SentModel;
  readonly seals: PeerSeals;
  /** Where fragments are sent from. */
  readonly mr: WatchedMemory;
  /** Fragments that our side has taken. */
  readonly received: () => number;
}

export class Departures {
  readonly #options: DeparturesOptions;
  #hasClosed = false;

  constructor(options: DeparturesOptions) {
    this.#options = options;
  }

  /** A fragment is posted to `qp`. */
  check(qp: WatchedQp, sge: Sge): void {
    const { plan, model, sent, seals, mr, received } = this.#options;
    const { slots, slotBytes, peerSlotBytes } = plan;
    const at = sge.offset ?? 0;
    const length = sge.length ?? 0;
    must(at >= 0 && at + length <= slots * slotBytes, 'a fragment lies in the send buffer');
    must(length <= slotBytes, 'a fragment is no longer than is agreed');
    must(qp.sends.length < slots, 'no more fragments are under way than there are places');
    must(length <= peerSlotBytes, 'a fragment fits into the receives of the peer');
    must(!qp.sends.some(({ sges }) => overlaps(sges?.[0], at, length)), 'memory under way is not used again');
    mr.accept(at, length);
    const header = readHeader(mr.bytes, at, length - seals.overheadBytes);
    const payload = seals.open(mr.bytes.subarray(at, at + length));
    must(distance(model.told, header.limit) < 2 ** 31, 'a limit does not go back');
    must(distance(received(), header.limit) <= slots, 'a limit is what there are receives for');
    model.told = header.limit;
    const next = (sent.received + sent.underWay.length) >>> 0;
    must(header.sequence === next, 'fragments are numbered without a gap');
    must(!this.#hasClosed, 'nothing follows the last word');
    this.#hasClosed = header.kind === MessageKind.CLOSE;
    if (isUnnumbered(header.kind)) return;
    // A limit may be any number of fragments ahead; as none is left out, the first that is too much is the one that it names.
    must(header.sequence !== model.peerLimit, 'no more is sent than the peer takes');
    sent.underWay.push({ header, payload: payload.slice() });
    this.#noteTold(header.kind, header.flags, header.stream, header.value);
  }

  /** Limits that the peer is told. */
  #noteTold(kind: MessageKind, flags: number, number: number, value: number): void {
    const { model } = this.#options;
    if (kind === MessageKind.OPEN_LIMIT) {
      must(value >= model.openTold, 'a limit does not go back');
      model.openTold = value;
    }
    if (kind !== MessageKind.STREAM_LIMIT) return;
    if (number === 0) {
      must(distance(model.messageTold, value) < 2 ** 31, 'a limit does not go back');
      model.messageTold = value;
      return;
    }
    const stream = model.streams.get((flags & 2) !== 0 ? -number : number);
    must(stream !== undefined && distance(stream.told, value) < 2 ** 31, 'a limit does not go back');
    stream.told = value;
  }
}

const distance = (from: number, to: number): number => (to - from) >>> 0;

function overlaps(sge: Sge | undefined, at: number, length: number): boolean {
  if (sge === undefined) return false;
  const { offset = 0, length: taken = 0 } = sge;
  return offset < at + length && at < offset + taken;
}
