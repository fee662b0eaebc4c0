/**
 * Which packets do not come through while TCP works, as far as this end can tell. `all`: none arrives here, and the peer has not said that
 * any arrives there. `large`: small ones come through, full ones do not.
 */
export type LostPackets =
  | 'all'
  | 'all-to-peer'
  | 'all-from-peer'
  | 'large'
  | 'large-to-peer'
  | 'large-from-peer';
