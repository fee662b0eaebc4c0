/**
 * The nine flows: what they consist of, and which number of a snapshot shows that a part of them ran. Names are those of the verbs
 * that the parts stand for.
 */
import type { ServerSnapshot } from '../src/observe/server-snapshot.js';
import { microsText, numberText } from './page.js';

export interface Part {
  readonly label: string;
  /** How often it ran; it is lit when that grows. None: it is there as long as the server is. */
  readonly count?: (snapshot: ServerSnapshot) => number;
  /** What stands beside it. Default: its count. */
  readonly text?: (snapshot: ServerSnapshot) => string;
  readonly from?: 'client' | 'server';
}

export interface Group {
  readonly title?: string;
  /** Parts beside each other, and no sequence. */
  readonly unordered?: boolean;
  readonly parts: readonly Part[];
}

export interface Flow {
  readonly title: string;
  readonly about: string;
  readonly groups: readonly Group[];
}

type Count = (snapshot: ServerSnapshot) => number;
type Text = (snapshot: ServerSnapshot) => string;

const step =
  (name: string): Count =>
  ({ steps }) =>
    steps[name]?.count ?? 0;
const refusal =
  (...kinds: readonly string[]): Count =>
  ({ refusals }) =>
    kinds.reduce((total, kind) => total + (refusals[kind] ?? 0), 0);
const refusals: Count = (snapshot) =>
  Object.values(snapshot.refusals).reduce((total, count) => total + count, 0);
const counter =
  (...names: readonly string[]): Count =>
  ({ counters }) =>
    names.reduce((total, name) => total + (counters[name] ?? 0), 0);
const messagesIn: Count = ({ connections }) =>
  connections.reduce((total, { messagesIn: count }) => total + count, 0);
const messagesOut: Count = ({ connections }) =>
  connections.reduce((total, { messagesOut: count }) => total + count, 0);
const object =
  (kind: string): Text =>
  ({ objects }) =>
    numberText(objects[kind] ?? 0);
/** On average, from the step before it. */
const stepTime =
  (name: string): Text =>
  ({ steps }) => {
    const total = steps[name];
    return total === undefined ? '–' : microsText((total.millis / total.count) * 1000);
  };
const latency = ({ connections }: ServerSnapshot): string => {
  const timed = connections.flatMap((connection) => connection.latency ?? []);
  const [first] = timed.sort((a, b) => b.count - a.count);
  return first === undefined ? '–' : microsText(first.p50);
};

export const FLOWS: readonly Flow[] = [
  {
    title: '1. Server start',
    about: 'Once, before the first client.',
    groups: [
      {
        parts: [
          { label: 'certificates read' },
          { label: 'device opened, for all clients (ibv_open_device)', text: ({ device }) => device },
          { label: 'TLS listener', text: ({ address }) => address },
        ],
      },
    ],
  },
  {
    title: '2. TLS listener',
    about: 'For each TCP connection.',
    groups: [
      {
        parts: [
          {
            label: 'TLS 1.3, certificates verified',
            count: (snapshot) =>
              step('tls')(snapshot) +
              refusal('no-slot', 'draining', 'closing', 'quota', 'not-authorized')(snapshot),
          },
          {
            label: 'may it come in?',
            count: (snapshot) => step('tls')(snapshot) + refusal('not-authorized', 'quota', 'name')(snapshot),
          },
          { label: 'is a slot free?', text: ({ slots }) => `${slots.total - slots.used} of ${slots.total}` },
          { label: 'refused', count: refusals },
          { label: 'slot taken, client handler runs', count: step('psn-exchanged') },
        ],
      },
    ],
  },
  {
    title: '3. Client handler',
    about: 'What is done for each client, in this order.',
    groups: [
      { title: 'PSN exchange', parts: [{ label: 'PSNs exchanged over TLS', count: step('psn-exchanged') }] },
      {
        title: 'Objects and buffers',
        parts: [{ label: 'PD, 2 CQs, QP, buffers, MRs', count: step('objects-created') }],
      },
      {
        title: 'Queue pair',
        parts: [
          { label: 'parameters exchanged', count: step('parameters-exchanged') },
          { label: 'INIT', count: step('init') },
          { label: 'RTR with the client’s PSN', count: step('rtr') },
          { label: 'RTS with our PSN', count: step('rts') },
        ],
      },
      {
        title: 'Operations',
        parts: [
          { label: 'receives posted', count: step('receives-posted') },
          { label: 'ready on both sides', count: step('ready') },
          { label: 'messages', count: (snapshot) => messagesIn(snapshot) + messagesOut(snapshot) },
        ],
      },
    ],
  },
  {
    title: '4. How PSNs are set',
    about: 'Between the two ends; their values are secrets and stay out of this page.',
    groups: [
      {
        parts: [
          { label: 'client → server: its PSN', from: 'client', count: step('psn-exchanged') },
          { label: 'server → client: its PSN', from: 'server', count: step('psn-exchanged') },
          { label: 'both: ibv_create_qp', count: step('objects-created') },
          { label: 'server → client: QPN, GID, MTU', from: 'server', count: step('parameters-exchanged') },
          { label: 'client → server: QPN, GID, MTU', from: 'client', count: step('parameters-exchanged') },
          { label: 'both: RTR, rq_psn = the other’s', count: step('rtr') },
          { label: 'both: RTS, sq_psn = one’s own', count: step('rts') },
          { label: 'one message each way proves it', count: step('ready') },
        ],
      },
    ],
  },
  {
    title: '5. A message',
    about: 'The loop of receives and sends.',
    groups: [
      {
        parts: [
          { label: 'receive posted (ibv_post_recv)', count: step('receives-posted') },
          { label: 'packet arrives', count: counter('rxPackets') },
          { label: 'completion taken (ibv_poll_cq)', count: messagesIn },
          { label: 'handler answers (ibv_post_send)', count: messagesOut },
          { label: 'acknowledged by the client’s device', count: counter('acksReceived') },
        ],
      },
    ],
  },
  {
    title: '6. Clean-up',
    about: 'When a client leaves or is lost. The device stays open for the others.',
    groups: [
      {
        title: 'Memory',
        parts: [{ label: 'MRs and buffers (ibv_dereg_mr)', count: step('memory-deregistered') }],
      },
      {
        title: 'RDMA',
        parts: [
          { label: 'queue pair (ibv_destroy_qp)', count: step('qp-destroyed') },
          { label: 'completion queues (ibv_destroy_cq)', count: step('cqs-destroyed') },
          { label: 'protection domain (ibv_dealloc_pd)', count: step('pd-deallocated') },
        ],
      },
      {
        title: 'Session',
        parts: [
          { label: 'TLS closed', count: step('tls-closed') },
          { label: 'slot free again', count: step('slot-freed') },
        ],
      },
    ],
  },
  {
    title: '7. All together',
    about: 'What there is now.',
    groups: [
      {
        title: 'Shared by all clients',
        unordered: true,
        parts: [
          { label: 'device', text: ({ device }) => device },
          { label: 'TLS context and listener', text: ({ address }) => address },
          { label: 'slots in use', count: ({ slots }) => slots.used },
        ],
      },
      {
        title: 'Of one client each',
        unordered: true,
        parts: [
          { label: 'TLS sessions', text: object('controlChannels') },
          { label: 'protection domains', text: object('pds') },
          { label: 'completion queues', text: object('cqs') },
          { label: 'queue pairs', text: object('qps') },
          { label: 'memory regions', text: object('mrs') },
        ],
      },
    ],
  },
  {
    title: '8. Errors and recovery',
    about: 'A connection that fails tries to come back, with new PSNs.',
    groups: [
      {
        title: 'Found',
        unordered: true,
        parts: [
          {
            label: 'TLS refused',
            count: refusal('certificate', 'tls', 'tls-version', 'no-tls', 'tls-broken'),
          },
          {
            label: 'NAKs',
            count: counter('sequenceNaksSent', 'sequenceNaksReceived', 'fatalNaksSent', 'fatalNaksReceived'),
          },
          { label: 'retry timeouts', count: counter('timeouts') },
          { label: 'packets sent again', count: counter('retransmittedPackets') },
        ],
      },
      {
        title: 'Then',
        parts: [
          { label: 'queue pair to ERR, recovery begins', count: step('recovering') },
          { label: 'new PSNs and a new queue pair', count: step('recovered') },
          { label: 'or clean-up', count: step('slot-freed') },
        ],
      },
    ],
  },
  {
    title: '9. Hot and cold path',
    about: 'How long it takes here: medians now, and averages since the dashboard is there.',
    groups: [
      {
        title: 'Hot: each message',
        parts: [{ label: 'sent until acknowledged, median', count: messagesOut, text: latency }],
      },
      {
        title: 'Cold: each connection',
        parts: [
          { label: 'PSN exchange', count: step('psn-exchanged'), text: stepTime('psn-exchanged') },
          { label: 'objects made', count: step('objects-created'), text: stepTime('objects-created') },
          {
            label: 'parameters',
            count: step('parameters-exchanged'),
            text: stepTime('parameters-exchanged'),
          },
          { label: 'RTR', count: step('rtr'), text: stepTime('rtr') },
          { label: 'RTS', count: step('rts'), text: stepTime('rts') },
        ],
      },
    ],
  },
];
