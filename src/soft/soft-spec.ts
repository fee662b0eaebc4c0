/**
 * Names of soft devices: `soft`, `soft:ADDRESS` and `soft:ADDRESS?port=…`. Without an address the device binds
 * 127.0.0.1. Without a port it takes the standard one, or any free one where another device of this host has it.
 */
import { parseGid } from '../roce/wire/address.js';
import { usageError } from '../verbs/errors.js';

export interface SoftDeviceSpec {
  /** IPv4 or IPv6 address of this machine. */
  readonly address: string;
  /** UDP port; 0 = any free one, `undefined` = 4791 or else any free one. */
  readonly port: number | undefined;
}

export const isSoftName = (name: string): boolean =>
  name === 'soft' || name.startsWith('soft:') || name.startsWith('soft?');

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT, saying what is wrong with the name. */
export function parseSoftName(name: string): SoftDeviceSpec {
  const [place = '', query = ''] = name.split('?', 2);
  const address = place === 'soft' ? '127.0.0.1' : place.slice('soft:'.length).replace(/^\[(.*)\]$/, '$1');
  if (parseGid(address) === undefined) {
    throw usageError(`'${address}' is not an IP address; write soft:192.0.2.7 or soft:2001:db8::7`);
  }
  let port: number | undefined;
  for (const [key, value] of new URLSearchParams(query)) {
    if (key !== 'port') throw usageError(`unknown option '${key}' in '${name}'; known: port`);
    port = Number(value);
    if (value === '' || !Number.isInteger(port) || port < 0 || port > 65535) {
      throw usageError(`port must be 0 to 65535 in '${name}'`);
    }
  }
  return { address, port };
}
