/**
 * The service that `queuepair serve` runs: it welcomes a client, echoes DATA, and answers WRITE, which announces that
 * the client's RDMA write has landed in our buffer, with the hash of what is there. QUIT ends the loop.
 */
import { createHash } from 'node:crypto';
import * as v from 'valibot';
import type { Message } from '../../connection/messages/message-inbox.js';
import type { Connection } from '../../connection/program/connection.js';
import type { ConnectionHandler } from '../../connection/program/handler.js';
import { RdmaError } from '../../verbs/errors.js';
import { isCopyTag } from '../copy/copy-wire.js';
import { refuseCopy, type Share } from '../copy/share.js';
import { ServiceTag, serviceTagName } from './service-tags.js';

/** The service without options, as a module for workers. */
export const SERVICE_MODULE = new URL('./worker-service.js', import.meta.url);

const offset = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const announcementSchema = v.strictObject({ offset, length: offset });
const acknowledgementSchema = v.strictObject({ offset, length: offset, sha256: v.string() });

export type WriteAcknowledgement = v.InferOutput<typeof acknowledgementSchema>;

export interface ServiceOptions {
  /** Text of the welcome message. */
  readonly welcome?: (connection: Connection) => string;
  /** Called for every message, before it is answered. */
  readonly onMessage?: (connection: Connection, message: Message) => void;
  /** Takes over some messages, and then the connection until it is done. */
  readonly share?: Share;
  /** Called when an announced write was found in the buffer. */
  readonly onWrite?: (
    connection: Connection,
    bytes: Uint8Array,
    acknowledgement: WriteAcknowledgement,
  ) => void;
}

/** A handler for `listen`. */
export function messageService(options: ServiceOptions = {}): ConnectionHandler {
  return async (connection) => {
    const welcome = options.welcome?.(connection) ?? `welcome, client ${connection.id}`;
    await connection.send(welcome, { tag: ServiceTag.WELCOME });
    for await (const message of connection) {
      if (isCopyTag(message.tag)) {
        await (options.share?.serve(connection, message) ?? refuseCopy(connection));
        continue;
      }
      options.onMessage?.(connection, message);
      await answer(connection, message, options);
    }
  };
}

async function answer(connection: Connection, message: Message, options: ServiceOptions): Promise<void> {
  if (message.tag === ServiceTag.DATA) {
    await connection.send(message.data, { tag: ServiceTag.ECHO });
    return;
  }
  if (message.tag !== ServiceTag.WRITE)
    throw violation(`a client does not send ${serviceTagName(message.tag)}`);
  const announced = parse(announcementSchema, message);
  if (announced.offset + announced.length > connection.buffer.length) {
    throw violation('it announced a write outside of the buffer');
  }
  const bytes = connection.buffer.subarray(announced.offset, announced.offset + announced.length);
  const acknowledgement = { ...announced, sha256: sha256(bytes) };
  options.onWrite?.(connection, bytes, acknowledgement);
  await connection.send(JSON.stringify(acknowledgement), { tag: ServiceTag.WRITE_ACK });
}

/** The client's side of the service. Calls must not overlap: answers come in the order of the questions. */
export class ServiceClient {
  readonly connection: Connection;

  constructor(connection: Connection) {
    this.connection = connection;
  }

  /** The welcome message, which comes first. */
  async welcome(): Promise<string> {
    return Buffer.from((await this.#expect(ServiceTag.WELCOME)).data).toString();
  }

  /** Sends DATA and returns what came back. */
  async echo(data: string | Uint8Array): Promise<Uint8Array> {
    await this.connection.send(data);
    return (await this.#expect(ServiceTag.ECHO)).data;
  }

  /**
   * Puts `data` into the server's buffer by RDMA write, announces it, and returns what the server found there.
   *
   * @throws RdmaError also when the server has no buffer or a smaller one.
   */
  async write(data: Uint8Array, at = 0): Promise<WriteAcknowledgement> {
    await this.connection.write(this.#remote().at(at, data.length), data);
    const announcement = JSON.stringify({ offset: at, length: data.length });
    await this.connection.send(announcement, { tag: ServiceTag.WRITE });
    return parse(acknowledgementSchema, await this.#expect(ServiceTag.WRITE_ACK));
  }

  /** Fetches a part of the server's buffer by RDMA read. */
  read(at: number, length: number): Promise<Uint8Array> {
    return this.connection.read(this.#remote().at(at, length));
  }

  #remote() {
    const { remoteBuffer } = this.connection;
    if (remoteBuffer !== null) return remoteBuffer;
    throw new RdmaError('ERR_RDMA_NOT_SUPPORTED', 'the server has no buffer that clients may write or read');
  }

  async #expect(tag: ServiceTag): Promise<Message> {
    const message = await this.connection.receive();
    if (message === undefined) {
      throw new RdmaError(
        'ERR_RDMA_CONNECTION_LOST',
        `the server quit before it sent ${serviceTagName(tag)}`,
      );
    }
    if (message.tag === tag) return message;
    throw violation(`it sent ${serviceTagName(message.tag)} instead of ${serviceTagName(tag)}`);
  }
}

/** The peer does not speak the service's language. */
const violation = (what: string): RdmaError =>
  new RdmaError('ERR_RDMA_PROTOCOL', `the peer broke the rules of the service: ${what}`);

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

function parse<Schema extends v.GenericSchema>(schema: Schema, message: Message): v.InferOutput<Schema> {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(message.data).toString());
  } catch {
    throw violation(`its ${serviceTagName(message.tag)} message is not JSON`);
  }
  const result = v.safeParse(schema, value);
  if (!result.success) throw violation(`its ${serviceTagName(message.tag)} message lacks what it must say`);
  return result.output;
}
