/**
 * Which packets do not come through while TCP works, as far as this end can tell. `all`: none arrives here, whether or not ours
 * arrive there. `large`: small ones come through, full ones do not.
 */
export type LostPackets = 'all' | 'all-to-peer' | 'large' | 'large-to-peer' | 'large-from-peer';
