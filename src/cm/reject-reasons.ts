/**
 * Why a peer rejects (REJ, IBTA table 109): a number on the wire, a word for programs, and in words what it means and what
 * to do.
 */

interface Meaning {
  readonly name: string;
  readonly text: string;
}

/** By number. */
const MEANINGS: ReadonlyMap<number, Meaning> = new Map([
  [1, { name: 'no-qp', text: 'it has no queue pair to give; try again later' }],
  [2, { name: 'no-eec', text: 'it has no EE context to give; connect with RC, as this package does' }],
  [3, { name: 'no-resources', text: 'it lacks resources; try again later' }],
  [4, { name: 'timeout', text: 'it waited too long for an answer; try again' }],
  [
    5,
    {
      name: 'unsupported-request',
      text: 'it does not support such a request; check what its program expects',
    },
  ],
  [6, { name: 'invalid-communication-id', text: 'it does not know the communication ID; try again' }],
  [7, { name: 'invalid-communication-instance', text: 'the connection it has is another one; try again' }],
  [8, { name: 'invalid-service-id', text: 'nobody listens there' }],
  [
    9,
    {
      name: 'invalid-transport',
      text: 'the service is of another transport than RC; ask resolveUd, if it is one for datagrams',
    },
  ],
  [
    10,
    {
      name: 'stale-connection',
      text: 'it still has a connection with the same queue pair; make a new queue pair and try again',
    },
  ],
  [11, { name: 'rdc-not-exist', text: 'it has no RD channel; check what its program expects' }],
  [
    12,
    {
      name: 'invalid-gid',
      text: 'the addresses of the request are not those of its device; check the address and the GID table there',
    },
  ],
  [13, { name: 'invalid-lid', text: 'it refuses the LID of the path; check that its link is Ethernet' }],
  [
    14,
    {
      name: 'invalid-service-level',
      text: 'it refuses the service level of the path; check the limits of its device',
    },
  ],
  [15, { name: 'invalid-traffic-class', text: 'it refuses the traffic class; leave trafficClass out' }],
  [
    16,
    {
      name: 'invalid-hop-limit',
      text: 'it refuses the hop limit of the path; check the limits of its device',
    },
  ],
  [
    17,
    {
      name: 'invalid-packet-rate',
      text: 'it refuses the packet rate of the path; check the limits of its device',
    },
  ],
  [
    18,
    {
      name: 'invalid-alternate-gid',
      text: 'it takes no alternate path; check the fabric, for none was asked for',
    },
  ],
  [
    19,
    {
      name: 'invalid-alternate-lid',
      text: 'it takes no alternate path; check the fabric, for none was asked for',
    },
  ],
  [
    20,
    {
      name: 'invalid-alternate-service-level',
      text: 'it takes no alternate path; check the fabric, for none was asked for',
    },
  ],
  [
    21,
    {
      name: 'invalid-alternate-traffic-class',
      text: 'it takes no alternate path; check the fabric, for none was asked for',
    },
  ],
  [
    22,
    {
      name: 'invalid-alternate-hop-limit',
      text: 'it takes no alternate path; check the fabric, for none was asked for',
    },
  ],
  [
    23,
    {
      name: 'invalid-alternate-packet-rate',
      text: 'it takes no alternate path; check the fabric, for none was asked for',
    },
  ],
  [
    24,
    {
      name: 'port-cm-redirect',
      text: 'it sends its clients to another port; connect there, for nothing here follows it',
    },
  ],
  [
    25,
    {
      name: 'port-redirect',
      text: 'it sends its clients to another port; connect there, for nothing here follows it',
    },
  ],
  [26, { name: 'invalid-mtu', text: 'its path takes smaller packets; open the endpoint with a smaller mtu' }],
  [
    27,
    {
      name: 'insufficient-responder-resources',
      text: 'it can hold fewer READs; ask for a smaller initiatorDepth',
    },
  ],
  [28, { name: 'consumer', text: 'its program said no' }],
  [29, { name: 'rnr-retry', text: 'it refuses the RNR retry count; choose another rnrRetryCount' }],
  [30, { name: 'duplicate-communication-id', text: 'it has the communication ID already; try again' }],
  [
    31,
    {
      name: 'invalid-class-version',
      text: 'it speaks another version of the protocol; bring its software up to date',
    },
  ],
  [
    32,
    {
      name: 'invalid-flow-label',
      text: 'it refuses the flow label of the path; try again, from another port',
    },
  ],
  [
    33,
    {
      name: 'invalid-alternate-flow-label',
      text: 'it takes no alternate path; check the fabric, for none was asked for',
    },
  ],
  [
    35,
    {
      name: 'vendor-option',
      text: 'it does not support an option of the vendor; check the version of its driver',
    },
  ],
]);

export const rejectReasonName = (reason: number): string => MEANINGS.get(reason)?.name ?? `reason-${reason}`;

/** The middle of a sentence: what the peer means and what to do. */
export const rejectReasonText = (reason: number): string =>
  MEANINGS.get(reason)?.text ??
  `its reason, ${reason}, has no meaning known here; look it up in the documents of its program`;
