/** What a queue does with commands before Connect, and what an admin queue does afterwards. */
import { CONNECT_DATA_BYTES, readConnectData } from '../wire/connect-data.js';
import { FABRICS_OPCODE, FabricsType } from '../wire/opcodes.js';
import { SglType } from '../wire/sgl.js';
import { DO_NOT_RETRY, Status } from '../wire/status.js';
import { answerAdmin } from './admin-commands.js';
import type { Controller } from './controller.js';
import { deviceDataStatus } from './data-place.js';
import { IoWork } from './io-work.js';
import type { TargetRequest } from './request.js';
import type { QueueWork, TargetQueue } from './target-queue.js';

/** Waits for Connect, which decides whose queue this is. */
export class ConnectWork implements QueueWork {
  #isAsked = false;

  onCommand(queue: TargetQueue, request: TargetRequest): void {
    const { command, inCapsuleBytes } = request;
    const isConnect = command.opcode === FABRICS_OPCODE && command.fabricsType === FabricsType.CONNECT;
    if (!isConnect || this.#isAsked) {
      queue.answer(request, Status.COMMAND_SEQUENCE_ERROR | DO_NOT_RETRY);
      return;
    }
    const status =
      command.sgl.length === CONNECT_DATA_BYTES
        ? deviceDataStatus(command, CONNECT_DATA_BYTES, inCapsuleBytes)
        : Status.SGL_DATA_LENGTH_INVALID;
    if (status !== Status.SUCCESS) {
      queue.answer(request, status | DO_NOT_RETRY);
      return;
    }
    this.#isAsked = true;
    if (command.sgl.type === SglType.IN_CAPSULE) {
      void this.#connect(queue, request, queue.capsuleData(request, CONNECT_DATA_BYTES));
      return;
    }
    request.wantedBytes = CONNECT_DATA_BYTES;
    queue.services.pool.ask(request);
  }

  onBuffer(queue: TargetQueue, request: TargetRequest): void {
    queue.fetch(request, CONNECT_DATA_BYTES);
  }

  onData(queue: TargetQueue, request: TargetRequest): void {
    void this.#connect(queue, request, request.buffer?.bytes as Uint8Array);
  }

  async #connect(queue: TargetQueue, request: TargetRequest, bytes: Uint8Array): Promise<void> {
    const decision = await queue.services.connect(queue, request.command, readConnectData(bytes));
    if (!decision.isAccepted) {
      this.#isAsked = false;
      queue.answer(request, decision.status, decision.result);
      return;
    }
    const { controller } = decision;
    queue.hasFlowControl = decision.hasFlowControl;
    queue.work = queue.qid === 0 ? new AdminWork(controller) : new IoWork(controller.subsystem);
    queue.answer(request, Status.SUCCESS, controller.id);
  }

  useBackend(): void {}
  onBackendDone(): void {}
  onBackendFailed(): void {}
}

export class AdminWork implements QueueWork {
  readonly #controller: Controller;
  /** Pages that wait for a buffer. */
  readonly #pages = new Map<TargetRequest, Uint8Array>();

  constructor(controller: Controller) {
    this.#controller = controller;
  }

  onCommand(queue: TargetQueue, request: TargetRequest): void {
    const answer = answerAdmin(this.#controller, request.command, queue.services.adminFacts(queue));
    if (answer.effect === 'shut-down') queue.services.shutDown(this.#controller);
    if (answer.effect === 'disable') queue.services.disable(this.#controller);
    if (answer.isHeld === true) return;
    if (answer.data === undefined) {
      queue.answer(request, answer.status, answer.resultLow, answer.resultHigh);
      return;
    }
    this.#pages.set(request, answer.data);
    request.wantedBytes = answer.dataBytes ?? answer.data.length;
    queue.services.pool.ask(request);
  }

  onBuffer(queue: TargetQueue, request: TargetRequest): void {
    const data = this.#pages.get(request) as Uint8Array;
    this.#pages.delete(request);
    request.buffer?.bytes.set(data);
    request.buffer?.bytes.fill(0, data.length, request.wantedBytes);
    request.replyBytes = request.wantedBytes;
    queue.answer(request, Status.SUCCESS);
  }

  onData(): void {}
  useBackend(): void {}
  onBackendDone(): void {}
  onBackendFailed(): void {}
}
