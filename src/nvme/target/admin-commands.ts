/**
 * Answers commands of the admin queue. Pure: what takes time or touches a backend is said as an effect, for the driver.
 *
 * Invariant: a page is never larger than what the host's descriptor has room for, nor than the largest transfer.
 */
import type { Command } from '../wire/command.js';
import {
  IDENTIFY_BYTES,
  writeIdentifyController,
  writeIdentifyNamespace,
  writeNamespaceDescriptors,
  writeNamespaceList,
} from '../wire/identify.js';
import {
  type DiscoveryEntry,
  discoveryPage,
  ERROR_LOG_BYTES,
  effectsPage,
  firmwarePage,
  type HealthCounts,
  healthPage,
} from '../wire/log-pages.js';
import { AdminOpcode, FABRICS_OPCODE, FabricsType, Feature, IdentifyPage, LogPage } from '../wire/opcodes.js';
import { DO_NOT_RETRY, Status } from '../wire/status.js';
import type { Controller, PropertyEffect } from './controller.js';
import { hostDataStatus } from './data-place.js';
import { LIMITS } from './limits.js';

/** What the driver does with a command. */
export interface AdminAnswer {
  readonly status: number;
  readonly resultLow?: number;
  readonly resultHigh?: number;
  /** To be written into the host's memory before the response. */
  readonly data?: Uint8Array;
  /** How many, where the host asked for more than there is: the rest is zeros. Default: those of `data`. */
  readonly dataBytes?: number;
  /** To be done before the response. */
  readonly effect?: PropertyEffect;
  /** No response until there is an event, and there is none. */
  readonly isHeld?: true;
}

/** What pages tell of beside the controller. */
export interface AdminFacts {
  readonly model: string;
  readonly firmware: string;
  health(): HealthCounts;
  /** For this host, at the address that it reached the target by. */
  discovery(): { readonly generation: number; readonly entries: readonly DiscoveryEntry[] };
}

const SUCCESS: AdminAnswer = { status: Status.SUCCESS };
const refused = (status: number): AdminAnswer => ({ status: status | DO_NOT_RETRY });

export function answerAdmin(controller: Controller, command: Command, facts: AdminFacts): AdminAnswer {
  if (command.opcode === FABRICS_OPCODE) return answerFabrics(controller, command);
  if (command.opcode === AdminOpcode.KEEP_ALIVE) return SUCCESS;
  if (!controller.isReady) return refused(Status.COMMAND_SEQUENCE_ERROR);
  switch (command.opcode) {
    case AdminOpcode.IDENTIFY:
      return identify(controller, command, facts);
    case AdminOpcode.GET_LOG_PAGE:
      return getLogPage(controller, command, facts);
    case AdminOpcode.SET_FEATURES:
      return setFeatures(controller, command);
    case AdminOpcode.GET_FEATURES:
      return getFeatures(controller, command);
    case AdminOpcode.ASYNC_EVENT_REQUEST:
      return controller.holdEvent()
        ? { status: Status.SUCCESS, isHeld: true }
        : refused(Status.ASYNC_EVENT_LIMIT_EXCEEDED);
    case AdminOpcode.ABORT:
      // "Not aborted": a command that is under way comes to its end.
      return { status: Status.SUCCESS, resultLow: 1 };
    default:
      return refused(Status.INVALID_OPCODE);
  }
}

const PROPERTY_WIDE = 1;

function answerFabrics(controller: Controller, { fabricsType, cdw10, cdw11, cdw12 }: Command): AdminAnswer {
  const isWide = (cdw10 & 7) === PROPERTY_WIDE;
  switch (fabricsType) {
    case FabricsType.PROPERTY_GET: {
      const value = controller.getProperty(cdw11, isWide);
      return typeof value === 'number'
        ? { status: value }
        : { status: Status.SUCCESS, resultLow: value.low, resultHigh: value.high };
    }
    case FabricsType.PROPERTY_SET: {
      const effect = controller.setProperty(cdw11, isWide, cdw12);
      return typeof effect === 'number' ? { status: effect } : { status: Status.SUCCESS, effect };
    }
    default:
      return refused(
        fabricsType === FabricsType.CONNECT ? Status.COMMAND_SEQUENCE_ERROR : Status.INVALID_OPCODE,
      );
  }
}

function identify(controller: Controller, command: Command, facts: AdminFacts): AdminAnswer {
  const place = hostDataStatus(command, IDENTIFY_BYTES);
  if (place !== Status.SUCCESS) return refused(place);
  const page = new Uint8Array(IDENTIFY_BYTES);
  const { subsystem } = controller;
  const { nsid } = command;
  const namespace = subsystem.namespaces[nsid - 1];
  switch (command.cdw10 & 0xff) {
    case IdentifyPage.CONTROLLER:
      writeController(page, controller, facts);
      break;
    case IdentifyPage.ACTIVE_NAMESPACES:
      if (subsystem.isDiscovery || nsid >= 0xffff_fffe) return refused(Status.INVALID_NAMESPACE);
      writeNamespaceList(page, subsystem.namespaces.length, nsid);
      break;
    case IdentifyPage.NAMESPACE:
      if (subsystem.isDiscovery) return refused(Status.INVALID_FIELD);
      if (nsid === 0 || nsid === 0xffff_ffff) return refused(Status.INVALID_NAMESPACE);
      // One that is not there is all zeros.
      if (namespace !== undefined) writeIdentifyNamespace(page, { ...namespace, isThin: false });
      break;
    case IdentifyPage.NAMESPACE_DESCRIPTORS:
      if (namespace === undefined) return refused(Status.INVALID_NAMESPACE);
      writeNamespaceDescriptors(page, namespace.uuid);
      break;
    default:
      return refused(Status.INVALID_FIELD);
  }
  return { status: Status.SUCCESS, data: page };
}

function writeController(
  page: Uint8Array,
  { subsystem, id, queueEntries }: Controller,
  facts: AdminFacts,
): void {
  writeIdentifyController(page, {
    serialNumber: subsystem.serialNumber,
    model: facts.model,
    firmware: facts.firmware,
    controllerId: id,
    subsystemNqn: subsystem.nqn,
    isDiscovery: subsystem.isDiscovery,
    maxTransferShift: LIMITS.maxTransferShift,
    asyncEventLimit: LIMITS.asyncEvents - 1,
    keepAliveUnits: LIMITS.keepAliveUnitMillis / 100,
    maxCommands: queueEntries,
    namespaces: subsystem.namespaces.length,
    optionalCommands: subsystem.optionalCommands,
    inCapsuleBytes: LIMITS.inCapsuleBytes,
  });
}

function getLogPage({ subsystem }: Controller, command: Command, facts: AdminFacts): AdminAnswer {
  const { cdw10, cdw11, cdw12, cdw13 } = command;
  const dwords = (cdw10 >>> 16) + (cdw11 & 0xffff) * 0x1_0000 + 1;
  const length = dwords * 4;
  if (length > LIMITS.maxTransferBytes) return refused(Status.INVALID_FIELD);
  const place = hostDataStatus(command, length);
  if (place !== Status.SUCCESS) return refused(place);
  const page = logPage(cdw10 & 0xff, subsystem.isDiscovery, subsystem.ioOpcodes, facts);
  if (page === undefined) return refused(Status.INVALID_LOG_PAGE);
  const offset = cdw13 * 0x1_0000_0000 + cdw12;
  if (offset > page.length || offset % 4 !== 0) return refused(Status.INVALID_FIELD);
  return { status: Status.SUCCESS, data: page.subarray(offset, offset + length), dataBytes: length };
}

function logPage(
  id: number,
  isDiscovery: boolean,
  ioOpcodes: readonly number[],
  facts: AdminFacts,
): Uint8Array | undefined {
  if (id === LogPage.DISCOVERY && isDiscovery) {
    const { generation, entries } = facts.discovery();
    return discoveryPage(generation, entries);
  }
  if (id === LogPage.ERRORS) return new Uint8Array(ERROR_LOG_BYTES);
  if (isDiscovery) return undefined;
  switch (id) {
    case LogPage.HEALTH:
      return healthPage(facts.health());
    case LogPage.FIRMWARE:
      return firmwarePage(facts.firmware);
    case LogPage.EFFECTS:
      return effectsPage(ioOpcodes);
    default:
      return undefined;
  }
}

function setFeatures(controller: Controller, { cdw10, cdw11 }: Command): AdminAnswer {
  switch (cdw10 & 0xff) {
    case Feature.NUMBER_OF_QUEUES: {
      if ((cdw11 & 0xffff) === 0xffff || cdw11 >>> 16 === 0xffff) return refused(Status.INVALID_FIELD);
      return { status: Status.SUCCESS, resultLow: queuesResult(controller) };
    }
    case Feature.ASYNC_EVENTS:
      controller.asyncEventMask = cdw11;
      return { status: Status.SUCCESS, resultLow: cdw11 };
    case Feature.KEEP_ALIVE_TIMER:
      controller.keepAliveMillis = cdw11;
      return { status: Status.SUCCESS, resultLow: controller.keepAliveMillis };
    default:
      return refused(Status.INVALID_FIELD);
  }
}

/** Both numbers are counted from 0. */
const queuesResult = ({ ioQueues }: Controller): number => (ioQueues - 1) * 0x1_0001;

function getFeatures(controller: Controller, { cdw10 }: Command): AdminAnswer {
  switch (cdw10 & 0xff) {
    case Feature.VOLATILE_WRITE_CACHE:
      return { status: Status.SUCCESS, resultLow: 1 };
    case Feature.NUMBER_OF_QUEUES:
      return { status: Status.SUCCESS, resultLow: queuesResult(controller) };
    case Feature.ASYNC_EVENTS:
      return { status: Status.SUCCESS, resultLow: controller.asyncEventMask };
    case Feature.KEEP_ALIVE_TIMER:
      return { status: Status.SUCCESS, resultLow: controller.keepAliveMillis };
    default:
      return refused(Status.INVALID_FIELD);
  }
}
