/** Devices of the operating system among the kinds of device. Every name that no other kind claims is one of theirs. */
import type { DeviceProvider } from '../verbs/device-provider.js';
import { IbverbsDevice } from './ibverbs-device.js';
import { listIbverbsDevices } from './library.js';

export const ibverbsProvider: DeviceProvider = {
  kind: 'ibverbs',
  description: 'device of the operating system, through libibverbs',
  recognizes: () => true,
  list: listIbverbsDevices,
  open: (name) => IbverbsDevice.open(name),
};
