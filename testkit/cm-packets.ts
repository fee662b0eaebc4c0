/**
 * Whole packets of the communication manager, from the IP header to the ICRC, captured with tcpdump between two virtual
 * machines with Linux 6.1 (rdma_rxe over a virtio link) and the tools of rdma-core 44: rping, ucmatose, udaddy, and small
 * programs for private data, rejects, a cancel and options. 10.88.0.1 and fd88::1 served, 10.88.0.2 and fd88::2 asked.
 *
 * `00*n` stands for n zero bytes.
 */
import type { CmMessage } from '../src/roce/cm/wire/message.js';
import { GMP_HEADER_BYTES } from '../src/roce/mad/gmp.js';
import { MAD_BYTES } from '../src/roce/mad/mad.js';
import { IpUdpView, parseIpUdp } from '../src/roce/wire/ip.js';

export interface CapturedCmPacket {
  readonly name: string;
  readonly type: CmMessage['type'];
  readonly packet: string;
}

/** The bytes of a packet that is written as above. */
export function expandHex(text: string): Uint8Array {
  const words = text.split(/\s+/).map((word) => {
    const [byte = '', count] = word.split('*');
    return count === undefined ? byte : byte.repeat(Number(count));
  });
  return Uint8Array.from(Buffer.from(words.join(''), 'hex'));
}

/** The 256 bytes of the management datagram in a packet. */
export function madOf({ packet, name }: CapturedCmPacket): Uint8Array {
  const bytes = expandHex(packet);
  const view = new IpUdpView();
  if (!parseIpUdp(view, bytes, 0, bytes.length)) throw new Error(`no UDP datagram: ${name}`);
  const at = view.payloadAt + GMP_HEADER_BYTES;
  return bytes.slice(at, at + MAD_BYTES);
}

/** The packet of this name. */
export function capturedPacket(name: string): CapturedCmPacket {
  const found = CAPTURED_CM_PACKETS.find((packet) => packet.name === name);
  if (found === undefined) throw new Error(`no captured packet '${name}'`);
  return found;
}

export const CAPTURED_CM_PACKETS: readonly CapturedCmPacket[] = [
  {
    name: 'REQ rping IPv4',
    type: 'REQ',
    packet: `45000134c24b4000401162bb0a5800020a580001d87212b7012000006400ffff
      0000000180000000800100000000000101070203 00*7 02c691db240010 00*6 24db91c6 00*8
      01061c06505400fffe00000b 00*10 110100000001000000a0494504a7ffff37f0ffffffff 00*10
      ffff0a580002 00*10 ffff0a580001a906f00000400098 00*45 40da77 00*12 0a580002 00*12 0a580001
      00*56 af38edf6`,
  },
  {
    name: 'REP rping IPv4',
    type: 'REP',
    packet: `45000134e27a40004011428c0a5800010a580002d87212b7012000006400ffff
      0000000180000000800100000000000101070203 00*7 02c691db240013 00*6 afcc101224db91c6 00*6
      11000000000054b3a100010178e0505400fffe00000a 00*196 ca94680d`,
  },
  {
    name: 'RTU rping IPv4',
    type: 'RTU',
    packet: `45000134c2514000401162b50a5800020a580001d87212b7012000006400ffff
      0000000180000001800100000000000101070203 00*7 02c691db240014 00*6 24db91c6afcc1012 00*224
      6fe9ff8a`,
  },
  {
    name: 'DREQ rping IPv4',
    type: 'DREQ',
    packet: `45000134c2834000401162830a5800020a580001d87212b7012000006400ffff
      0000000180000002800100000000000101070203 00*7 02c691db240015 00*6 24db91c6afcc1012000011
      00*221 10130c15`,
  },
  {
    name: 'DREP rping IPv4',
    type: 'DREP',
    packet: `45000134e2c54000401142410a5800010a580002d87212b7012000006400ffff
      0000000180000001800100000000000101070203 00*7 02c691db240016 00*6 afcc101224db91c6 00*224
      0ea2ee56`,
  },
  {
    name: 'REQ no listener',
    type: 'REQ',
    packet: `45000134c4194000401160ed0a5800020a580001d87212b7012000006400ffff
      0000000180000003800100000000000101070203 00*7 02c691db250010 00*6 25db91c6 00*8
      01061f3f505400fffe00000b 00*10 120100000001000000a0cca410a7ffff37f0ffffffff 00*10
      ffff0a580002 00*10 ffff0a5800017131400000400098 00*45 40bd8b 00*12 0a580002 00*12 0a580001
      00*56 278746fd`,
  },
  {
    name: 'REJ no listener',
    type: 'REJ',
    packet: `45000134e5bb400040113f4b0a5800010a580002d87212b7012000006400ffff
      0000000180000002800100000000000101070203 00*7 02c691db250012 00*10 25db91c600000008 00*220
      500eec3e`,
  },
  {
    name: 'REQ private data',
    type: 'REQ',
    packet: `45000134d3314000401151d50a5800020a580001d87212b7012000006400ffff
      000000018000000c800100000000000101070203 00*7 02c691db220010 00*6 22db91c6 00*8
      01061d2f505400fffe00000b 00*10 170700000009000000a163d7b5a5ffff34f0ffffffff 00*10
      ffff0a580002 00*10 ffff0a5800011676700000400098 00*45 408ec8 00*12 0a580002 00*12
      0a58000168656c6c6f2d66726f6d2d636c69656e74 00*39 ba6edfcc`,
  },
  {
    name: 'REP private data',
    type: 'REP',
    packet: `45000134ed524000401137b40a5800010a580002d87212b7012000006400ffff
      0000000180000009800100000000000101070203 00*7 02c691db220013 00*6 a5cc101222db91c6 00*6
      1500000000004c7d8b00030578c0505400fffe00000a68656c6c6f2d66726f6d 2d736572766572 00*179
      9d042973`,
  },
  {
    name: 'REJ by application with private data',
    type: 'REJ',
    packet: `45000134efd14000401135350a5800010a580002d87212b7012000006400ffff
      000000018000000b800100000000000101070203 00*7 02c691db230012 00*6 a3cc101223db91c60000001c
      00*72 676f2d61776179 00*141 83c8e1f2`,
  },
  {
    name: 'REQ IPv6',
    type: 'REQ',
    packet: `6000000001201140fd88 00*13 02fd88 00*13
      01d87212b7012000006400ffff00000001800000098001000000000001010702 03 00*7 02c691db210010 00*6
      21db91c6 00*8 01061c06505400fffe00000b 00*10
      160100000001000000a0e31154a7ffff37f0fffffffffd88 00*13 02fd88 00*13 011921400000400098 00*45
      609032fd88 00*13 02fd88 00*13 01 00*56 6ce004f3`,
  },
  {
    name: 'REP IPv6',
    type: 'REP',
    packet: `6000000001201140fd88 00*13 01fd88 00*13
      02d87212b7012000006400ffff00000001800000078001000000000001010702 03 00*7 02c691db210013 00*6
      a7cc101221db91c6 00*6 140000000000dda2c700010178e0505400fffe00000a 00*196 7740975d`,
  },
  {
    name: 'SIDR_REQ',
    type: 'SIDR_REQ',
    packet: `45000134da2a400040114adc0a5800020a580001d87212b7012000006400ffff
      0000000180000013800100000000000101070203 00*7 02c691db2d0017 00*6 2ddb91c6ffff 00*6
      01111d320040b2bb 00*12 0a580002 00*12 0a58000175642d636c69656e74 00*171 d7831e6b`,
  },
  {
    name: 'SIDR_REP success',
    type: 'SIDR_REP',
    packet: `45000134f556400040112fb00a5800010a580002d87212b7012000006400ffff
      000000018000000e800100000000000101070203 00*7 02c691db2d0018 00*6 2ddb91c6 00*6
      17000000000001111d3201234567 00*72 75642d736572766572 00*127 cc521ab1`,
  },
  {
    name: 'SIDR_REP no listener',
    type: 'SIDR_REP',
    packet: `45000134ec824000401138840a5800010a580002d87212b7012000006400ffff
      0000000180000006800100000000000101070203 00*7 02c691db200018 00*6 20db91c601 00*11 01111c06
      00*212 5b3b9c09`,
  },
  {
    name: 'SIDR_REP rejected',
    type: 'SIDR_REP',
    packet: `45000134f7bb400040112d4b0a5800010a580002d87212b7012000006400ffff
      000000018000000f800100000000000101070203 00*7 02c691db2e0018 00*6 2edb91c602 00*11 01111d33
      00*76 75642d6e6f 00*131 28f57098`,
  },
  {
    name: 'SIDR_REQ udaddy',
    type: 'SIDR_REQ',
    packet: `45000134c60a400040115efc0a5800020a580001d87212b7012000006400ffff
      0000000180000007800100000000000101070203 00*7 02c691db270017 00*6 27db91c6ffff 00*6
      01111c0600408d40 00*12 0a580002 00*12 0a580001 00*180 564ecee5`,
  },
  {
    name: 'SIDR_REP udaddy',
    type: 'SIDR_REP',
    packet: `45000134eb854000401139810a5800010a580002d87212b7012000006400ffff
      0000000180000005800100000000000101070203 00*7 02c691db270018 00*6 27db91c6 00*6
      13000000000001111c0601234567 00*208 5d0729ff`,
  },
  {
    name: 'MRA slow accept',
    type: 'MRA',
    packet: `45000134bd484000401167be0a5800010a580002d87212b7012000006400ffff
      0000000180000010800100000000000101070203 00*7 02d9c8107f0011 00*6 943144c27f10c8d900c0
      00*222 55b86eba`,
  },
  {
    name: 'REJ cancel by active side',
    type: 'REJ',
    packet: `4500013404d14000401120360a5800020a580001d87212b7012000006400ffff
      000000018000001b800100000000000101070203 00*7 02d9c8107c0012 00*6
      7c10c8d90000000080100004505400fffe00000b 00*212 244b5d07`,
  },
  {
    name: 'REQ tos 0x68 ack timeout 14',
    type: 'REQ',
    packet: `45680134319c40004011f3020a5800020a580001d87212b7012000006400ffff
      0000000180000027800100000000000101070203 00*7 02d9c810710010 00*6 7110c8d9 00*8
      01061d58505400fffe00000b 00*10 1c0400000004000000a0a77482a7ffff37f0ffffffff 00*10
      ffff0a580002 00*10 ffff0a580001ab93b00068400080 00*45 40dbbd 00*12 0a580002 00*12 0a580001
      00*56 723bf303`,
  },
  {
    name: 'DREQ from server',
    type: 'DREQ',
    packet: `45000134e737400040113dcf0a5800010a580002d87212b7012000006400ffff
      0000000180000004800100000000000101070203 00*7 021210ccaa0015 00*6 aacc101226db91c6000013
      00*221 408d4ce1`,
  },
  {
    name: 'DREP from client',
    type: 'DREP',
    packet: `45000134c584400040115f820a5800020a580001d87212b7012000006400ffff
      0000000180000006800100000000000101070203 00*7 021210ccaa0016 00*6 26db91c6aacc1012 00*224
      2a060634`,
  },
];
