/** One question to a port of rdma_cm: a request for a connection that is given up as soon as somebody has answered it. */
import { Patience } from '../../cm/patience.js';
import { peerHosts } from '../../cm/peer-hosts.js';
import { rejectReasonName } from '../../cm/reject-reasons.js';
import { openEndpoint } from '../../endpoint/endpoint.js';
import { type CmEvent, type CmId, NO_DATA, RejectReason } from '../../verbs/connection-manager.js';
import type { Device } from '../../verbs/device.js';

export interface ProbeQuestion {
  readonly host: string;
  readonly port: number;
  readonly privateData: Uint8Array;
  readonly timeoutMillis: number;
}

export interface ProbeAnswer {
  /**
   * `accepts`: the program takes connections. `refuses`: it, or its device, said no. `nobody`: the host answers, and
   * nothing listens there. `silent`: no answer at all.
   */
  readonly outcome: 'accepts' | 'refuses' | 'nobody' | 'silent';
  /** Whether a program is there, as far as one can tell. */
  readonly isListening: boolean;
  /** From the request to the answer, repetitions included. */
  readonly roundTripMicros?: number;
  /** The name of a rejection's reason. */
  readonly reason?: string;
  readonly qpn?: number;
  readonly mtu?: number;
  readonly responderResources?: number;
  readonly initiatorDepth?: number;
  /** As it came, zeros at the end. */
  readonly privateData?: Uint8Array;
}

/** @throws RdmaError when this machine cannot ask: no address, no route, the wrong device. */
export async function probe(device: Device, question: ProbeQuestion): Promise<ProbeAnswer> {
  const { host: name, port, privateData, timeoutMillis } = question;
  const patience = new Patience(`cm-probe of ${name}`, timeoutMillis, undefined);
  const endpoint = await openEndpoint(device);
  let id: CmId | undefined;
  try {
    const [host = name] = await peerHosts(device, name, patience);
    const manager = await device.connectionManager();
    const { qp, address } = endpoint;
    const begin = performance.now();
    const event = await new Promise<CmEvent>((resolve) => {
      id = manager.connect(
        {
          remote: { host, port },
          qpn: qp.qpn,
          mtu: address.mtu,
          responderResources: 1,
          initiatorDepth: 1,
          retryCount: 7,
          rnrRetryCount: 7,
          flowControl: false,
          srq: false,
          privateData,
          timeoutMillis: Math.ceil(patience.leftMillis),
        },
        resolve,
      );
    });
    const answer = answerOf(event, (performance.now() - begin) * 1000);
    if (event.type === 'response') await id?.reject(RejectReason.CONSUMER, NO_DATA);
    return answer;
  } finally {
    patience.end();
    await id?.close();
    await endpoint.close();
  }
}

function answerOf(event: CmEvent, roundTripMicros: number): ProbeAnswer {
  switch (event.type) {
    case 'response': {
      const { qpn, privateData, responderResources, initiatorDepth } = event.peer;
      const depths = { responderResources, initiatorDepth };
      const { mtu } = event.path.peer;
      return { outcome: 'accepts', isListening: true, roundTripMicros, qpn, mtu, ...depths, privateData };
    }
    case 'rejected': {
      const reason = rejectReasonName(event.reason);
      if (event.reason === RejectReason.INVALID_SERVICE_ID) {
        return { outcome: 'nobody', isListening: false, roundTripMicros, reason };
      }
      const { privateData } = event;
      return { outcome: 'refuses', isListening: true, roundTripMicros, reason, privateData };
    }
    case 'failed':
      throw event.error;
    default:
      return { outcome: 'silent', isListening: false };
  }
}
