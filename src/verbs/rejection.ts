/** What a peer's REJ says (rdma_cm), as it travels with an error, and as plain data. */

export interface Rejection {
  /** Of IBTA table 109. */
  readonly reason: number;
  /** The reason as a word to decide by: `invalid-service-id`. */
  readonly name: string;
  /** Of the peer's program; zeros where its device rejected. */
  readonly privateData: Uint8Array;
}

/** The same in JSON; private data in hexadecimal. */
export interface PlainRejection {
  readonly reason: number;
  readonly name: string;
  readonly privateData: string;
}

export const plainRejection = ({ reason, name, privateData }: Rejection): PlainRejection => ({
  reason,
  name,
  privateData: Array.from(privateData, (byte) => byte.toString(16).padStart(2, '0')).join(''),
});

export const rejectionOf = ({ reason, name, privateData }: PlainRejection): Rejection => ({
  reason,
  name,
  privateData: Uint8Array.from(privateData.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16)),
});
