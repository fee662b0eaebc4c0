/** `queuepair/roce`: the pure engine, without I/O, clocks or randomness of its own. */
export { Datagram } from './roce/datagram.js';
export { DropReason, dropReasonName } from './roce/drop-reason.js';
export { Nic, type NicEvent, type NicOptions, ROCE_PORT } from './roce/nic.js';
export { packetLength, writePacket } from './roce/packet-writer.js';
export { TransmitBatch } from './roce/transmit-batch.js';
export { Icrc } from './roce/wire/icrc.js';
export { Opcode, OpcodeFlag, opcodeFlags, opcodeName } from './roce/wire/opcodes.js';
export { PacketView, parsePacket } from './roce/wire/packet.js';
export { formatGid, formatIp, isIpv4, parseGid, UdpAddress } from './verbs/address.js';
