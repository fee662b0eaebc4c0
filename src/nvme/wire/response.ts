/**
 * A response, 16 bytes, little endian: 0 result u64, 8 head of the submission queue u16, 10 queue ID u16, 12 command ID u16,
 * 14 status u16, whose lowest bit is always 0.
 */

export const RESPONSE_BYTES = 16;

/** In place of the head, where the host asked for no flow control. */
export const NO_FLOW_CONTROL = 0xffff;

export interface Response {
  readonly resultLow: number;
  readonly resultHigh: number;
  readonly sqHead: number;
  readonly sqId: number;
  readonly cid: number;
  /** `Status`, perhaps with DO_NOT_RETRY. */
  readonly status: number;
}

export function writeResponse(
  view: DataView,
  { resultLow, resultHigh, sqHead, sqId, cid, status }: Response,
): void {
  view.setUint32(0, resultLow, true);
  view.setUint32(4, resultHigh, true);
  view.setUint16(8, sqHead, true);
  view.setUint16(10, sqId, true);
  view.setUint16(12, cid, true);
  view.setUint16(14, status << 1, true);
}

export function readResponse(view: DataView, at: number): Response {
  return {
    resultLow: view.getUint32(at, true),
    resultHigh: view.getUint32(at + 4, true),
    sqHead: view.getUint16(at + 8, true),
    sqId: view.getUint16(at + 10, true),
    cid: view.getUint16(at + 12, true),
    status: view.getUint16(at + 14, true) >>> 1,
  };
}
