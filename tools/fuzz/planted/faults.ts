/**
 * Faults of the kind that a hostile peer or a wrong program would profit from, one in each row: a text of the built code
 * that occurs exactly once, and what stands in its place. A change of the code that a fault no longer fits is found, too.
 */
export interface PlantedFault {
  /** What the code does wrong. */
  readonly name: string;
  /** Of the fuzzer: the one that should notice. */
  readonly target: string;
  /** Under src/, without extension. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

const WIRE: readonly PlantedFault[] = [
  {
    name: 'a receive takes one byte more than it has room for',
    target: 'wire',
    file: 'roce/qp/incoming-message',
    find: 'this.#receivedBytes + length > this.#receive.capacity)',
    replace: 'this.#receivedBytes + length > this.#receive.capacity + 1)',
  },
  {
    name: 'a READ that is asked for again may be longer than the first time',
    target: 'wire',
    file: 'roce/qp/responder',
    find: ' || length > saved.length - offset',
    replace: '',
  },
  {
    name: 'a READ that is asked for again may be for another address',
    target: 'wire',
    file: 'roce/qp/responder',
    find: 'va !== saved.va + offset || ',
    replace: '',
  },
  {
    name: 'a memory window opens for every queue pair of its domain',
    target: 'wire',
    file: 'roce/memory/region',
    find: 'if (this.qpn !== 0 && this.qpn !== qpn)',
    replace: 'if (false)',
  },
  {
    name: 'a key opens memory for queue pairs of other domains',
    target: 'wire',
    file: 'roce/memory/region',
    find: '!this.usable || this.region.pd !== pd',
    replace: '!this.usable',
  },
  {
    name: 'the end of a region is one byte too late',
    target: 'wire',
    file: 'roce/memory/region',
    find: 'va - this.va <= this.length - length',
    replace: 'va - this.va <= this.length - length + 1',
  },
  {
    name: 'a peer may invalidate any window',
    target: 'wire',
    file: 'roce/qp/qp',
    find: 'if (grant === null || grant.qpn !== this.qpn)',
    replace: 'if (grant === null)',
  },
  {
    name: 'a WRITE goes on after its window was revoked',
    target: 'wire',
    file: 'roce/qp/incoming-message',
    find: 'if (this.grant?.usable !== true)',
    replace: 'if (false)',
  },
  {
    name: 'the access flags of the queue pair are not asked for',
    target: 'wire',
    file: 'roce/qp/incoming-message',
    find: '(this.#qp.accessFlags & right) !== right',
    replace: 'false',
  },
  {
    name: 'an atomic may lie across eight bytes',
    target: 'wire',
    file: 'roce/qp/responder',
    find: 'if (va % 8 !== 0)',
    replace: 'if (false)',
  },
  {
    name: 'packets from other addresses are taken',
    target: 'wire',
    file: 'roce/nic',
    find: 'if (!this.#isAddressed(qp, datagram))',
    replace: 'if (false)',
  },
  {
    name: 'the ICRC is not checked',
    target: 'wire',
    file: 'roce/nic',
    find: 'if (!datagram.icrcVerified && this.#checkIcrc && !this.#verifyIcrc(datagram))',
    replace: 'if (false)',
  },
  {
    name: 'READ data of any length is taken',
    target: 'wire-noicrc',
    file: 'roce/qp/completer',
    find: 'if (packet.payloadLength !== Math.min(this.#qp.mtu, wqe.length - this.#offsetOf(packet, wqe)))',
    replace: 'if (false)',
  },
  {
    name: 'an ACK counts beyond what was sent',
    target: 'wire',
    file: 'roce/qp/completer',
    find: 'if (!psnInWindow(packet.psn, unackedPsn, nextPsn))',
    replace: 'if (psnDiff(packet.psn, unackedPsn) < 0)',
  },
];

const FRAMES: readonly PlantedFault[] = [
  {
    name: 'a frame of 4097 bytes is accepted',
    target: 'frames',
    file: 'session/frame-decoder',
    find: 'if (lengthBytes > MAX_FRAME_BODY_BYTES)',
    replace: 'if (lengthBytes > MAX_FRAME_BODY_BYTES + 1)',
  },
  {
    name: 'the rest of a frame is lost where the stream was cut',
    target: 'frames',
    file: 'session/frame-decoder',
    find: 'this.#bodyBytes += part.length;',
    replace: 'this.#bodyBytes = part.length;',
  },
  {
    name: 'a second PSN of the peer counts',
    target: 'frames',
    file: 'session/handshake',
    find: 'if (this.#state !== HandshakeState.PSN)\n            return undefined;',
    replace: 'if (this.#over) return undefined;',
  },
];

const WINDOWS: readonly PlantedFault[] = [
  {
    name: 'a window may be bound to a region without MW_BIND',
    target: 'wire',
    file: 'roce/nic',
    find: 'if ((region.access & AccessFlags.MW_BIND) === 0)',
    replace: 'if (false)',
  },
  {
    name: 'a window may be bound beyond the end of its region',
    target: 'wire',
    file: 'roce/nic',
    find: 'bind.offset > region.bytes.length - bind.length',
    replace: 'bind.offset > region.bytes.length - bind.length + 1',
  },
];

const MESSAGES: readonly PlantedFault[] = [
  {
    name: 'a message may be left out',
    target: 'messages',
    file: 'connection/message-receiver',
    find: 'if (header.sequence !== this.#nextSequence)',
    replace: 'if (false)',
  },
  {
    name: 'a peer may send more than there are receives',
    target: 'messages',
    file: 'connection/message-receiver',
    find: 'if (this.#heldSlots.length === this.#options.slots)',
    replace: 'if (false)',
  },
  {
    name: 'a message may be longer than the limit',
    target: 'messages',
    file: 'connection/message-receiver',
    find: 'if (header.totalBytes > this.#options.maxMessageBytes)',
    replace: 'if (header.totalBytes > this.#options.maxMessageBytes + 1)',
  },
  {
    name: 'a fragment may reach one byte beyond its message',
    target: 'messages',
    file: 'connection/message-header',
    find: 'if (offset + length - HEADER_BYTES > totalBytes)',
    replace: 'if (offset + length - HEADER_BYTES > totalBytes + 1)',
  },
  {
    name: 'the header of a sealed message is not authenticated',
    target: 'messages',
    file: 'connection/sealing',
    find: 'decipher.setAAD(header);',
    replace: 'decipher.setAAD(new Uint8Array(24));',
  },
];

const SEALED: readonly PlantedFault[] = [
  {
    name: 'a sealed write counts twice',
    target: 'sealed',
    file: 'connection/sealed-memory',
    find: 'if (counter <= this.#lastOpened)',
    replace: 'if (counter < this.#lastOpened)',
  },
  {
    name: 'bytes that were changed on the way stay in memory',
    target: 'sealed',
    file: 'connection/sealed-memory',
    find: 'memory.fill(0);',
    replace: '',
  },
  {
    name: 'a sealed write may lie where the peer may only read',
    target: 'sealed',
    file: 'connection/sealed-memory',
    find: "length, 'write')",
    replace: "length, 'read')",
  },
  {
    name: 'the address of a sealed write is not authenticated',
    target: 'sealed',
    file: 'connection/sealed-memory',
    find: 'decipher.setAAD(data.subarray(8, 24));',
    replace:
      'decipher.setAAD(Buffer.concat([data.subarray(8, 15), Buffer.of(data[15] & 0xfe), data.subarray(16, 24)]));',
  },
  {
    name: 'an answer of another length is taken',
    target: 'sealed',
    file: 'connection/sealed-memory',
    find: ' || data.length - NUMBER_BYTES !== request.into.length',
    replace: '',
  },
  {
    name: 'a peer may ask for any number of answers at once',
    target: 'sealed',
    file: 'connection/sealed-memory',
    find: ' || this.#answering >= MAX_ANSWERS',
    replace: '',
  },
  {
    name: 'a read is answered that was not asked for',
    target: 'sealed',
    file: 'connection/sealed-memory',
    find: 'this.#requests.delete(number);',
    replace: '',
  },
];

export const PLANTED: readonly PlantedFault[] = [...WIRE, ...FRAMES, ...WINDOWS, ...MESSAGES, ...SEALED];
