/**
 * Who is connected: controllers by number, and what becomes of a Connect command.
 *
 * Invariants: a controller belongs to one host and one subsystem; one of its queues is connected once; numbers of controllers are
 * not used again soon. A refusal says which field was wrong, as the specification asks.
 */
import type { Command } from '../wire/command.js';
import { ANY_CONTROLLER, type ConnectData, ConnectDataOffset } from '../wire/connect-data.js';
import { DO_NOT_RETRY, Status } from '../wire/status.js';
import { Controller } from './controller.js';
import type { TargetLimits } from './limits.js';
import { isAllowed, type Subsystem } from './subsystem.js';

/** Controllers are numbered from 1 to here. */
const MAX_CONTROLLER_ID = 0xffef;
/** A keep-alive timer beyond is as good as none. */
const MAX_KEEP_ALIVE_MILLIS = 0x7fff_ffff;
const IN_DATA = 1 << 16;
/** Where fields of the command lie. */
const CommandOffset = { FORMAT: 40, QUEUE_ID: 42, QUEUE_SIZE: 44 } as const;
const DISABLE_FLOW_CONTROL = 1 << 2;

export interface ConnectQueue {
  /** As rdma_cm was told. */
  readonly qid: number;
  readonly entries: number;
}

export type ConnectDecision =
  | { readonly isAccepted: false; readonly status: number; readonly result: number }
  | { readonly isAccepted: true; readonly controller: Controller; readonly hasFlowControl: boolean };

export class Registry {
  readonly #controllers = new Map<number, Controller>();
  readonly #subsystems: ReadonlyMap<string, Subsystem>;
  readonly #limits: TargetLimits;
  #lastId = 0;

  /** `subsystems`: by name, the discovery subsystem among them. */
  constructor(subsystems: ReadonlyMap<string, Subsystem>, limits: TargetLimits) {
    this.#subsystems = subsystems;
    this.#limits = limits;
  }

  get controllers(): Iterable<Controller> {
    return this.#controllers.values();
  }

  get size(): number {
    return this.#controllers.size;
  }

  remove(controller: Controller): void {
    if (this.#controllers.get(controller.id) === controller) this.#controllers.delete(controller.id);
  }

  connect(command: Command, data: ConnectData, queue: ConnectQueue, nowMillis: number): ConnectDecision {
    const { cdw10, cdw11 } = command;
    if ((cdw10 & 0xffff) !== 0) return refused(Status.CONNECT_FORMAT);
    if (cdw10 >>> 16 !== queue.qid) return invalid(CommandOffset.QUEUE_ID);
    const entries = (cdw11 & 0xffff) + 1;
    if (entries < 2 || entries > queue.entries) return invalid(CommandOffset.QUEUE_SIZE);
    const { subsystemNqn, hostNqn } = data;
    const subsystem = this.#subsystems.get(subsystemNqn ?? '');
    if (subsystem === undefined) return invalid(ConnectDataOffset.SUBSYSTEM_NQN | IN_DATA);
    if (hostNqn === undefined) return invalid(ConnectDataOffset.HOST_NQN | IN_DATA);
    if (!isAllowed(subsystem, hostNqn)) return refused(Status.CONNECT_INVALID_HOST);
    const hasFlowControl = ((cdw11 >>> 16) & DISABLE_FLOW_CONTROL) === 0;
    const found =
      queue.qid === 0
        ? this.#create(command, data, { subsystem, hostNqn, nowMillis })
        : this.#find(data, { subsystem, hostNqn }, queue.qid);
    return found instanceof Controller ? { isAccepted: true, controller: found, hasFlowControl } : found;
  }

  #create(
    { cdw12 }: Command,
    { controllerId, hostId }: ConnectData,
    { subsystem, hostNqn, nowMillis }: { subsystem: Subsystem; hostNqn: string; nowMillis: number },
  ): Controller | ConnectDecision {
    if (controllerId !== ANY_CONTROLLER) return invalid(ConnectDataOffset.CONTROLLER_ID | IN_DATA);
    if (this.#controllers.size >= this.#limits.controllers) {
      return { isAccepted: false, status: Status.CONNECT_CONTROLLER_BUSY, result: 0 };
    }
    const controller = new Controller({
      id: this.#nextId(),
      subsystem,
      hostNqn,
      hostId,
      keepAliveMillis: Math.min(cdw12, MAX_KEEP_ALIVE_MILLIS),
      queueEntries: this.#limits.queueEntries,
      ioQueues: this.#limits.ioQueues,
      nowMillis,
    });
    this.#controllers.set(controller.id, controller);
    return controller;
  }

  #find(
    { controllerId, hostId }: ConnectData,
    { subsystem, hostNqn }: { subsystem: Subsystem; hostNqn: string },
    qid: number,
  ): Controller | ConnectDecision {
    const controller = this.#controllers.get(controllerId);
    const isSame =
      controller !== undefined &&
      controller.subsystem === subsystem &&
      controller.hostNqn === hostNqn &&
      controller.hostId === hostId;
    // Whoever guesses a number learns no more than that it is none of his.
    if (!isSame) return invalid(ConnectDataOffset.CONTROLLER_ID | IN_DATA);
    if (subsystem.isDiscovery || qid > controller.ioQueues) return invalid(CommandOffset.QUEUE_ID);
    if (!controller.isReady) return refused(Status.COMMAND_SEQUENCE_ERROR);
    if (controller.queueIds.has(qid)) return refused(Status.COMMAND_SEQUENCE_ERROR);
    controller.queueIds.add(qid);
    return controller;
  }

  /** There is a free one, because there are more numbers than controllers. */
  #nextId(): number {
    do {
      this.#lastId = (this.#lastId % MAX_CONTROLLER_ID) + 1;
    } while (this.#controllers.has(this.#lastId));
    return this.#lastId;
  }
}

const refused = (status: number): ConnectDecision => ({
  isAccepted: false,
  status: status | DO_NOT_RETRY,
  result: 0,
});
const invalid = (place: number): ConnectDecision => ({
  isAccepted: false,
  status: Status.CONNECT_INVALID_PARAMETERS | DO_NOT_RETRY,
  result: place,
});
