/** Takes a queue pair of the world through its states, to where its plan wants it. */
import { formatGid } from '../../../../src/verbs/address.js';
import type { QpAttributes } from '../../../../src/verbs/qp-attributes.js';
import { QpState, QpType } from '../../../../src/verbs/qp-state.js';
import type { KnownQp, World } from './world.js';

export const QKEY = 0x1111_2222;

export interface QpPlan {
  readonly name: string;
  readonly type: QpType;
  readonly until: QpState;
  /** Receives that are posted at the start. */
  readonly receives?: number;
  /** Requests are posted at the start. */
  readonly busy?: boolean;
  readonly srq?: boolean;
  readonly pd?: number;
  /** Remote rights; default all. */
  readonly access?: number;
  /** READs and atomics, both ways. Default 3. */
  readonly depth?: number;
  readonly tinyCq?: boolean;
}

export function bringUp(world: World, index: number, until: QpState): void {
  const known = world.qps[index] as KnownQp;
  const { qp } = known;
  const steps = stepsOf(world, known);
  for (const step of steps) {
    if (qp.state >= until || qp.state === step.state) continue;
    qp.modify(step);
  }
  if (until === QpState.SQD && qp.state === QpState.RTS) {
    qp.modify({ state: QpState.SQD, enSqdAsyncNotify: true });
  } else if (until === QpState.ERR) {
    qp.modify({ state: QpState.ERR });
  }
  known.everAccess |= qp.accessFlags;
}

function stepsOf(world: World, { plan, qp }: KnownQp): QpAttributes[] {
  const { INIT, RTR, RTS } = QpState;
  const rqPsn = world.rqPsn as never;
  const sqPsn = world.sqPsn as never;
  const common = { pkeyIndex: 0, port: 1 };
  if (plan.type === QpType.UD) {
    return [{ state: INIT, ...common, qkey: QKEY as never }, { state: RTR }, { state: RTS, sqPsn }];
  }
  const depth = plan.depth ?? 3;
  const init = { state: INIT, ...common, accessFlags: plan.access ?? 15 };
  const path = {
    av: { dgid: formatGid(world.peer), udpPort: world.peer.port },
    pathMtu: world.mtu,
    destQpn: (qp.qpn ^ 0x5a5a5a) as never,
    rqPsn,
  };
  if (plan.type === QpType.UC) return [init, { state: RTR, ...path }, { state: RTS, sqPsn }];
  return [
    init,
    { state: RTR, ...path, maxDestRdAtomic: depth, minRnrTimer: 1 },
    { state: RTS, sqPsn, timeout: 8, retryCount: 3, rnrRetry: 3, maxRdAtomic: depth },
  ];
}
