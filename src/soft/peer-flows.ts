/** The ways to peers of the communication manager. Invariant: a bounded number of them is remembered. */
import type { Flow } from '../roce/flow.js';
import { type Nic, ROCE_PORT } from '../roce/nic.js';
import { formatGid, formatIp, type UdpAddress } from '../verbs/address.js';

const MAX_FLOWS = 1024;

export class PeerFlows {
  readonly #nic: Nic;
  readonly #flows = new Map<string, Flow>();

  constructor(nic: Nic) {
    this.#nic = nic;
  }

  to(destination: UdpAddress, trafficClass: number): Flow {
    const key = `${formatIp(destination)} ${destination.port} ${trafficClass}`;
    const known = this.#flows.get(key);
    if (known !== undefined) return known;
    if (this.#flows.size >= MAX_FLOWS) this.#flows.clear();
    const udpPort = destination.port || ROCE_PORT;
    const flow = this.#nic.createFlow({ dgid: formatGid(destination), udpPort, trafficClass });
    this.#flows.set(key, flow);
    return flow;
  }
}
