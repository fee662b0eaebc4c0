/** Which address of this machine leads to another one: what a device without an address of its own is opened on. */
import { createSocket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import type { OpenDeviceOptions } from '../verbs/device-provider.js';

/** Any: no packet is sent to it. */
const SOME_PORT = 4791;

/** Where a device shall be opened that is to reach `host`; for hosts that cannot be reached it is left open. */
export async function nearOf(host: string | undefined): Promise<OpenDeviceOptions> {
  if (host === undefined) return {};
  try {
    return { near: await addressTowards(host) };
  } catch {
    // `connect` will say what is wrong with the host.
    return {};
  }
}

async function addressTowards(host: string): Promise<string> {
  const { address, family } = await lookup(host);
  const socket = createSocket(family === 6 ? 'udp6' : 'udp4');
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      // The kernel chooses a route and an address; nothing leaves.
      socket.connect(SOME_PORT, address, resolve);
    });
    return socket.address().address;
  } finally {
    socket.close();
  }
}
