/** Arguments of calls: right by default, near their bounds or absurd by choice. */
import type { AddressVector } from '../../../../src/verbs/address-handle.js';
import type { PathMtu } from '../../../../src/verbs/mtu.js';
import type { QpAttributes } from '../../../../src/verbs/qp-attributes.js';
import { QpState, QpType } from '../../../../src/verbs/qp-state.js';
import type { Choices } from '../../choices.js';

/** Numbers that a program computes by mistake. */
export const ABSURD = [
  -1,
  Number.NaN,
  0.5,
  1.5,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  2 ** 31,
  2 ** 32,
  2 ** 32 - 1,
  2 ** 53,
  Number.MAX_SAFE_INTEGER,
  -(2 ** 31),
  1e300,
  -0,
];

export const absurd = (choices: Choices): number => choices.pick(ABSURD);

/** `usual` mostly, one of `others` sometimes, absurd rarely. */
export function number(choices: Choices, usual: number, ...others: number[]): number {
  const how = choices.u8();
  if (how < 160) return usual;
  if (how < 232 && others.length > 0) return choices.pick(others);
  return absurd(choices);
}

export function bigNumber(choices: Choices, usual: bigint): bigint {
  const how = choices.u8();
  if (how < 200) return usual;
  return choices.pick([0n, 1n, -1n, 2n ** 53n, 2n ** 64n - 1n, 2n ** 64n, -(2n ** 63n), 2n ** 200n]);
}

const GIDS = [
  '::',
  '',
  'x',
  '10.0.0.1',
  '::ffff:10.0.0.9',
  '2001:db8::1',
  'fe80::1%lo',
  '1:2',
  '::ffff:999.0.0.1',
];

/** An address vector to `gid`, with one field absurd by choice. */
export function addressVector(choices: Choices, gid: string): AddressVector {
  const how = choices.u8();
  if (how < 180) return { dgid: gid };
  const value = number(choices, 0, 1, 63, 255, 256, 65_535, 65_536, 2 ** 20 - 1, 2 ** 20);
  const fields = ['sgidIndex', 'hopLimit', 'trafficClass', 'flowLabel', 'udpPort'] as const;
  if (how < 200) return { dgid: choices.pick(GIDS) };
  return { dgid: gid, [choices.pick(fields)]: value };
}

const RANGES = {
  timeout: 31,
  retryCount: 7,
  rnrRetry: 7,
  minRnrTimer: 31,
  maxRdAtomic: 255,
  maxDestRdAtomic: 255,
};
const NAMES = ['pkeyIndex', 'port', 'accessFlags', 'qkey', 'destQpn', 'rqPsn', 'sqPsn', 'pathMtu'] as const;

/** Attributes of a modify call that is most likely not right. */
export function wildAttributes(choices: Choices, gid: string): QpAttributes {
  const attributes: Record<string, unknown> = {
    state: choices.oneIn(8) ? absurd(choices) : choices.below(7),
  };
  for (let i = choices.below(6); i > 0; i--) {
    const how = choices.below(4);
    if (how === 0) attributes[choices.pick(NAMES)] = number(choices, 0, 1, 15, 1024, 0xffffff, 0x1000000);
    else if (how === 1) {
      const name = choices.pick(Object.keys(RANGES) as (keyof typeof RANGES)[]);
      attributes[name] = number(choices, 1, RANGES[name], RANGES[name] + 1);
    } else if (how === 2) attributes['av'] = addressVector(choices, gid);
    else attributes[choices.pick(['curState', 'enSqdAsyncNotify'])] = choices.below(8);
  }
  return attributes as QpAttributes;
}

export interface PathPlan {
  readonly type: QpType;
  readonly dgid: string;
  readonly destQpn: number;
  readonly mtu: PathMtu;
  readonly qkey: number;
  readonly depth: number;
}

/** The call that takes a queue pair one state on, towards RTS; from there to SQD and back. */
export function nextStep(state: QpState, plan: PathPlan): QpAttributes | null {
  const { type, dgid, destQpn, mtu, qkey, depth } = plan;
  const isUd = type === QpType.UD;
  switch (state) {
    case QpState.RESET: {
      const rights = isUd ? { qkey: qkey as never } : { accessFlags: 15 };
      return { state: QpState.INIT, pkeyIndex: 0, port: 1, ...rights };
    }
    case QpState.INIT: {
      const path = { av: { dgid }, pathMtu: mtu, destQpn: destQpn as never, rqPsn: 0xfffffe as never };
      if (isUd) return { state: QpState.RTR };
      return {
        state: QpState.RTR,
        ...path,
        ...(type === QpType.RC ? { maxDestRdAtomic: depth, minRnrTimer: 1 } : {}),
      };
    }
    case QpState.RTR: {
      const base = { state: QpState.RTS, sqPsn: 0xfffffe as never };
      if (type !== QpType.RC) return base;
      return { ...base, timeout: 8, retryCount: 3, rnrRetry: 3, maxRdAtomic: depth };
    }
    case QpState.RTS:
      return { state: QpState.SQD, enSqdAsyncNotify: true };
    case QpState.SQD:
      return { state: QpState.RTS };
    case QpState.SQE:
      return { state: QpState.RTS };
    default:
      return { state: QpState.RESET };
  }
}
