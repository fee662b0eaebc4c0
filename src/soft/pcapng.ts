/**
 * Writes packet captures in the pcapng format, from the IP header on (LINKTYPE_RAW), as Wireshark opens them. Blocks
 * are little-endian; times are µs since 1970.
 */

const SECTION_HEADER = 0x0a0d0d0a;
const INTERFACE_DESCRIPTION = 1;
const ENHANCED_PACKET = 6;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
const LINKTYPE_RAW = 101;
const OPTION_COMMENT = 1;
const OPTION_USER_APPLICATION = 4;
const OPTION_INTERFACE_NAME = 2;

/** The blocks that begin a file with one interface. */
export function captureHeader(interfaceName: string): Buffer {
  const section = Buffer.alloc(16);
  section.writeUInt32LE(BYTE_ORDER_MAGIC, 0);
  section.writeUInt16LE(1, 4);
  section.writeUInt16LE(0, 6);
  section.writeBigInt64LE(-1n, 8);
  const description = Buffer.alloc(8);
  description.writeUInt16LE(LINKTYPE_RAW, 0);
  return Buffer.concat([
    block(SECTION_HEADER, section, textOption(OPTION_USER_APPLICATION, 'queuepair')),
    block(INTERFACE_DESCRIPTION, description, textOption(OPTION_INTERFACE_NAME, interfaceName)),
  ]);
}

/** One packet, whole, with a comment if there is one. */
export function packetBlock(packet: Uint8Array, timeMicros: number, comment?: string): Buffer {
  const fixed = Buffer.alloc(20 + packet.length + padding(packet.length));
  fixed.writeUInt32LE(0, 0);
  fixed.writeUInt32LE(Math.floor(timeMicros / 2 ** 32), 4);
  fixed.writeUInt32LE(Math.floor(timeMicros) % 2 ** 32, 8);
  fixed.writeUInt32LE(packet.length, 12);
  fixed.writeUInt32LE(packet.length, 16);
  fixed.set(packet, 20);
  return block(
    ENHANCED_PACKET,
    fixed,
    comment === undefined ? undefined : textOption(OPTION_COMMENT, comment),
  );
}

const padding = (length: number): number => -length & 3;

function textOption(code: number, text: string): Buffer {
  const value = Buffer.from(text, 'utf8').subarray(0, 0xffff);
  const option = Buffer.alloc(4 + value.length + padding(value.length));
  option.writeUInt16LE(code, 0);
  option.writeUInt16LE(value.length, 2);
  option.set(value, 4);
  return option;
}

function block(type: number, body: Buffer, option: Buffer | undefined): Buffer {
  const options = option === undefined ? Buffer.alloc(0) : Buffer.concat([option, Buffer.alloc(4)]);
  const length = 12 + body.length + options.length;
  const head = Buffer.alloc(8);
  head.writeUInt32LE(type, 0);
  head.writeUInt32LE(length, 4);
  const tail = Buffer.alloc(4);
  tail.writeUInt32LE(length, 0);
  return Buffer.concat([head, body, options, tail]);
}
