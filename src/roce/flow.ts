/**
 * Where a queue pair's packets go: addresses, ports and the IP header fields that the address vector chose. Flows
 * are made when an address vector is set and never change afterwards, so ports may cache what they derive from one.
 */
import { UdpAddress } from './wire/address.js';

export class Flow {
  readonly source = new UdpAddress();
  readonly destination = new UdpAddress();
  trafficClass = 0;
  hopLimit = 64;
  flowLabel = 0;
  /** For the port's own use, e.g. an index into a native table; 0 = not assigned yet. */
  portHandle = 0;
}
