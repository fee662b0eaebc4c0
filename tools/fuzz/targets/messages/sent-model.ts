/** What our side sends, as its peer must find it: numbered without a gap, within its limits, each byte where it belongs. */
import {
  MessageFlag,
  type MessageHeader,
  MessageKind,
} from '../../../../src/connection/fragments/message-header.js';
import type { RdmaError } from '../../../../src/verbs/errors.js';
import { must } from '../../target.js';

export interface Outgoing {
  readonly data: Uint8Array;
  readonly tag: number;
  /** Calls of `done`. */
  calls: number;
  error: RdmaError | undefined;
  /** The peer has all of it. */
  arrived: boolean;
}

export interface OutgoingBytes {
  readonly written: number[];
  ended: boolean;
  reset: boolean;
  arrived: number;
  finArrived: boolean;
}

export interface SentFragment {
  readonly header: MessageHeader;
  readonly payload: Uint8Array;
}

export class SentModel {
  readonly messages: Outgoing[] = [];
  readonly streams = new Map<number, OutgoingBytes>();
  /** Fragments that are posted and not known to have arrived. */
  readonly underWay: SentFragment[] = [];
  /** Fragments that arrived. */
  received = 0;
  hasQuit = false;
  #nextMessage = 0;
  #messageBytes = 0;

  /** The oldest fragment arrives. */
  arrive(): void {
    const fragment = this.underWay.shift();
    if (fragment === undefined) return;
    const { header, payload } = fragment;
    must(header.sequence === this.received, 'fragments are numbered without a gap');
    this.received = (this.received + 1) >>> 0;
    must(!this.hasQuit || header.kind > MessageKind.STREAM, 'nothing is sent after the end');
    if (header.kind === MessageKind.DATA) this.#onMessage(header, payload);
    else if (header.kind === MessageKind.STREAM) this.#onStream(header, payload);
    else if (header.kind === MessageKind.QUIT) this.hasQuit = true;
  }

  #onMessage(header: MessageHeader, payload: Uint8Array): void {
    const message = this.messages[this.#nextMessage];
    must(message !== undefined, 'what is sent was asked for');
    must(header.value === message.data.length && header.tag === message.tag, 'a message is announced right');
    const expected = message.data.subarray(this.#messageBytes, this.#messageBytes + payload.length);
    must(Buffer.compare(payload, expected) === 0, 'a fragment holds its part of the message');
    this.#messageBytes += payload.length;
    if (this.#messageBytes < message.data.length) return;
    message.arrived = true;
    this.#nextMessage++;
    this.#messageBytes = 0;
  }

  #onStream(header: MessageHeader, payload: Uint8Array): void {
    const id = (header.flags & MessageFlag.YOURS) !== 0 ? -header.stream : header.stream;
    const stream = this.streams.get(id);
    must(stream !== undefined && !stream.finArrived, 'a stream ends once');
    must(header.value === stream.arrived, 'the bytes of a stream follow each other');
    for (const [i, byte] of payload.entries())
      must(stream.written[stream.arrived + i] === byte, 'a stream keeps its bytes');
    stream.arrived += payload.length;
    if ((header.flags & MessageFlag.FIN) === 0) return;
    must(stream.ended && stream.arrived === stream.written.length, 'the end comes last');
    stream.finArrived = true;
  }
}
