/**
 * The 1024 bytes that a Connect command brings, little endian: 0 host ID (16 bytes), 16 controller ID u16, 256 name of the subsystem, 512 name
 * of the host.
 */
import { NQN_FIELD_BYTES, readNqn, writeText } from './text.js';

export const CONNECT_DATA_BYTES = 1024;

/** Where a wrong part lies, as a refusal tells it. */
export const ConnectDataOffset = { CONTROLLER_ID: 16, SUBSYSTEM_NQN: 256, HOST_NQN: 512 } as const;

/** "Any": the target chooses. */
export const ANY_CONTROLLER = 0xffff;

const HOST_ID_BYTES = 16;

export interface ConnectData {
  /** As 32 hexadecimal digits. */
  readonly hostId: string;
  readonly controllerId: number;
  /** `undefined`: what stands there is no name. */
  readonly subsystemNqn: string | undefined;
  readonly hostNqn: string | undefined;
}

export function readConnectData(bytes: Uint8Array): ConnectData {
  const hostId = Array.from(bytes.subarray(0, HOST_ID_BYTES), (byte) =>
    byte.toString(16).padStart(2, '0'),
  ).join('');
  return {
    hostId,
    controllerId: (bytes[16] ?? 0) | ((bytes[17] ?? 0) << 8),
    subsystemNqn: readNqn(bytes, ConnectDataOffset.SUBSYSTEM_NQN),
    hostNqn: readNqn(bytes, ConnectDataOffset.HOST_NQN),
  };
}

export function writeConnectData(
  bytes: Uint8Array,
  {
    hostId,
    controllerId,
    subsystemNqn,
    hostNqn,
  }: {
    hostId: Uint8Array;
    controllerId: number;
    subsystemNqn: string;
    hostNqn: string;
  },
): void {
  bytes.fill(0, 0, CONNECT_DATA_BYTES);
  bytes.set(hostId.subarray(0, HOST_ID_BYTES));
  bytes[16] = controllerId & 0xff;
  bytes[17] = controllerId >>> 8;
  writeText(bytes, ConnectDataOffset.SUBSYSTEM_NQN, NQN_FIELD_BYTES, subsystemNqn);
  writeText(bytes, ConnectDataOffset.HOST_NQN, NQN_FIELD_BYTES, hostNqn);
}
