/**
 * What the demo has to show for itself: every copy of every file compared by hash, across the processes that hold them,
 * and every object that was left over.
 */
import type { Moment } from './moment.js';
import type { ClientFileEvent, ServerFileEvent } from './protocol.js';

/** One file of one client, and what became of it at both ends. */
export interface ComparedFile {
  readonly client: number;
  readonly name: string;
  readonly bytes: number;
  /** Of the file on the client's disk. */
  readonly sha256: string;
  /** The other copies by where they were found. */
  readonly copies: {
    readonly receivedByServer: string;
    readonly echoedToClient: string;
    readonly writtenIntoServer: string;
    readonly readBackByClient: string;
  };
  readonly equal: boolean;
  readonly sendMillis: number;
  readonly writeMillis: number;
  readonly readMillis: number;
}

export interface Summary {
  readonly clients: number;
  /** Messages of the clients in both directions. */
  readonly messages: number;
  readonly writes: number;
  readonly reads: number;
  /** Payload, in both directions. */
  readonly bytes: number;
  readonly files: number;
  /** Copies whose hash was compared with that of the file on disk. */
  readonly hashesCompared: number;
  readonly hashesEqual: boolean;
  /** Objects and processes left over. */
  readonly leaked: number;
  readonly millis: number;
}

const COPIES = 4;

export class Verdict {
  readonly #clients: number;
  readonly #filesWanted: number;
  readonly #onCompared: (file: ComparedFile) => void;
  readonly #ofClients = new Map<string, ClientFileEvent>();
  readonly #ofServer = new Map<string, ServerFileEvent>();
  readonly #compared: ComparedFile[] = [];
  readonly #totals = { messages: 0, writes: 0, reads: 0, bytes: 0 };
  #censuses = 0;
  #leaked = 0;
  #allCompared: () => void = () => {};
  /** Resolves when both ends have told of every file. */
  readonly allCompared: Promise<void>;

  constructor(clients: number, filesWanted: number, onCompared: (file: ComparedFile) => void) {
    this.#clients = clients;
    this.#filesWanted = filesWanted;
    this.#onCompared = onCompared;
    this.allCompared = new Promise((resolve) => {
      this.#allCompared = resolve;
    });
  }

  note(moment: Moment): void {
    const { event } = moment;
    if (event.event === 'census') {
      this.#censuses++;
      this.#leaked += event.leaked;
    } else if (moment.actor === 'client' && moment.event.event === 'file') {
      this.#ofClients.set(`${moment.client} ${moment.event.name}`, moment.event);
      this.#compare(moment.client, moment.event.name);
    } else if (moment.actor === 'server' && moment.event.event === 'file') {
      this.#ofServer.set(`${moment.event.client} ${moment.event.name}`, moment.event);
      this.#compare(moment.event.client, moment.event.name);
    } else if (event.event === 'totals') {
      for (const name of ['messages', 'writes', 'reads', 'bytes'] as const) this.#totals[name] += event[name];
    }
  }

  /** A process that has not counted what it left over counts as one object itself. */
  summary(millis: number): Summary {
    const silent = this.#clients + 1 - this.#censuses;
    return {
      clients: this.#clients,
      ...this.#totals,
      files: this.#compared.length,
      hashesCompared: COPIES * this.#compared.length,
      hashesEqual: this.#compared.length === this.#filesWanted && this.#compared.every(({ equal }) => equal),
      leaked: this.#leaked + silent,
      millis: Math.round(millis),
    };
  }

  #compare(client: number, name: string): void {
    const own = this.#ofClients.get(`${client} ${name}`);
    const others = this.#ofServer.get(`${client} ${name}`);
    if (own === undefined || others === undefined) return;
    const { bytes, sha256, sendMillis, writeMillis, readMillis } = own;
    const copies = {
      receivedByServer: others.sentSha256,
      echoedToClient: own.echoSha256,
      writtenIntoServer: others.writtenSha256,
      readBackByClient: own.readSha256,
    };
    const equal = Object.values(copies).every((hash) => hash === sha256);
    const file = { client, name, bytes, sha256, copies, equal, sendMillis, writeMillis, readMillis };
    this.#compared.push(file);
    this.#onCompared(file);
    if (this.#compared.length === this.#filesWanted) this.#allCompared();
  }
}
