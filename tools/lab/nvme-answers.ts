/**
 * Which commands of NVMe hosts got no response, as a capture tells: commands and responses are matched by their IDs within a connection,
 * from its REQ to its DREQ of rdma_cm. What is under way when a connection ends, and event requests, which are held, count as no failure.
 */

/** Fields of tshark, in the order in which {@link findUnanswered} reads them. */
export const ANSWER_FIELDS = [
  'frame.number',
  'ip.src',
  'ip.dst',
  'infiniband.bth.destqp',
  'infiniband.bth.psn',
  'nvme.cmd.opc',
  'nvme.cmd.cid',
  'nvme.fabrics.cmd.cid',
  'nvme.cqe.cid',
  'infiniband.mad.attributeid',
  'infiniband.cm.req',
  'infiniband.cm.req.localqpn',
  'infiniband.cm.rep.localqpn',
  'infiniband.cm.rep.remotecommid',
  'infiniband.cm.req.remoteqpneecn',
] as const;

const Attribute = { REQ: 0x10, REP: 0x13, DREQ: 0x15 } as const;
const ASYNC_EVENT_REQUEST = 0x0c;

export interface AnswersVerdict {
  readonly commands: number;
  readonly connections: number;
  /** Of connections that ended while they were under way. */
  readonly cut: number;
  readonly held: number;
  /** Of commands without a response, and of responses to no command. */
  readonly unanswered: readonly string[];
}

/** `text`: a line for each packet, its fields separated by `;`. */
export function findUnanswered(text: string): AnswersVerdict {
  const book = new AnswerBook();
  for (const line of text.split('\n')) if (/^\d+;/.test(line)) book.add(packetOf(line));
  return book.verdict();
}

interface Packet {
  readonly frame: string;
  readonly source: string;
  readonly target: string;
  readonly qpn: string;
  readonly psn: string;
  readonly opcode: string;
  readonly commandId: string;
  readonly responseId: string;
  readonly attribute: string;
  /** Of a REQ: its ID, and the queue pair that asks. */
  readonly requestId: string;
  readonly askingQpn: string;
  /** Of a REP: the queue pair that answers, and the REQ's ID. */
  readonly answeringQpn: string;
  readonly answeredId: string;
  /** Of a DREQ. */
  readonly endedQpn: string;
}

function packetOf(line: string): Packet {
  const [frame = '', source = '', target = '', qpn = '', psn = '', opcode = '', ...rest] = line.split(';');
  const [commandId = '', fabricsId = '', responseId = '', attribute = '', ...cm] = rest;
  const [requestId = '', askingQpn = '', answeringQpn = '', answeredId = '', endedQpn = ''] = cm;
  return {
    ...{ frame, source, target, qpn, psn, opcode, responseId, attribute },
    commandId: commandId === '' ? fabricsId : commandId,
    ...{ requestId, askingQpn, answeringQpn, answeredId, endedQpn },
  };
}

/** A connection between two queue pairs. */
class Conversation {
  /** By the ID of the command. */
  readonly underWay = new Map<number, { readonly frame: string; readonly isHeld: boolean }>();
  /** Packets that are sent again are seen twice. */
  readonly seen = new Set<string>();
}

class AnswerBook {
  /** Queue pairs that ask, by the ID of their REQ. */
  readonly #asking = new Map<string, string>();
  readonly #met = new Set<string>();
  /** By the address and number of either queue pair. */
  readonly #conversations = new Map<string, Conversation>();
  readonly #all: Conversation[] = [];
  readonly #unanswered: string[] = [];
  #commands = 0;
  #cut = 0;

  add(packet: Packet): void {
    const { target, qpn, attribute } = packet;
    if (attribute !== '') this.#addMeeting(Number(attribute), packet);
    else if (packet.commandId !== '' || packet.responseId !== '') {
      const conversation = this.#conversations.get(`${target}/${qpn}`);
      if (conversation !== undefined) this.#addMessage(conversation, packet);
    }
  }

  verdict(): AnswersVerdict {
    let held = 0;
    for (const { underWay } of this.#all) {
      for (const [id, { frame, isHeld }] of underWay) {
        if (isHeld) held++;
        else this.#unanswered.push(`${frame}: command ${id}`);
      }
    }
    const { length: connections } = this.#all;
    return {
      commands: this.#commands,
      connections,
      cut: this.#cut,
      held,
      unanswered: this.#unanswered,
    };
  }

  #addMeeting(attribute: number, packet: Packet): void {
    const { source, target, requestId, askingQpn, answeringQpn, answeredId, endedQpn } = packet;
    if (attribute === Attribute.REQ) this.#asking.set(requestId, `${source}/${askingQpn}`);
    else if (attribute === Attribute.REP) this.#meet(`${source}/${answeringQpn}`, answeredId);
    else if (attribute === Attribute.DREQ) this.#end(`${target}/${endedQpn}`);
  }

  #meet(answering: string, answeredId: string): void {
    const asking = this.#asking.get(answeredId);
    const name = `${answering} ${answeredId}`;
    if (asking === undefined || this.#met.has(name)) return;
    this.#met.add(name);
    this.#end(answering);
    const conversation = new Conversation();
    this.#all.push(conversation);
    this.#conversations.set(asking, conversation);
    this.#conversations.set(answering, conversation);
  }

  #end(place: string): void {
    const { underWay } = this.#conversations.get(place) ?? new Conversation();
    for (const { isHeld } of underWay.values()) if (!isHeld) this.#cut++;
    underWay.clear();
  }

  #addMessage({ underWay, seen }: Conversation, packet: Packet): void {
    const { frame, target, qpn, psn, opcode, commandId, responseId } = packet;
    const name = `${target}/${qpn} ${psn}`;
    if (seen.has(name)) return;
    seen.add(name);
    if (commandId !== '') {
      this.#commands++;
      const isHeld = opcode !== '' && Number(opcode) === ASYNC_EVENT_REQUEST;
      underWay.set(Number(commandId), { frame, isHeld });
    } else if (!underWay.delete(Number(responseId))) this.#unanswered.push(`${frame}: answers nothing`);
  }
}
