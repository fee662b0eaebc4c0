/** A soft device whose faults are made on purpose: its network goes dark, its queue pairs fail or refuse what is asked of them. */
import assert from 'node:assert/strict';
import { Icrc } from '../src/roce/wire/icrc.js';
import { openPort } from '../src/soft/open-port.js';
import { SoftDevice } from '../src/soft/soft-device.js';
import { parseSoftName } from '../src/soft/soft-spec.js';
import { fastCrc32 } from '../src/soft/zlib-crc.js';
import type { ProtectionDomain } from '../src/verbs/device.js';
import { QpState } from '../src/verbs/qp-state.js';
import type { QueuePair } from '../src/verbs/queue-pair.js';
import type { ReceiveWorkRequest, SendWorkRequest } from '../src/verbs/work-request.js';
import { SwitchedPort } from './switched-port.js';

export class FragileDevice {
  readonly device: SoftDevice;
  readonly #port: SwitchedPort;
  readonly #qps = new Set<QueuePair>();
  /** Why its queue pairs refuse a send, or a receive. */
  refusalOfSend: (request: SendWorkRequest) => Error | undefined = () => undefined;
  refusalOfReceive: (request: ReceiveWorkRequest) => Error | undefined = () => undefined;

  /** @throws RdmaError as `openDevice`. */
  static async open(name: string, seed = 1): Promise<FragileDevice> {
    const icrc = new Icrc(fastCrc32);
    const port = new SwitchedPort(await openPort(parseSoftName(name), icrc), seed);
    return new FragileDevice(new SoftDevice(port, icrc), port);
  }

  private constructor(device: SoftDevice, port: SwitchedPort) {
    this.device = device;
    this.#port = port;
    const allocPd = device.allocPd.bind(device);
    device.allocPd = async () => this.#watch(await allocPd());
  }

  /** Closes the device, which holds nothing any more. */
  async closeEmpty(): Promise<void> {
    assert.deepEqual(new Set(Object.values(this.device.census())), new Set([0]), 'something was left over');
    await this.device.close();
  }

  /** Probability that a packet that arrives is lost. */
  set loss(loss: number) {
    this.#port.loss = loss;
  }

  /** Longer packets that arrive are lost. */
  set longestBytes(longestBytes: number) {
    this.#port.longestBytes = longestBytes;
  }

  /** Whether packets are lost in both directions. */
  set isDark(isDark: boolean) {
    this.#port.isDark = isDark;
  }

  /** Puts every queue pair that is up into ERR; returns how many there were. */
  async failQueuePairs(): Promise<number> {
    let failed = 0;
    for (const qp of [...this.#qps]) {
      if (qp.closed) this.#qps.delete(qp);
      else if (qp.state === QpState.RTS) {
        await qp.modify({ state: QpState.ERR });
        failed++;
      }
    }
    return failed;
  }

  #watch<Pd extends ProtectionDomain>(pd: Pd): Pd {
    const createQp = pd.createQp.bind(pd);
    pd.createQp = async (options) => {
      const qp = await createQp(options);
      this.#qps.add(qp);
      const postSend = qp.postSend.bind(qp);
      qp.postSend = (request) => {
        const refusal = this.refusalOfSend(request);
        if (refusal !== undefined) throw refusal;
        postSend(request);
      };
      const postRecv = qp.postRecv.bind(qp);
      qp.postRecv = (request) => {
        const refusal = this.refusalOfReceive(request);
        if (refusal !== undefined) throw refusal;
        postRecv(request);
      };
      return qp;
    };
    return pd;
  }
}
