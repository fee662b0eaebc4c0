/** Queue pair states and types (`enum ibv_qp_state`, `enum ibv_qp_type`), and what each state allows. */

export const QpState = { RESET: 0, INIT: 1, RTR: 2, RTS: 3, SQD: 4, SQE: 5, ERR: 6 } as const;
export type QpState = (typeof QpState)[keyof typeof QpState];

const { RESET, RTR, RTS, SQE } = QpState;

const STATE_NAMES = Object.keys(QpState);
/** `RESET`, `INIT`, `RTR`, `RTS`, `SQD`, `SQE` or `ERR`. */
export const qpStateName = (state: QpState): string => STATE_NAMES[state] ?? `STATE_${state}`;

export const QpType = { RC: 2, UC: 3, UD: 4 } as const;
export type QpType = (typeof QpType)[keyof typeof QpType];

export const qpTypeName = (type: QpType): string =>
  type === QpType.RC ? 'RC' : type === QpType.UC ? 'UC' : type === QpType.UD ? 'UD' : `TYPE_${type}`;

/** States in which `postRecv` is accepted; in ERR the request completes with WR_FLUSH_ERR. */
export const mayPostRecv = (state: QpState): boolean => state !== RESET;

/** States in which `postSend` is accepted; SQD holds the request, SQE and ERR flush it. */
export const mayPostSend = (state: QpState): boolean => state >= RTS;

/** States in which packets for the queue pair are processed. */
export const mayReceive = (state: QpState): boolean => state >= RTR && state <= SQE;
