/** Where packets go: address vectors of queue pairs and address handles of UD (`ibv_ah_attr`). RoCE always has a GRH. */

export interface AddressVector {
  /** The peer's GID as an IPv6 text address; `::ffff:192.0.2.7` for IPv4. */
  readonly dgid: string;
  /** Index into this port's GID table: the address to send from. Default: the first of the peer's IP family. */
  readonly sgidIndex?: number;
  /** Default 64. */
  readonly hopLimit?: number;
  /** DSCP and ECN bits. Default 0. */
  readonly trafficClass?: number;
  /** 20 bits, default 0. Decides the UDP source port on devices that have one port per flow. */
  readonly flowLabel?: number;
  /**
   * UDP port of the peer, default 4791. Only the soft device knows other ports, because several soft devices can
   * share one host; every RNIC uses the standard port.
   */
  readonly udpPort?: number;
}

/** A UD destination (`ibv_create_ah`). */
export interface AddressHandle extends AsyncDisposable {
  readonly av: AddressVector;
  close(): Promise<void>;
}
