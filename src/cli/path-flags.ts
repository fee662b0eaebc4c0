/** Flags of commands about the way that packets take. */
import { Option } from 'commander';
import type { ConnectionPathOptions } from '../connection/terms/path-options.js';
import { PATH_MTUS, type PathMtu } from '../verbs/mtu.js';

export interface PathFlags {
  readonly peerAddress: NonNullable<ConnectionPathOptions['peerAddress']>;
  /** One of the choices, as text. */
  readonly pathMtu?: string;
}

export const peerAddressOption = (): Option =>
  new Option(
    '--peer-address <rule>',
    "session: the peer's RDMA address must be that of its TLS session; any: it may be another, as with RNICs beside a management network",
  )
    .choices(['session', 'any'])
    .default('session');

export const pathMtuOption = (): Option =>
  new Option(
    '--path-mtu <bytes>',
    'most that a packet carries (default: what the network interface takes)',
  ).choices(PATH_MTUS.map(String));

export const pathOptionsOf = ({ peerAddress, pathMtu }: PathFlags): ConnectionPathOptions =>
  pathMtu === undefined ? { peerAddress } : { peerAddress, mtu: Number(pathMtu) as PathMtu };
