/** Protection domains over libibverbs: the parent of regions, windows, queue pairs, SRQs and address handles. */

import { setTimeout as delay } from 'node:timers/promises';
import { markAsUntransferable } from 'node:worker_threads';
import { AccessFlags, checkRegionAccess } from '../verbs/access-flags.js';
import type { AddressVector } from '../verbs/address-handle.js';
import { checkCount, resolveCapacity } from '../verbs/capacity.js';
import { notSupported, type RdmaError, usageError } from '../verbs/errors.js';
import { emptyRegion, foreignCq, foreignSrq } from '../verbs/misuse.js';
import { makeObject, type ObjectKind, type ObjectLife } from '../verbs/object-life.js';
import { checkDestination } from '../verbs/peer-address.js';
import { QpType, qpTypeName } from '../verbs/qp-state.js';
import type { QueuePairOptions, SharedReceiveQueueOptions } from '../verbs/queue-pair.js';
import { newPlaces, readCapacity, readQpn, writeAddress, writeCapacity } from './attribute-array.js';
import { IbverbsAh } from './ibverbs-ah.js';
import { IbverbsCq } from './ibverbs-cq.js';
import { IbverbsMr, IbverbsMw } from './ibverbs-memory.js';
import { IbverbsQp } from './ibverbs-qp.js';
import { IbverbsSrq } from './ibverbs-srq.js';
import type { RequestBuffer } from './request-buffer.js';
import type { VerbsContext, VerbsDomain } from './verbs-context.js';
import { Errno, memlockLimit, verbError } from './verbs-error.js';

/** Memory may come free: another connection of this process, or another process, may be about to deregister. */
const MEMORY_WAITS_MILLIS = [20, 50, 100, 200];

export class IbverbsPd implements VerbsDomain {
  readonly device: VerbsContext;
  readonly handle: number;
  readonly life: ObjectLife;

  constructor(life: ObjectLife, device: VerbsContext, handle: number) {
    this.life = life;
    life.owner = this;
    this.device = device;
    this.handle = handle;
  }

  get closed(): boolean {
    return this.life.closed;
  }

  get buffer(): RequestBuffer {
    return this.device.buffer;
  }

  /**
   * Besides what the contract says: the memory must not move or vanish while a device may write to it, so resizable
   * buffers are refused, and the buffer cannot be transferred to a worker from now on. `ArrayBuffer.prototype.transfer`
   * cannot be prevented: do not use it on registered memory.
   */
  async regMr(buffer: Uint8Array | ArrayBuffer | SharedArrayBuffer, access: number): Promise<IbverbsMr> {
    this.life.checkOpen();
    checkRegionAccess(access);
    const bytes = ArrayBuffer.isView(buffer)
      ? new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength)
      : new Uint8Array(buffer);
    if (bytes.length === 0) throw emptyRegion();
    const memory = bytes.buffer;
    if (memory instanceof ArrayBuffer) {
      if ((memory as { resizable?: boolean }).resizable === true) {
        throw usageError(
          'a resizable ArrayBuffer cannot be registered: it could lose memory that a peer writes to',
        );
      }
      markAsUntransferable(memory);
    }
    return await this.#child('mrs', [], (life) => this.#register(life, bytes, access));
  }

  async createQp(options: QueuePairOptions): Promise<IbverbsQp> {
    this.life.checkOpen();
    const { device } = this;
    const type = options.type ?? QpType.RC;
    const capacity = resolveCapacity(options.capacity ?? {}, device.attributes);
    const { sendCq, recvCq } = options;
    const srq = options.srq ?? null;
    if (!isOpenCq(sendCq, device) || !isOpenCq(recvCq, device)) {
      throw foreignCq();
    }
    if (srq !== null && (!(srq instanceof IbverbsSrq) || srq.pd.device !== device || srq.closed)) {
      throw foreignSrq();
    }
    const places = newPlaces();
    writeCapacity(places, srq === null ? capacity : { ...capacity, maxRecvWr: 0, maxRecvSge: 0 });
    const queues = srq === null ? [sendCq, recvCq] : [sendCq, recvCq, srq];
    return await this.#child('qps', queues, async (life) => {
      const handle = await device.addon.createQp(
        this.handle,
        type,
        sendCq.handle,
        recvCq.handle,
        srq?.handle ?? 0,
        options.signalAll === true ? 1 : 0,
        places,
      );
      if (handle < 0) throw createQpError(type, device.name, -handle);
      const made = {
        handle,
        qpn: readQpn(places),
        type,
        capacity: readCapacity(places),
        sendCq,
        recvCq,
        srq,
      };
      return new IbverbsQp(life, this, made);
    });
  }

  async createSrq(options: SharedReceiveQueueOptions): Promise<IbverbsSrq> {
    this.life.checkOpen();
    const { device } = this;
    if (device.attributes.maxSrqs === 0) throw notSupported('shared receive queues', device.name);
    const maxSge = options.maxSge ?? Math.min(16, device.maxSrqSge);
    checkCount('maxWr', options.maxWr, 1, device.attributes.maxSrqWr);
    checkCount('maxSge', maxSge, 0, device.maxSrqSge);
    const sizes = Float64Array.of(options.maxWr, maxSge);
    return await this.#child('srqs', [], async (life) => {
      const handle = await device.addon.createSrq(this.handle, sizes);
      if (handle < 0) {
        throw verbError(
          `creating a shared receive queue of ${options.maxWr} requests on ${device.name}`,
          -handle,
          {
            invalid: `at most ${device.attributes.maxSrqWr} requests of ${device.maxSrqSge} SGEs are possible`,
          },
        );
      }
      return new IbverbsSrq(life, this, handle, sizes[0] ?? 0, sizes[1] ?? 0);
    });
  }

  async createAh(av: AddressVector): Promise<IbverbsAh> {
    this.life.checkOpen();
    checkDestination(av, true);
    const { device } = this;
    const port = 1;
    return await this.#child('ahs', [], async (life) => {
      const sgidIndex = await device.resolveSgid(av, port);
      const places = newPlaces();
      writeAddress(places, av, port, sgidIndex);
      const handle = await device.addon.createAh(this.handle, places);
      if (handle > 0) return new IbverbsAh(life, this, handle, av);
      throw verbError(
        `an address handle to ${av.dgid} from GID index ${sgidIndex} of ${device.name}`,
        -handle,
        {
          invalid:
            'check the GID index, hop limit, traffic class and flow label, and that the port is active',
        },
      );
    });
  }

  async allocMw(): Promise<IbverbsMw> {
    this.life.checkOpen();
    const { device } = this;
    if (device.attributes.maxMws === 0) throw notSupported('memory windows of type 2', device.name);
    return await this.#child('mws', [], async (life) => {
      const out = new Float64Array(1);
      const handle = await device.addon.allocMw(this.handle, out);
      if (handle < 0) throw verbError(`allocating a memory window on ${device.name}`, -handle);
      return new IbverbsMw(life, this, handle, out[0] ?? 0);
    });
  }

  close(): Promise<void> {
    return this.life.close(() => this.device.destroy(this.handle, this.life.name));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #child<T>(
    kind: ObjectKind,
    queues: readonly { readonly life: ObjectLife }[],
    make: (life: ObjectLife) => Promise<T>,
  ): Promise<T> {
    const needs = [this.life, ...queues.map(({ life }) => life)];
    return makeObject(kind, this.device.live, needs, make);
  }

  async #register(life: ObjectLife, bytes: Uint8Array, access: number): Promise<IbverbsMr> {
    const out = new Float64Array(3);
    const { addon, name } = this.device;
    for (const waitMillis of [...MEMORY_WAITS_MILLIS, 0]) {
      const handle = await addon.regMr(this.handle, bytes, access, out);
      if (handle > 0) {
        const base = (access & AccessFlags.ZERO_BASED) !== 0 ? 0 : (out[0] ?? 0);
        return new IbverbsMr(life, this, handle, bytes, access, base, out);
      }
      if (-handle !== Errno.ENOMEM || waitMillis === 0) {
        throw registrationError(bytes.length, access, name, -handle);
      }
      await delay(waitMillis);
    }
    throw registrationError(bytes.length, access, name, Errno.ENOMEM);
  }
}

const isOpenCq = (cq: unknown, device: VerbsContext): cq is IbverbsCq =>
  cq instanceof IbverbsCq && cq.device === device && !cq.closed;

function registrationError(lengthBytes: number, access: number, device: string, errno: number): RdmaError {
  const memlock = `registered memory stays in RAM and counts against the memlock limit, which is ${memlockLimit()}; see \`ulimit -l\``;
  return verbError(
    `registering ${lengthBytes} bytes with access 0x${access.toString(16)} on ${device}`,
    errno,
    {
      invalid: 'the device does not offer one of these rights (atomics, memory windows, ZERO_BASED)',
      hints: {
        [Errno.ENOMEM]: memlock,
        [Errno.EPERM]: memlock,
        [Errno.EFAULT]: 'part of the memory cannot be used by a device',
      },
    },
  );
}

function createQpError(type: QpType, device: string, errno: number): RdmaError {
  const name = qpTypeName(type);
  return verbError(`creating a ${name} queue pair on ${device}`, errno, {
    invalid: `its capacity is more than the device has for ${name}, often maxInlineData or SGEs`,
    hints: {
      [Errno.EOPNOTSUPP]: `the device has no ${name} queue pairs`,
      [Errno.ENOSYS]: `the device has no ${name} queue pairs`,
    },
  });
}
