/** `queuepair/roce`: the pure engine, without I/O, clocks or randomness of its own. Vocabulary is in `queuepair/verbs`. */
export { Cq, CqArm } from './roce/completion/cq.js';
export { Datagram } from './roce/datagram.js';
export { DropReason, dropReasonName } from './roce/drop-reason.js';
export { Flow } from './roce/flow.js';
export { Region, RemoteGrant } from './roce/memory/region.js';
export { Nic, type NicEvent, type NicOptions, ROCE_PORT } from './roce/nic.js';
export { packetLength, writePacket } from './roce/packet-writer.js';
export { type BindRequest, Window } from './roce/qp/bind-request.js';
export type { EngineReceive, EngineSend, EngineSge, Handles } from './roce/qp/posting.js';
export { Qp, type QpInit } from './roce/qp/qp.js';
export { Srq } from './roce/qp/srq.js';
export type { RandomU32 } from './roce/random.js';
export { TransmitBatch } from './roce/transmit-batch.js';
export { Icrc } from './roce/wire/icrc.js';
export { Opcode, OpcodeFlag, opcodeFlags, opcodeName } from './roce/wire/opcodes.js';
export { PacketView, parsePacket } from './roce/wire/packet.js';
export { formatGid, formatIp, isIpv4, parseGid, UdpAddress } from './verbs/address.js';
