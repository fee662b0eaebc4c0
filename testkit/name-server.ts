/** A DNS server on loopback that tells what a test has written down, and nothing about anything else (NXDOMAIN). */
import { createSocket, type Socket } from 'node:dgram';
import { Resolver } from 'node:dns/promises';
import { once } from 'node:events';
import { type Answer, decode, encode, RECURSION_DESIRED } from 'dns-packet';

const NXDOMAIN = 3;
const SERVFAIL = 2;

export interface SrvRecord {
  readonly target: string;
  readonly port: number;
  readonly priority?: number;
  readonly weight?: number;
}

export class NameServer implements AsyncDisposable {
  readonly srv = new Map<string, readonly SrvRecord[]>();
  readonly a = new Map<string, string>();
  /** Questions so far, each as `SRV name`. */
  readonly asked: string[] = [];
  /** Answers nothing while it is set. */
  isSilent = false;
  isFailing = false;
  readonly resolver: Resolver;
  readonly #socket: Socket;

  static async start(): Promise<NameServer> {
    const socket = createSocket('udp4');
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    return new NameServer(socket);
  }

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.resolver = new Resolver({ timeout: 2000, tries: 1 });
    this.resolver.setServers([`127.0.0.1:${socket.address().port}`]);
    socket.on('message', (bytes, { address, port }) => {
      const answer = this.#answer(bytes);
      if (!this.isSilent) socket.send(answer, port, address);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close();
    await once(this.#socket, 'close');
  }

  #answer(bytes: Buffer): Buffer {
    const { id = 0, questions = [] } = decode(bytes);
    const answers = questions.flatMap(({ name, type }): Answer[] => {
      this.asked.push(`${type} ${name}`);
      if (type === 'SRV') {
        return (this.srv.get(name) ?? []).map(({ priority = 0, weight = 0, ...data }) => ({
          name,
          type,
          ttl: 0,
          data: { ...data, priority, weight },
        }));
      }
      const address = this.a.get(name);
      return type === 'A' && address !== undefined ? [{ name, type, ttl: 0, data: address }] : [];
    });
    const known = questions.some(({ name }) => this.srv.has(name) || this.a.has(name));
    const code = this.isFailing ? SERVFAIL : known ? 0 : NXDOMAIN;
    return encode({
      type: 'response',
      id,
      flags: RECURSION_DESIRED | code,
      questions,
      answers: this.isFailing ? [] : answers,
    });
  }
}
