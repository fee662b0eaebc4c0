/**
 * A hostile NVMe host: private data of rdma_cm, and commands of several queues in any order, with fields that lie, at any time.
 *
 * What it insists on: nothing throws; a queue that is accepted lies within the limits; a controller belongs to the host that made it,
 * and there are never more than allowed; a page fits exactly into the host's memory; a request that passed lies within its
 * namespace, its capsule and the largest transfer.
 */
import { memoryBackend } from '../../../../src/nvme/backends/memory-backend.js';
import { type AdminFacts, answerAdmin } from '../../../../src/nvme/target/admin-commands.js';
import type { Controller } from '../../../../src/nvme/target/controller.js';
import { checkIo, IoRequest, readTrimRanges } from '../../../../src/nvme/target/io-request.js';
import { LIMITS } from '../../../../src/nvme/target/limits.js';
import { Registry } from '../../../../src/nvme/target/registry.js';
import { DISCOVERY_SUBSYSTEM, makeSubsystem } from '../../../../src/nvme/target/subsystem.js';
import { Command, readCommand, writeCommand } from '../../../../src/nvme/wire/command.js';
import { ANY_CONTROLLER, readConnectData, writeConnectData } from '../../../../src/nvme/wire/connect-data.js';
import { AdminOpcode, DISCOVERY_NQN, FABRICS_OPCODE, IoOpcode } from '../../../../src/nvme/wire/opcodes.js';
import { queueRequest, readQueueRequest } from '../../../../src/nvme/wire/private-data.js';
import { SglType, writeCapsuleSgl, writeKeyedSgl } from '../../../../src/nvme/wire/sgl.js';
import { Status } from '../../../../src/nvme/wire/status.js';
import { Choices } from '../../choices.js';
import { stepInput } from '../../step-input.js';
import { must, type Target } from '../../target.js';

const STEP_BYTES = 24;
const MAX_STEPS = 48;
const NQN = 'nqn.2026-01.test:disk';
const PRIVATE_NQN = 'nqn.2026-01.test:private';
const HOSTS = ['nqn.2026-01.test:a', 'nqn.2026-01.test:b'];
const NAMES = [NQN, DISCOVERY_NQN, PRIVATE_NQN, 'nqn.2026-01.test:none', '', 'a b'];
const MAX_CONTROLLERS = 3;
const TARGET_LIMITS = { queueEntries: 64, ioQueues: 2, controllers: MAX_CONTROLLERS, queues: 16 };
/** Fields that limits and lengths are near to. */
const NUMBERS = [
  0,
  1,
  7,
  8,
  15,
  16,
  255,
  256,
  4095,
  4096,
  65_535,
  65_536,
  (1 << 20) - 1,
  1 << 20,
  0xffffff,
  0x7fffffff,
  0xffffffff,
];
const OPCODES = [...Object.values(IoOpcode), ...Object.values(AdminOpcode), FABRICS_OPCODE];
const ENABLE = 0x0046_0001;
const TIMES = [0, 1, 100, 5000, 130_000];

const Step = { ADMIN: 0, IO: 1, CONNECT: 2, ENABLE: 3, PRIVATE_DATA: 4, TIME: 5, LEAVE: 6 } as const;
const STEPS = Object.keys(Step).length;

export class NvmeFuzzTarget implements Target {
  readonly name = 'nvme';
  readonly stepBytes = STEP_BYTES;
  readonly maxSteps = MAX_STEPS;

  /** Lives as they should be, and every command once. */
  seeds(): readonly Uint8Array[] {
    const steps = (...list: readonly number[][]): Uint8Array => stepInput(STEP_BYTES, list);
    return [
      ...OPCODES.map((_, i) => steps([Step.CONNECT], [Step.ENABLE], [Step.ADMIN, 0, i], [Step.IO, 0, i])),
      ...NAMES.map((_, i) =>
        steps([Step.CONNECT, 0, i], [Step.ENABLE], [Step.CONNECT, 0, i, 0, 1], [Step.TIME, 4]),
      ),
      ...NUMBERS.map((_, i) => steps([Step.CONNECT], [Step.ENABLE], [Step.IO, 0, 2, 0, i, 0, i, i])),
      steps(
        [Step.PRIVATE_DATA],
        [Step.CONNECT],
        [Step.CONNECT],
        [Step.CONNECT],
        [Step.CONNECT],
        [Step.LEAVE],
        [Step.CONNECT],
      ),
    ];
  }

  run(input: Uint8Array): number {
    const world = new NvmeWorld();
    const choices = new Choices();
    for (let at = 0; at < input.length; at += STEP_BYTES)
      world.step(choices.reset(input, at, at + STEP_BYTES));
    return Math.max(1, Math.ceil(input.length / STEP_BYTES));
  }
}

class NvmeWorld {
  readonly #disk = makeSubsystem(
    NQN,
    [memoryBackend(1 << 20, { blockBytes: 512 }), memoryBackend(1 << 16)],
    undefined,
  );
  readonly #subsystems = [
    DISCOVERY_SUBSYSTEM,
    this.#disk,
    makeSubsystem(PRIVATE_NQN, [memoryBackend(4096)], HOSTS.slice(0, 1)),
  ];
  readonly #registry = new Registry(new Map(this.#subsystems.map((one) => [one.nqn, one])), TARGET_LIMITS);
  readonly #command = new Command();
  readonly #io = new IoRequest();
  readonly #bytes = new Uint8Array(64);
  #nowMillis = 0;

  step(choices: Choices): void {
    switch (choices.below(STEPS)) {
      case Step.ADMIN:
        this.#admin(choices);
        return;
      case Step.IO:
        this.#ioCommand(choices);
        return;
      case Step.CONNECT:
        this.#connect(choices);
        return;
      case Step.ENABLE:
        this.#some(choices)?.setProperty(0x14, false, choices.oneIn(4) ? choices.u32() : ENABLE);
        return;
      case Step.PRIVATE_DATA:
        this.#privateData(choices);
        return;
      case Step.TIME:
        this.#nowMillis += choices.pick(TIMES);
        for (const controller of this.#registry.controllers) {
          if (controller.isSilent(this.#nowMillis)) this.#registry.remove(controller);
        }
        return;
      default: {
        const controller = this.#some(choices);
        if (controller !== undefined) this.#registry.remove(controller);
      }
    }
  }

  #some(choices: Choices): Controller | undefined {
    const all = [...this.#registry.controllers];
    return all[choices.below(Math.max(all.length, 1))];
  }

  /** A command with a descriptor that fits often. */
  #craft(choices: Choices): Command {
    const view = new DataView(this.#bytes.buffer);
    const number = (): number => (choices.oneIn(8) ? choices.u32() : choices.pick(NUMBERS));
    const opcode = choices.oneIn(16) ? choices.u8() : choices.pick(OPCODES);
    const nsid = choices.oneIn(8) ? choices.u32() : 1 + choices.below(3);
    const sglAt = writeCommand(view, 0, {
      ...{ opcode, nsid, cid: 1, cdw10: number(), cdw11: choices.oneIn(4) ? number() : 0 },
      ...{ cdw12: number(), cdw13: choices.oneIn(4) ? number() : 0 },
    });
    const blocks = (view.getUint16(48, true) + 1) * 512;
    const length = choices.pick([blocks, 4096, 512, 16, 0, number()]);
    if (choices.oneIn(2)) writeCapsuleSgl(view, sglAt, length);
    else
      writeKeyedSgl(view, sglAt, {
        addr: BigInt(choices.u32()),
        rkey: 1,
        length: Math.min(length, 0xffffff),
      });
    if (choices.oneIn(8)) view.setUint8(choices.below(64), choices.u8());
    readCommand(view, 0, this.#command);
    return this.#command;
  }

  #admin(choices: Choices): void {
    const controller = this.#some(choices);
    if (controller === undefined) return;
    const command = this.#craft(choices);
    const { data, dataBytes = data?.length, isHeld, status } = answerAdmin(controller, command, FACTS);
    must(status >= 0 && status <= 0x7fff, 'a status has 15 bits');
    if (data !== undefined) {
      must(status === Status.SUCCESS && isHeld === undefined, 'a page comes with success');
      must(command.sgl.type !== SglType.IN_CAPSULE, 'a page goes into memory of the host');
      must(dataBytes === command.sgl.length && dataBytes <= LIMITS.maxTransferBytes, 'a page fits');
      must(data.length <= dataBytes, 'no more than the host asked for');
    }
  }

  #ioCommand(choices: Choices): void {
    const inCapsule = choices.pick([4096, 0, 512, 1]);
    const command = this.#craft(choices);
    if (checkIo(command, inCapsule, this.#disk, this.#io) !== Status.SUCCESS) return;
    const { namespace, offsetBytes, lengthBytes, opcode, isTrim } = this.#io;
    if (namespace === null || opcode === IoOpcode.FLUSH) return;
    const { sgl } = command;
    if (opcode === IoOpcode.READ || opcode === IoOpcode.WRITE || opcode === IoOpcode.WRITE_ZEROES) {
      must(offsetBytes >= 0 && lengthBytes > 0, 'there is something to do');
      must(offsetBytes + lengthBytes <= namespace.backend.sizeBytes, 'it lies in the namespace');
    }
    if (opcode === IoOpcode.WRITE_ZEROES) return;
    must(lengthBytes <= LIMITS.maxTransferBytes && sgl.length >= lengthBytes, 'the data has room');
    if (sgl.type === SglType.IN_CAPSULE)
      must(sgl.offset + lengthBytes <= inCapsule, 'the data lies in the capsule');
    if (isTrim) this.#trim(choices, lengthBytes);
  }

  #trim(choices: Choices, lengthBytes: number): void {
    const data = new Uint8Array(lengthBytes);
    for (let i = 0; i < data.length && !choices.done; i++) data[(i * 4) % data.length] = choices.u8();
    const namespace = this.#io.namespace ?? undefined;
    if (namespace === undefined) return;
    for (const range of readTrimRanges(data, namespace) ?? []) {
      must(
        range.offsetBytes + range.lengthBytes <= namespace.backend.sizeBytes,
        'a range lies in the namespace',
      );
    }
  }

  #connect(choices: Choices): void {
    const hostNqn = choices.pick(HOSTS);
    const subsystemNqn = choices.pick(NAMES);
    const known = this.#some(choices);
    const qid = choices.below(4);
    const bytes = new Uint8Array(1024);
    const controllerId = qid === 0 ? ANY_CONTROLLER : (known?.id ?? 1);
    writeConnectData(bytes, { hostId: new Uint8Array(16), controllerId, subsystemNqn, hostNqn });
    if (choices.oneIn(8)) bytes[choices.below(1024)] = choices.u8();
    const view = new DataView(this.#bytes.buffer);
    const entries = choices.oneIn(8) ? choices.u16() : 31;
    writeCommand(view, 0, {
      opcode: FABRICS_OPCODE,
      cid: 0,
      nsid: 1,
      cdw10: qid << 16,
      cdw11: entries,
      cdw12: choices.pick(NUMBERS),
    });
    readCommand(view, 0, this.#command);
    const data = readConnectData(bytes);
    const decision = this.#registry.connect(this.#command, data, { qid, entries: 32 }, this.#nowMillis);
    must(this.#registry.size <= MAX_CONTROLLERS, 'there are no more controllers than allowed');
    if (!decision.isAccepted) return;
    const { controller } = decision;
    must(
      controller.hostNqn === data.hostNqn && controller.subsystem.nqn === data.subsystemNqn,
      "it is the host's own",
    );
    must(controller.queueIds.size <= TARGET_LIMITS.ioQueues, 'it has no more queues than allowed');
    must(controller.subsystem.nqn !== PRIVATE_NQN || hostNqn === HOSTS[0], 'only the host that may comes in');
  }

  #privateData(choices: Choices): void {
    const number = (): number => (choices.oneIn(2) ? choices.u16() : choices.pick(NUMBERS) & 0xffff);
    const data = queueRequest({ qid: choices.below(4), hostReceives: number(), entries: number() + 1 });
    if (choices.oneIn(4)) data[choices.below(32)] = choices.u8();
    const read = readQueueRequest(choices.oneIn(8) ? data.subarray(0, choices.u8()) : data, {
      maxQid: 2,
      maxEntries: 64,
    });
    if (typeof read === 'number') return;
    must(read.qid <= 2 && read.hostReceives > 0, 'the queue exists');
    must(
      read.entries >= 2 && read.entries <= (read.qid === 0 ? 32 : 64),
      'the queue has a size that is offered',
    );
  }
}

const FACTS: AdminFacts = {
  model: 'queuepair',
  firmware: '1',
  health: () => ({ bytesRead: 0, bytesWritten: 0, reads: 0, writes: 0 }),
  discovery: () => ({
    generation: 1,
    entries: [{ nqn: NQN, host: '192.0.2.1', port: 4420, isDiscovery: false }],
  }),
};
