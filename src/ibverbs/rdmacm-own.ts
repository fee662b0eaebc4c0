/** The addresses of a device, as programs write them. */
import { formatIp, parseGid, withoutZone } from '../verbs/address.js';
import type { Device } from '../verbs/device.js';

export class OwnAddresses {
  readonly #texts: readonly string[];

  /** Empty where the device does not tell. */
  static async of(device: Device): Promise<OwnAddresses> {
    const gids = await device.queryGids().catch(() => []);
    const texts = gids.flatMap(({ gid, type }) => (type === 'RoCE v2' ? [ipText(gid)] : []));
    return new OwnAddresses([...new Set(texts)]);
  }

  private constructor(texts: readonly string[]) {
    this.#texts = texts;
  }

  has(host: string): boolean {
    return this.#texts.includes(ipText(host));
  }

  /** For people. */
  toString(): string {
    return this.#texts.join(', ') || 'none';
  }
}

function ipText(text: string): string {
  const address = parseGid(withoutZone(text));
  return address === undefined ? text : formatIp(address);
}
