/** The CRC of an ICRC, by zlib where that is faster than the portable one: calling it costs more than a short packet. */
import zlib from 'node:zlib';
import { type Crc32, crc32 } from '../roce/wire/crc32.js';

const WORTHWHILE_BYTES = 448;

export const fastCrc32: Crc32 = (bytes, at, end, seed) =>
  end - at < WORTHWHILE_BYTES ? crc32(bytes, at, end, seed) : zlib.crc32(bytes.subarray(at, end), seed);
