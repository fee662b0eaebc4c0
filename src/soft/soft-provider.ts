/** The embedded device among the kinds of device: `soft`, `soft:ADDRESS`, and either with options. */
import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { DeviceProvider } from '../verbs/device-provider.js';
import { SoftDevice } from './soft-device.js';
import { isSoftName, parseSoftName } from './soft-spec.js';

export const softProvider: DeviceProvider = {
  kind: 'soft',
  description: 'embedded RoCEv2 device in this process, over UDP',
  recognizes: isSoftName,
  list: async () => ['soft'],
  open: (name, { near }) => SoftDevice.open(parseSoftName(placedName(name, near))),
};

/** A name without an address means: at the address that the peer reaches. */
function placedName(name: string, near: string | undefined): string {
  const isOpen = name === 'soft' || name.startsWith('soft?');
  if (near === undefined || !isOpen) return name;
  return `soft:${addressAt(near)}${name.slice('soft'.length)}`;
}

function addressAt(near: string): string {
  if (near === '0.0.0.0' || near === '::') return firstExternalAddress(near === '::') ?? '127.0.0.1';
  const mapped = near.replace(/^::ffff:/i, '');
  if (isIP(mapped) === 4) return mapped;
  return isIP(near) === 0 ? '127.0.0.1' : near;
}

function firstExternalAddress(preferIpv6: boolean): string | undefined {
  const all = Object.values(networkInterfaces()).flatMap((entries) => entries ?? []);
  const external = all.filter(({ internal, address }) => !internal && !address.startsWith('fe80'));
  const wanted = external.find(({ family }) => (family === 'IPv6') === preferIpv6);
  return (wanted ?? external[0])?.address;
}
