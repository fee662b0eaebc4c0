/**
 * Where a queue pair's packets go: addresses, ports and the IP header fields that the address vector chose. Flows
 * are made when an address vector is set and never change afterwards, so ports may cache what they derive from one.
 */
import { UdpAddress } from '../verbs/address.js';

export class Flow {
  /** Those of one device share it. */
  readonly source: UdpAddress;
  readonly destination: UdpAddress;
  trafficClass = 0;
  hopLimit = 64;
  flowLabel = 0;
  /** For the use of a port: what it calls this by, and which port that is. */
  port: object | null = null;
  portHandle = 0;

  constructor(source = new UdpAddress(), destination = new UdpAddress()) {
    this.source = source;
    this.destination = destination;
  }
}
