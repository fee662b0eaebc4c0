/**
 * Whole packets from the IP header on, with the fields that they must be made of. The first was captured from a
 * ConnectX-4 Lx, the second is a vector published with scapy's RoCE layer; the others were computed independently of
 * this code. All spaces are for the eye.
 */
export interface WorkedPacket {
  readonly name: string;
  readonly hex: string;
  readonly source: readonly [ip: string, port: number];
  readonly destination: readonly [ip: string, port: number];
  readonly identification: number;
  readonly trafficClass: number;
  readonly udpChecksum: number;
  readonly opcode: number;
  readonly migReq: number;
  readonly becn: number;
  readonly destQpn: number;
  readonly ackReq: number;
  readonly psn: number;
  /** Extension headers and payload, without pad. */
  readonly extension: string;
  readonly payload: string;
  readonly icrc: number;
}

const PLAIN = { identification: 0, trafficClass: 0, udpChecksum: 0, migReq: 0, becn: 0, ackReq: 0 };

export const CONNECTX_4_CNP: WorkedPacket = {
  ...PLAIN,
  name: 'CNP captured from a ConnectX-4 Lx',
  hex: `45c2003c718c4000401191610a0011010a001201 000012b700280000 8100ffff4000011800000000
    00000000000000000000000000000000 82fd002a`,
  source: ['10.0.17.1', 0],
  destination: ['10.0.18.1', 4791],
  identification: 0x718c,
  trafficClass: 0xc2,
  opcode: 0x81,
  becn: 1,
  destQpn: 0x118,
  psn: 0,
  extension: '',
  payload: '00'.repeat(16),
  icrc: 0x2a00fd82,
};

export const WORKED_PACKETS: readonly WorkedPacket[] = [
  CONNECTX_4_CNP,
  {
    ...PLAIN,
    name: 'published UC SEND_ONLY with pad 2, MigReq and a UDP checksum',
    hex: `45010040047840004011b4d5c0a80007c0a80007 c00012b7002caca2 2460ffff000000d300cf1710
      4630818be28935d90e9a95505401be885e500000 78f353f3`,
    source: ['192.168.0.7', 0xc000],
    destination: ['192.168.0.7', 4791],
    identification: 1144,
    trafficClass: 1,
    udpChecksum: 0xaca2,
    opcode: 0x24,
    migReq: 1,
    destQpn: 0xd3,
    psn: 0xcf1710,
    extension: '',
    payload: '4630818be28935d90e9a95505401be885e50',
    icrc: 0xf353f378,
  },
  {
    ...PLAIN,
    name: 'RC SEND_ONLY "hello" with pad 3',
    hex: `4500003400004000401126b70a0000010a000002 c00112b700200000 0430ffff0000001180123456
      68656c6c6f000000 f339508e`,
    source: ['10.0.0.1', 0xc001],
    destination: ['10.0.0.2', 4791],
    opcode: 0x04,
    destQpn: 0x11,
    ackReq: 1,
    psn: 0x123456,
    extension: '',
    payload: '68656c6c6f',
    icrc: 0x8e5039f3,
  },
  {
    ...PLAIN,
    name: 'RC ACK over IPv6',
    hex: `60000000001c114020010db800000000000000000000000220010db8000000000000000000000001
      c00212b7001c0000 1100ffff0000001200123456 1f000001 49bc9e97`,
    source: ['2001:db8::2', 0xc002],
    destination: ['2001:db8::1', 4791],
    opcode: 0x11,
    destQpn: 0x12,
    psn: 0x123456,
    extension: '1f000001',
    payload: '',
    icrc: 0x979ebc49,
  },
  {
    ...PLAIN,
    name: 'RC WRITE_ONLY of 4 bytes',
    hex: `4500004000004000401126ab0a0000010a000002 c00112b7002c0000 0a00ffff0000001180000000
      00007f00000010000000123400000004 deadbeef 403a0935`,
    source: ['10.0.0.1', 0xc001],
    destination: ['10.0.0.2', 4791],
    opcode: 0x0a,
    destQpn: 0x11,
    ackReq: 1,
    psn: 0,
    extension: '00007f00000010000000123400000004',
    payload: 'deadbeef',
    icrc: 0x35093a40,
  },
  {
    ...PLAIN,
    name: 'RC ACK over IPv4',
    hex: `4500003000004000401126bb0a0000020a000001 c13212b7001c0000 1100ffff0000001200123456
      1f000001 4023eb2e`,
    source: ['10.0.0.2', 0xc132],
    destination: ['10.0.0.1', 4791],
    opcode: 0x11,
    destQpn: 0x12,
    psn: 0x123456,
    extension: '1f000001',
    payload: '',
    icrc: 0x2eeb2340,
  },
];

export const fromHex = (hex: string): Uint8Array =>
  Uint8Array.from(Buffer.from(hex.replaceAll(/\s/g, ''), 'hex'));
export const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
