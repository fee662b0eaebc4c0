/**
 * A port of the kernel's communication manager at which this device answers; the same for connections and for datagram
 * services.
 *
 * Invariants: requests that come through another device are not this one's and are refused; so are those beyond the
 * backlog. The kernel tells their clients with reason 28. A listener that has ended tells of no more requests.
 */
import { CmEventType, CmOption } from '../native/rdmacm-addon.js';
import type { CmAddress, CmListener, CmListenOptions } from '../verbs/connection-manager.js';
import { ANY_IPV4, ANY_IPV6, socketAddress } from './rdmacm-address.js';
import type { CmContext } from './rdmacm-asking.js';
import type { KernelEvent, KernelId } from './rdmacm-channel.js';
import { listenError } from './rdmacm-error.js';
import { OwnAddresses } from './rdmacm-own.js';
import { Errno } from './verbs-error.js';

/** Resolves when the program has been told. `release`: the program has answered the request, or forgotten it. May be called more than once. */
export type OnRequest = (event: KernelEvent, id: KernelId, release: () => void) => Promise<void>;

export async function listenAt(
  context: CmContext,
  portSpace: number,
  options: CmListenOptions,
  onRequest: OnRequest,
): Promise<CmListener> {
  const { device, channel } = context;
  let waiting = 0;
  /** Requests on their way to the program. */
  const arriving = new Set<Promise<void>>();
  const id = channel.createId(portSpace, ({ request, ...event }) => {
    if (event.type === CmEventType.DEVICE_REMOVAL) void id.destroy();
    if (request === undefined) return;
    if (request.deviceName !== device.name || waiting >= options.backlog) {
      void request.destroy();
      return;
    }
    waiting++;
    let isWaiting = true;
    const told = onRequest({ ...event, request }, request, () => {
      if (isWaiting) waiting--;
      isWaiting = false;
    });
    arriving.add(told);
    void told.then(() => arriving.delete(told));
  });
  try {
    await bind(context, id, options);
  } catch (error) {
    await id.destroy();
    throw error;
  }
  const address: CmAddress = { host: options.host ?? '::', port: id.addresses[0].port };
  const ended = id.ended.then(async () => void (await Promise.all(arriving)));
  const close = async (): Promise<void> => {
    await id.destroy();
    await ended;
  };
  return { address, ended, close };
}

/** @throws RdmaError ERR_RDMA_ADDRESS. */
async function bind({ device }: CmContext, id: KernelId, options: CmListenOptions): Promise<void> {
  const { host, port } = options;
  const explain = async (errno: number) =>
    listenError(device.name, options, errno, await OwnAddresses.of(device));
  const address = host === null ? ANY_IPV6(port) : socketAddress({ host, port });
  // Both IP versions, whatever the machine's default is.
  if (host === null) await id.run((addon, handle) => addon.setOption(handle, CmOption.AFONLY, 0));
  let bound = await id.run((addon, handle) => addon.bindAddr(handle, address));
  if (bound === -Errno.EAFNOSUPPORT && host === null) {
    bound = await id.run((addon, handle) => addon.bindAddr(handle, ANY_IPV4(port)));
  }
  if (bound < 0) throw await explain(-bound);
  if (host !== null && id.deviceName !== device.name) throw await explain(Errno.EADDRNOTAVAIL);
  // The kernel drops further requests that nobody has read yet: their clients ask again.
  const listening = await id.run((addon, handle) => addon.listen(handle, options.backlog));
  if (listening < 0) throw await explain(-listening);
}
