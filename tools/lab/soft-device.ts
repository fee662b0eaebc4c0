/** The soft device of this side, where it can talk to rxe0 at all. */
import { openDevice } from '../../src/open-device.js';
import { RdmaError } from '../../src/verbs/errors.js';
import { HERE, type IpVersion } from './network.js';
import { SkipCase } from './results.js';

/**
 * At the standard port, for rxe0 knows no other, and over the native one: node:dgram makes no exact ICRC over IPv4, and
 * over IPv6 does not get the packets of rxe0, which have no UDP checksum.
 */
const nameOf = (ip: IpVersion): string => `soft:${HERE[ip]}?port=4791&io=native`;

const reasons = new Map<IpVersion, string | undefined>();

/**
 * The name to open it by.
 *
 * @throws SkipCase where there is no native port.
 */
export async function softDeviceName(ip: IpVersion): Promise<string> {
  if (!reasons.has(ip)) reasons.set(ip, await whyNot(nameOf(ip)));
  const reason = reasons.get(ip);
  if (reason === undefined) return nameOf(ip);
  throw new SkipCase(`no native port for the soft device: ${reason}`);
}

async function whyNot(name: string): Promise<string | undefined> {
  try {
    await (await openDevice(name)).close();
    return undefined;
  } catch (error) {
    if (error instanceof RdmaError) return error.message;
    throw error;
  }
}
