/**
 * A client without a queue pair: it names whatever number it is told, and leaves the rest to the connection manager of its
 * device. So the kernel asks as a machine does that has forgotten its connections and gives their numbers away again.
 */
import { toQpn } from '../../../src/verbs/brands.js';
import { type CmEvent, NO_DATA } from '../../../src/verbs/connection-manager.js';
import { type Player, TIMEOUT_MILLIS } from './player.js';

export const bareMeeting: Player = async ({ device, host = '', port, qpn, onEvent }) => {
  const manager = await device.connectionManager();
  const ending = await new Promise<CmEvent>((resolve) => {
    const id = manager.connect(
      {
        remote: { host, port },
        qpn: toQpn(qpn),
        ...{ responderResources: 1, initiatorDepth: 1, retryCount: 7, rnrRetryCount: 7 },
        ...{ flowControl: false, srq: false, privateData: NO_DATA, timeoutMillis: TIMEOUT_MILLIS },
      },
      (event) => {
        if (event.type !== 'response') resolve(event);
        else void id.establish().then(() => onEvent('connected', {}));
      },
    );
  });
  return { ending: ending.type, ...(ending.type === 'rejected' ? { reason: ending.reason } : {}) };
};
