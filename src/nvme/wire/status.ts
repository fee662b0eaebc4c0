/**
 * What a command came to. A status is a number as the specification writes it: type in bits 10:8, code in bits 7:0; in a
 * response it stands one bit further left, with "do not retry" above it.
 */

/** Set in addition, where the same command would fail again. */
export const DO_NOT_RETRY = 0x4000;

export const Status = {
  SUCCESS: 0x000,
  INVALID_OPCODE: 0x001,
  INVALID_FIELD: 0x002,
  DATA_TRANSFER_ERROR: 0x004,
  INTERNAL_ERROR: 0x006,
  INVALID_NAMESPACE: 0x00b,
  COMMAND_SEQUENCE_ERROR: 0x00c,
  SGL_DATA_LENGTH_INVALID: 0x00f,
  SGL_TYPE_INVALID: 0x011,
  SGL_OFFSET_INVALID: 0x016,
  KEEP_ALIVE_EXPIRED: 0x019,
  LBA_OUT_OF_RANGE: 0x080,
  NAMESPACE_NOT_READY: 0x082,
  ASYNC_EVENT_LIMIT_EXCEEDED: 0x105,
  INVALID_LOG_PAGE: 0x109,
  CONNECT_FORMAT: 0x180,
  CONNECT_CONTROLLER_BUSY: 0x181,
  CONNECT_INVALID_PARAMETERS: 0x182,
  CONNECT_INVALID_HOST: 0x184,
  WRITE_FAULT: 0x280,
  UNRECOVERED_READ_ERROR: 0x281,
  COMPARE_FAILURE: 0x285,
} as const;
export type Status = (typeof Status)[keyof typeof Status];

const NAMES = new Map<number, string>(Object.entries(Status).map(([name, value]) => [value, name]));

/** e.g. `LBA_OUT_OF_RANGE`; bits above the code do not matter. */
export function nvmeStatusName(status: number): string {
  const code = status & 0x7ff;
  return NAMES.get(code) ?? `STATUS_0x${code.toString(16)}`;
}
