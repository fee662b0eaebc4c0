/** Messages of stock programs between two machines with Linux 6.1 and rdma-core 44, as they were on the wire. */

export interface CapturedWrite {
  /** Who asked for the connection. */
  readonly byClient: boolean;
  readonly va: number;
  readonly rkey: number;
  readonly imm: number;
  readonly bytes: number;
  /** In hex; of data too long for a table only the length is kept. */
  readonly payload: string;
}

export interface CapturedRsocket {
  /** Private data, in hex. */
  readonly request: string;
  readonly reply: string;
  readonly writes: readonly CapturedWrite[];
}

const write = (
  by: 'client' | 'server',
  va: number,
  rkey: number,
  bytes: number,
  imm: number,
  payload = '',
): CapturedWrite => ({
  byClient: by === 'client',
  va,
  rkey,
  imm,
  bytes,
  payload,
});

/** curl under librspreload fetches 300,000 bytes from a small server; the whole of it. One address that was left-over memory above 2^53 is 0 here. */
export const CURL: CapturedRsocket = {
  request: '010201800000000000007fb1ac023000000003b80000000200007fb1ac0250000000041c00010000',
  reply: '010201800000000000007f775c024000000003d40000000200007f775c026000000004ef00010000',
  writes: [
    write('client', 0x7f775c024010, 0x3d4, 16, 0x80000180, '005003acb17f00001c04000000000100'),
    write('server', 0x7fb1ac023010, 0x3b8, 16, 0x80000180, '0060035c777f0000ef04000000000100'),
    write('client', 0x7f775c026000, 0x4ef, 79, 0x0000004f),
    write('server', 0x7fb1ac025000, 0x41c, 2048, 0x00000800),
    write('server', 0x7fb1ac025800, 0x41c, 4096, 0x00001000),
    write('server', 0x7fb1ac026800, 0x41c, 8192, 0x00002000),
    write('server', 0x7fb1ac028800, 0x41c, 16384, 0x00004000),
    write('server', 0x7fb1ac02c800, 0x41c, 32768, 0x00008000),
    write('server', 0x7fb1ac034800, 0x41c, 2048, 0x00000800),
    write('server', 0x7fb1ac035000, 0x41c, 65536, 0x00010000),
    write('client', 0x7f775c024000, 0x3d4, 16, 0x80000186, '005002acb17f00001c04000000000100'),
    write('server', 0x7fb1ac025000, 0x41c, 65536, 0x00010000),
    write('client', 0x7f775c024010, 0x3d4, 16, 0x80000188, '005003acb17f00001c04000000000100'),
    write('client', 0x7f775c024000, 0x3d4, 16, 0x80000188, '005002acb17f00001c04000000000100'),
    write('server', 0x7fb1ac035000, 0x41c, 65536, 0x00010000),
    write('client', 0x7f775c024010, 0x3d4, 16, 0x80000189, '005003acb17f00001c04000000000100'),
    write('server', 0x7fb1ac025000, 0x41c, 37918, 0x0000941e),
    write('server', 0x7f7761f83d40, 0x3, 0, 0xe0000002),
    write('client', 0, 0xba63d120, 0, 0xe0000000),
  ],
};

/** riostream, up to the first writes into iomap memory. */
export const RIOSTREAM: CapturedRsocket = {
  request: '01020180000000010000556544992000000009770000000200007fc2f10a100000000a8e00080000',
  reply: '010201800000000100007f860c003000000009a50000000200007f86101da00000000ab700080000',
  writes: [
    write('client', 0x7f860c003010, 0x9a5, 16, 0x80000180, '001012f1c27f00008e0a000000000800'),
    write(
      'client',
      0x7f860c003020,
      0x9a5,
      24,
      0xc0000000,
      '00000000000000001008984465550000a30b0000e8030000',
    ),
    write('client', 0x7f86101da000, 0xab7, 16, 0x00000010),
    write('server', 0x556544992010, 0x977, 16, 0x80000180, '00a02510867f0000b70a000000000800'),
    write(
      'server',
      0x556544992020,
      0x977,
      24,
      0xc0000000,
      '00000000000000001048eebda8550000fc0b0000e8030000',
    ),
    write('server', 0x7fc2f10a1000, 0xa8e, 16, 0x00000010),
  ],
};
