/** `--peer-address`: which address the packets of the peer may come from. */
import { Option } from 'commander';
import type { ConnectionPathOptions } from '../connection/path-options.js';

export interface PeerAddressFlag {
  readonly peerAddress: NonNullable<ConnectionPathOptions['peerAddress']>;
}

export const peerAddressOption = (): Option =>
  new Option(
    '--peer-address <rule>',
    "session: the peer's RDMA address must be that of its TLS session; any: it may be another, as with RNICs beside a management network",
  )
    .choices(['session', 'any'])
    .default('session');
