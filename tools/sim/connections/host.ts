/** A machine of the simulation: its address, and the device that its programs share. */
import type { Random } from '../../../testkit/random.js';
import { VirtualDevice } from '../../../testkit/virtual-device.js';
import type { VirtualNetwork } from '../../../testkit/virtual-network.js';

export class Host {
  readonly ip: string;
  readonly device: VirtualDevice;
  /** Connections that may have a queue pair on it, at the most. */
  connections = 0;

  constructor(network: VirtualNetwork, ip: string, random: Random, verbMillis: number) {
    this.ip = ip;
    this.device = new VirtualDevice(network, ip, random);
    this.device.verbMillis = verbMillis;
  }
}
