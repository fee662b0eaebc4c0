/**
 * Names of soft devices: `soft`, `soft:ADDRESS` and either with options, as in
 * `soft:127.0.0.1?port=0&io=dgram&capture=run.pcapng&loss=0.01&seed=7`. Without an address the device binds 127.0.0.1. Without
 * a port it takes the standard one, or any free one where another device of this host has it.
 */
import { randomInt } from 'node:crypto';
import { parseGid } from '../verbs/address.js';
import { usageError } from '../verbs/errors.js';
import type { Faults } from './faulty-port.js';

export interface SoftDeviceSpec {
  /** IPv4 or IPv6 address of this machine. */
  readonly address: string;
  /** UDP port; 0 = any free one, `undefined` = 4791 or else any free one. */
  readonly port: number | undefined;
  /**
   * What carries the packets. `shm`: UDP by the native addon, and memory towards other such devices of this user and host.
   * `native`: UDP by the addon alone. `undefined` = `shm`, `native` where there is a capture, `dgram` without the addon.
   */
  readonly io: PortKind | undefined;
  /** File to capture to. */
  readonly capture: string | undefined;
  /** Faults to make; `undefined` = none. */
  readonly faults: Faults | undefined;
}

const PORT_KINDS = ['dgram', 'native', 'shm'] as const;
export type PortKind = (typeof PORT_KINDS)[number];

const PROBABILITIES = ['loss', 'duplicate', 'reorder', 'corrupt'] as const;
const OPTIONS = ['port', 'io', 'capture', ...PROBABILITIES, 'delay', 'seed'];
const MAX_DELAY_MILLIS = 10_000;

export const isSoftName = (name: string): boolean => /^soft($|:|\?)/.test(name);

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT, saying what is wrong with the name. */
export function parseSoftName(name: string): SoftDeviceSpec {
  const mark = name.indexOf('?');
  const place = mark < 0 ? name : name.slice(0, mark);
  const options = new URLSearchParams(mark < 0 ? '' : name.slice(mark + 1));
  const address = place === 'soft' ? '127.0.0.1' : place.slice('soft:'.length).replace(/^\[(.*)\]$/, '$1');
  if (parseGid(address) === undefined) {
    throw usageError(`'${address}' is not an IP address; write soft:192.0.2.7 or soft:2001:db8::7`);
  }
  for (const option of options.keys()) {
    if (!OPTIONS.includes(option)) {
      throw usageError(`unknown option '${option}' in '${name}'; there are ${OPTIONS.join(', ')}`);
    }
  }
  return {
    address,
    port: integerOption(options, 'port', 65535),
    io: parseIo(options),
    capture: options.get('capture') ?? undefined,
    faults: parseFaults(options),
  };
}

function parseIo(options: URLSearchParams): PortKind | undefined {
  const text = options.get('io');
  if (text === null) return undefined;
  const kind = PORT_KINDS.find((name) => name === text);
  if (kind === undefined) throw usageError(`the option io must be ${PORT_KINDS.join(' or ')}, not '${text}'`);
  return kind;
}

function parseFaults(options: URLSearchParams): Faults | undefined {
  const delayMillis = integerOption(options, 'delay', MAX_DELAY_MILLIS);
  const given = PROBABILITIES.some((option) => options.has(option)) || delayMillis !== undefined;
  if (!given) return undefined;
  return {
    loss: probabilityOption(options, 'loss'),
    duplicate: probabilityOption(options, 'duplicate'),
    reorder: probabilityOption(options, 'reorder'),
    corrupt: probabilityOption(options, 'corrupt'),
    delayMillis: delayMillis ?? 0,
    seed: integerOption(options, 'seed', 0xffffffff) ?? randomInt(2 ** 32),
  };
}

function integerOption(options: URLSearchParams, name: string, max: number): number | undefined {
  const text = options.get(name);
  if (text === null) return undefined;
  const value = Number(text);
  if (text === '' || !Number.isInteger(value) || value < 0 || value > max) {
    throw usageError(`the option ${name} must be an integer from 0 to ${max}, not '${text}'`);
  }
  return value;
}

function probabilityOption(options: URLSearchParams, name: string): number {
  const text = options.get(name);
  if (text === null) return 0;
  const value = Number(text);
  if (text === '' || !(value >= 0 && value <= 1)) {
    throw usageError(`the option ${name} must be a probability from 0 to 1, not '${text}'`);
  }
  return value;
}
