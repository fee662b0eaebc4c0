/** Native ports without a device around them. */
import { loadAddon } from '../src/native/addon.js';
import { Flow } from '../src/roce/flow.js';
import { NativePort } from '../src/soft/native-port.js';
import { copyAddress } from '../src/verbs/address.js';
import { toAddress } from './nic-pair.js';

export function openNativePort(address = '127.0.0.1'): NativePort {
  const addon = loadAddon();
  if (typeof addon === 'string') throw new Error(addon);
  return NativePort.open(toAddress(address, 0), addon);
}

export function flowBetween(from: NativePort, to: NativePort): Flow {
  const flow = new Flow();
  copyAddress(from.address, flow.source);
  copyAddress(to.address, flow.destination);
  return flow;
}
