/**
 * A host of NVMe over Fabrics by hand: it sends the capsules that a test writes, right or wrong, and gives back the responses as they
 * come. Its data lies in one region, from `DATA_AT` on.
 */
import { randomBytes } from 'node:crypto';
import type { CmConnection } from '../src/cm/cm-connection.js';
import { connect } from '../src/cm/connect.js';
import type { CmConnectOptions } from '../src/cm/options.js';
import { type Endpoint, openEndpoint } from '../src/endpoint/endpoint.js';
import { COMMAND_BYTES, type CommandFields, writeCommand } from '../src/nvme/wire/command.js';
import { ANY_CONTROLLER, writeConnectData } from '../src/nvme/wire/connect-data.js';
import { FABRICS_OPCODE, FabricsType } from '../src/nvme/wire/opcodes.js';
import { queueRequest } from '../src/nvme/wire/private-data.js';
import { RESPONSE_BYTES, type Response, readResponse } from '../src/nvme/wire/response.js';
import { writeCapsuleSgl, writeKeyedSgl } from '../src/nvme/wire/sgl.js';
import { AccessFlags } from '../src/verbs/access-flags.js';
import type { Device } from '../src/verbs/device.js';
import {
  createCompletions,
  statusName,
  WcOpcode,
  type WorkCompletion,
} from '../src/verbs/work-completion.js';
import { SendFlags, WrOpcode } from '../src/verbs/work-request.js';

const CAPSULE_ROOM = 16 << 10;
const RECEIVES_AT = CAPSULE_ROOM;
const MAX_RECEIVES = 128;
/** Where data of commands lies in the memory of a queue. */
export const DATA_AT = 32 << 10;
const MEMORY_BYTES = DATA_AT + (2 << 20);

export interface QueueOptions {
  readonly qid?: number;
  readonly entries?: number;
  readonly privateData?: Uint8Array;
  readonly responderResources?: number;
}

export type To = Pick<CmConnectOptions, 'host' | 'port' | 'udpPort'>;

/** Where a command's data lies. */
export type DataPlace =
  /** In memory of the host; `at`: behind `DATA_AT`. */
  | { readonly kind: 'keyed'; readonly length: number; readonly at?: number; readonly type?: number }
  | { readonly kind: 'capsule'; readonly bytes: Uint8Array; readonly length?: number };

export class RawQueue implements AsyncDisposable {
  readonly endpoint: Endpoint;
  readonly connection: CmConnection;
  readonly qid: number;
  readonly entries: number;
  readonly #responses: Response[] = [];
  readonly #completions = createCompletions(16);
  #lastCid = 0;

  static async open(device: Device, to: To, options: QueueOptions = {}): Promise<RawQueue> {
    const { qid = 0, entries = 32, responderResources = 4 } = options;
    const { privateData = queueRequest({ qid, hostReceives: entries, entries }) } = options;
    const endpoint = await openEndpoint(device, {
      memory: MEMORY_BYTES,
      access: AccessFlags.REMOTE_READ | AccessFlags.REMOTE_WRITE,
      wait: { timeoutMillis: 20_000 },
    });
    try {
      for (let i = 0; i < MAX_RECEIVES; i++) postReceive(endpoint, i);
      const connection = await connect(device, { ...to, qp: endpoint, privateData, responderResources });
      return new RawQueue(endpoint, connection, qid, entries);
    } catch (error) {
      await endpoint.close();
      throw error;
    }
  }

  private constructor(endpoint: Endpoint, connection: CmConnection, qid: number, entries: number) {
    this.endpoint = endpoint;
    this.connection = connection;
    this.qid = qid;
    this.entries = entries;
  }

  /** What a command's data is, or becomes. */
  data(length: number, at = 0): Uint8Array {
    return this.endpoint.memory.bytes.subarray(DATA_AT + at, DATA_AT + at + length);
  }

  /** Sends a capsule as it is. */
  sendCapsule(bytes: Uint8Array): void {
    const { memory, qp } = this.endpoint;
    memory.bytes.set(bytes);
    const inlineFits = bytes.length <= 128;
    qp.postSend({
      wrId: 1000,
      opcode: WrOpcode.SEND,
      flags: SendFlags.SIGNALED,
      ...(inlineFits ? { inlineData: bytes } : { sges: [{ mr: memory, offset: 0, length: bytes.length }] }),
    });
  }

  /** Sends a command; `change` may spoil its 64 bytes. Returns its ID. */
  send(fields: Omit<CommandFields, 'cid'>, place?: DataPlace, change?: (view: DataView) => void): number {
    this.#lastCid = (this.#lastCid + 1) & 0xffff;
    const capsule = new Uint8Array(COMMAND_BYTES + (place?.kind === 'capsule' ? place.bytes.length : 0));
    const view = new DataView(capsule.buffer);
    const sglAt = writeCommand(view, 0, { ...fields, cid: this.#lastCid });
    if (place?.kind === 'keyed') {
      const { addr, rkey } = this.endpoint.memory;
      const { length, at = 0, type } = place;
      writeKeyedSgl(view, sglAt, {
        addr: addr + BigInt(DATA_AT + at),
        rkey,
        length,
        ...(type === undefined ? {} : { type }),
      });
    } else if (place !== undefined) {
      writeCapsuleSgl(view, sglAt, place.length ?? place.bytes.length);
      capsule.set(place.bytes, COMMAND_BYTES);
    }
    change?.(view);
    this.sendCapsule(capsule);
    return this.#lastCid;
  }

  /** The next response. @throws Error when a request failed: the target has ended the queue. */
  async response(): Promise<Response> {
    for (;;) {
      const found = this.#responses.shift();
      if (found !== undefined) return found;
      const count = await this.endpoint.take(this.#completions);
      if (count === 0) throw new Error('no response came');
      for (let i = 0; i < count; i++) this.#take(this.#completions[i] as WorkCompletion);
    }
  }

  /** Sends a command and waits for its response. */
  async run(
    fields: Omit<CommandFields, 'cid'>,
    place?: DataPlace,
    change?: (view: DataView) => void,
  ): Promise<Response> {
    this.send(fields, place, change);
    return await this.response();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.connection.disconnect();
    await this.endpoint.close();
  }

  #take({ status, opcode, wrId }: WorkCompletion): void {
    if (status !== 0) throw new Error(`a request failed with ${statusName(status)}`);
    if (opcode !== WcOpcode.RECV) return;
    const { memory } = this.endpoint;
    const view = new DataView(memory.bytes.buffer, memory.bytes.byteOffset, memory.length);
    this.#responses.push(readResponse(view, RECEIVES_AT + wrId * RESPONSE_BYTES));
    postReceive(this.endpoint, wrId);
  }
}

function postReceive({ qp, memory }: Endpoint, wrId: number): void {
  qp.postRecv({
    wrId,
    sges: [{ mr: memory, offset: RECEIVES_AT + wrId * RESPONSE_BYTES, length: RESPONSE_BYTES }],
  });
}

export const HOST_NQN = 'nqn.2026-01.test:host';
export const HOST_ID = randomBytes(16);

export interface ConnectFields {
  readonly nqn: string;
  readonly hostNqn?: string;
  readonly hostId?: Uint8Array;
  readonly controllerId?: number;
  readonly keepAliveMillis?: number;
  readonly qid?: number;
  readonly entries?: number;
  readonly attributes?: number;
  readonly inCapsule?: boolean;
}

/** The Connect command of a queue. */
export async function runConnect(queue: RawQueue, fields: ConnectFields): Promise<Response> {
  const { nqn, hostNqn = HOST_NQN, hostId = HOST_ID, controllerId = ANY_CONTROLLER } = fields;
  const { keepAliveMillis = 0, qid = queue.qid, entries = queue.entries, attributes = 0 } = fields;
  const bytes = new Uint8Array(1024);
  writeConnectData(bytes, { hostId, controllerId, subsystemNqn: nqn, hostNqn });
  queue.data(bytes.length).set(bytes);
  const command = {
    opcode: FABRICS_OPCODE,
    nsid: FabricsType.CONNECT,
    cdw10: qid << 16,
    cdw11: (entries - 1) | (attributes << 16),
    cdw12: keepAliveMillis,
  };
  return await queue.run(
    command,
    fields.inCapsule ? { kind: 'capsule', bytes } : { kind: 'keyed', length: bytes.length },
  );
}

export const getProperty = (queue: RawQueue, offset: number, isWide = false): Promise<Response> =>
  queue.run({ opcode: FABRICS_OPCODE, nsid: FabricsType.PROPERTY_GET, cdw10: isWide ? 1 : 0, cdw11: offset });

export const setProperty = (queue: RawQueue, offset: number, value: number): Promise<Response> =>
  queue.run({ opcode: FABRICS_OPCODE, nsid: FabricsType.PROPERTY_SET, cdw11: offset, cdw12: value });

/** As Linux enables a controller. */
export const ENABLED = 0x0046_0001;
