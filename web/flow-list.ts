/** The nine flows. Names are those of the verbs that their parts stand for. */
import {
  counter,
  latency,
  messagesIn,
  messagesOut,
  object,
  refusal,
  refusals,
  step,
  stepTime,
} from './flow-counts.js';
import type { Arrow, Box, Flow } from './flow-shapes.js';

/** Boxes below each other in a column, with arrows between them. */
function chain(
  column: number,
  row: number,
  boxes: readonly Omit<Box, 'at'>[],
): { boxes: Box[]; arrows: Arrow[] } {
  return {
    boxes: boxes.map((box, i) => ({ ...box, at: [column, row + i] })),
    arrows: boxes.slice(1).map((box, i) => ({ from: boxes[i]?.id ?? '', to: box.id })),
  };
}

const REFUSED_BEFORE_A_SLOT = ['no-slot', 'draining', 'closing', 'quota', 'not-authorized'] as const;

const start = chain(0, 0, [
  { id: 'device', label: 'device opened, for all clients\n(ibv_open_device)', text: ({ device }) => device },
  { id: 'certificates', label: 'certificates read, TLS context made', isPlain: true },
  { id: 'listener', label: 'TLS listener', text: ({ address }) => address },
  { id: 'wait', label: 'clients come, until a signal', kind: 'end', isPlain: true },
]);

const handler = [
  chain(0, 0, [
    { id: 'psn', label: 'exchanged over TLS', count: step('psn-exchanged') },
    { id: 'objects', label: 'PD, 2 CQs, QP,\nbuffers, MRs', count: step('objects-created') },
    { id: 'parameters', label: 'QPN, GID, MTU\nover TLS', count: step('parameters-exchanged') },
    { id: 'init', label: 'INIT', count: step('init') },
  ]),
  chain(1, 0, [
    { id: 'rtr', label: 'RTR with the\nclient’s PSN', count: step('rtr') },
    { id: 'rts', label: 'RTS with our PSN', count: step('rts') },
    { id: 'receives', label: 'receives posted,\nready on both sides', count: step('ready') },
    {
      id: 'messages',
      label: 'messages',
      count: (snapshot) => messagesIn(snapshot) + messagesOut(snapshot),
    },
  ]),
] as const;

const cleanUp = chain(0, 1, [
  { id: 'mrs', label: 'MRs and buffers\n(ibv_dereg_mr)', span: 2, count: step('memory-deregistered') },
  { id: 'qp', label: 'queue pair (ibv_destroy_qp)', span: 2, count: step('qp-destroyed') },
  { id: 'cqs', label: 'completion queues (ibv_destroy_cq)', span: 2, count: step('cqs-destroyed') },
  { id: 'pd', label: 'protection domain (ibv_dealloc_pd)', span: 2, count: step('pd-deallocated') },
  { id: 'tls', label: 'TLS closed', span: 2, count: step('tls-closed') },
  { id: 'slot', label: 'slot free again', span: 2, kind: 'end', count: step('slot-freed') },
]);

const cold = chain(1, 0, [
  { id: 'tls', label: 'TLS 1.3', count: step('tls') },
  { id: 'psn', label: 'PSN exchange', count: step('psn-exchanged') },
  { id: 'objects', label: 'objects made', count: step('objects-created') },
  { id: 'parameters', label: 'parameters', count: step('parameters-exchanged') },
  { id: 'rtr', label: 'RTR', count: step('rtr') },
  { id: 'rts', label: 'RTS', count: step('rts') },
]);
const COLD_TIMES = ['psn-exchanged', 'objects-created', 'parameters-exchanged', 'rtr', 'rts'] as const;

export const FLOWS: readonly Flow[] = [
  { title: '1. Server start', about: 'Once, before the first client.', chart: { columns: 1, ...start } },
  {
    title: '2. TLS listener',
    about: 'For each TCP connection.',
    chart: {
      columns: 2,
      boxes: [
        { id: 'tcp', label: 'a TCP connection', at: [0, 0], kind: 'end', isPlain: true },
        {
          id: 'tls',
          label: 'TLS 1.3, and a\ncertificate?',
          at: [0, 1],
          kind: 'choice',
          count: (snapshot) => step('tls')(snapshot) + refusal(...REFUSED_BEFORE_A_SLOT)(snapshot),
        },
        {
          id: 'may',
          label: 'may it come in?',
          at: [0, 2],
          kind: 'choice',
          count: (snapshot) => step('tls')(snapshot) + refusal('not-authorized', 'quota', 'name')(snapshot),
        },
        {
          id: 'slot',
          label: 'is a slot free?',
          at: [0, 3],
          kind: 'choice',
          count: (snapshot) => step('tls')(snapshot) + refusal('no-slot')(snapshot),
          text: ({ slots }) => `${slots.total - slots.used} of ${slots.total}`,
        },
        { id: 'refused', label: 'refused', at: [1, 4], kind: 'end', count: refusals },
        {
          id: 'handler',
          label: 'slot taken,\nits handler runs',
          at: [0, 4],
          kind: 'end',
          count: step('psn-exchanged'),
        },
      ],
      arrows: [
        { from: 'tcp', to: 'tls' },
        { from: 'tls', to: 'may', label: 'yes' },
        { from: 'may', to: 'slot', label: 'yes' },
        { from: 'slot', to: 'handler', label: 'yes' },
        {
          from: 'tls',
          to: 'refused',
          label: 'no',
          way: 'side',
          count: refusal('certificate', 'tls', 'tls-version', 'no-tls', 'tls-broken'),
        },
        {
          from: 'may',
          to: 'refused',
          label: 'no',
          way: 'side',
          count: refusal('not-authorized', 'quota', 'name', 'draining', 'closing'),
        },
        { from: 'slot', to: 'refused', label: 'no', way: 'side', count: refusal('no-slot') },
      ],
    },
  },
  {
    title: '3. Client handler',
    about: 'What is done for each client, in this order.',
    chart: {
      columns: 2,
      boxes: [...handler[0].boxes, ...handler[1].boxes],
      arrows: [
        ...handler[0].arrows,
        ...handler[1].arrows,
        { from: 'init', to: 'rtr', way: 'between' },
        { from: 'messages', to: 'messages', way: 'loop' },
      ],
      frames: [
        { title: 'PSN exchange', of: ['psn'] },
        { title: 'objects', of: ['objects'] },
        { title: 'queue pair', of: ['parameters', 'init'] },
        { title: 'queue pair', of: ['rtr', 'rts'] },
        { title: 'operations', of: ['receives', 'messages'] },
      ],
    },
  },
  {
    title: '4. How PSNs are set',
    about: 'Their values are secrets and stay out of this page.',
    sequence: {
      parties: ['client', 'TLS', 'server', 'device'],
      messages: [
        { from: 'client', to: 'TLS', label: 'its PSN', count: step('psn-exchanged') },
        { from: 'server', to: 'TLS', label: 'its PSN', count: step('psn-exchanged') },
        { from: 'TLS', to: 'server', label: 'the client’s PSN', count: step('psn-exchanged') },
        { from: 'TLS', to: 'client', label: 'the server’s PSN', count: step('psn-exchanged') },
        { from: 'server', to: 'device', label: 'ibv_create_qp', count: step('objects-created') },
        { from: 'server', to: 'TLS', label: 'QPN, GID, MTU', count: step('parameters-exchanged') },
        { from: 'TLS', to: 'server', label: 'those of the client', count: step('parameters-exchanged') },
        { from: 'server', to: 'device', label: 'INIT', count: step('init') },
        { from: 'server', to: 'device', label: 'RTR: rq_psn = the client’s', count: step('rtr') },
        { from: 'server', to: 'device', label: 'RTS: sq_psn = its own', count: step('rts') },
        { from: 'device', to: 'client', label: 'a message each way proves it', count: step('ready') },
      ],
    },
  },
  {
    title: '5. A message',
    about: 'The loop of receives and sends.',
    chart: {
      columns: 2,
      boxes: [
        {
          id: 'receive',
          label: 'receive posted\n(ibv_post_recv)',
          at: [0, 0],
          count: step('receives-posted'),
        },
        { id: 'packet', label: 'packets arrive', at: [0, 1], count: counter('rxPackets') },
        { id: 'completion', label: 'completion taken\n(ibv_poll_cq)', at: [0, 2], count: messagesIn },
        { id: 'handler', label: 'the handler has it', at: [0, 3], count: messagesIn },
        { id: 'send', label: 'it answers\n(ibv_post_send)', at: [1, 3], count: messagesOut },
        {
          id: 'acknowledged',
          label: 'acknowledged by the\nclient’s device',
          at: [1, 2],
          count: counter('acksReceived'),
        },
        { id: 'done', label: 'send is done', at: [1, 1], kind: 'end', isPlain: true },
      ],
      arrows: [
        { from: 'receive', to: 'packet' },
        { from: 'packet', to: 'completion' },
        { from: 'completion', to: 'handler' },
        { from: 'completion', to: 'receive', way: 'left', count: messagesIn },
        { from: 'handler', to: 'send' },
        { from: 'send', to: 'acknowledged' },
        { from: 'acknowledged', to: 'done' },
      ],
    },
  },
  {
    title: '6. Clean-up',
    about: 'The device stays open for the others.',
    chart: {
      columns: 2,
      boxes: [
        { id: 'quit', label: 'the client leaves', at: [0, 0], kind: 'end', count: step('quit') },
        {
          id: 'lost',
          label: 'or is lost',
          at: [1, 0],
          kind: 'end',
          count: (snapshot) => Math.max(0, step('memory-deregistered')(snapshot) - step('quit')(snapshot)),
        },
        ...cleanUp.boxes,
      ],
      arrows: [{ from: 'quit', to: 'mrs' }, { from: 'lost', to: 'mrs' }, ...cleanUp.arrows],
    },
  },
  {
    title: '7. All together',
    about: 'What there is now.',
    chart: {
      columns: 3,
      boxes: [
        { id: 'listener', label: 'TLS listener', at: [0, 0], span: 3, text: ({ address }) => address },
        { id: 'handlers', label: 'client handlers', at: [0, 1], span: 3, count: ({ slots }) => slots.used },
        {
          id: 'device',
          label: 'device',
          at: [0, 2],
          text: ({ device }) => device.replace(/^(.{12}).+/, '$1…'),
        },
        { id: 'context', label: 'TLS context', at: [1, 2], text: () => 'one' },
        {
          id: 'slots',
          label: 'slots',
          at: [2, 2],
          count: ({ slots }) => slots.used,
          text: ({ slots }) => `${slots.used} of ${slots.total}`,
        },
        { id: 'sessions', label: 'TLS sessions', at: [0, 3], text: object('controlChannels') },
        { id: 'qps', label: 'queue pairs', at: [1, 3], text: object('qps') },
        { id: 'cqs', label: 'CQs', at: [2, 3], text: object('cqs') },
        { id: 'pds', label: 'PDs', at: [0, 4], text: object('pds') },
        { id: 'mrs', label: 'MRs', at: [1, 4], text: object('mrs') },
        { id: 'mws', label: 'windows', at: [2, 4], text: object('mws') },
      ],
      arrows: [
        { from: 'listener', to: 'handlers' },
        { from: 'handlers', to: 'device' },
        { from: 'handlers', to: 'context' },
        { from: 'handlers', to: 'slots' },
      ],
      frames: [
        { title: 'shared by all clients', of: ['device', 'slots'] },
        { title: 'of each client', of: ['sessions', 'mws'] },
      ],
    },
  },
  {
    title: '8. Errors and recovery',
    about: 'A connection that fails tries to come back, with new PSNs.',
    chart: {
      columns: 3,
      boxes: [
        {
          id: 'tls',
          label: 'TLS fails',
          at: [0, 0],
          count: refusal('certificate', 'tls', 'tls-version', 'no-tls', 'tls-broken'),
        },
        { id: 'timeout', label: 'no answer', at: [1, 0], count: counter('timeouts') },
        {
          id: 'nak',
          label: 'NAK',
          at: [2, 0],
          count: counter('sequenceNaksSent', 'sequenceNaksReceived', 'fatalNaksSent', 'fatalNaksReceived'),
        },
        { id: 'again', label: 'packets\nsent again', at: [1, 1], count: counter('retransmittedPackets') },
        { id: 'err', label: 'queue pair\nto ERR', at: [2, 1], count: step('recovering') },
        { id: 'new', label: 'new PSNs,\nnew queue pair', at: [1, 2], span: 2, count: step('recovered') },
        { id: 'refused', label: 'refused', at: [0, 3], kind: 'end', isPlain: true },
        { id: 'on', label: 'goes on', at: [1, 3], kind: 'end', isPlain: true },
        { id: 'over', label: 'clean-up', at: [2, 3], kind: 'end', count: step('slot-freed') },
      ],
      arrows: [
        {
          from: 'tls',
          to: 'refused',
          count: refusal('certificate', 'tls', 'tls-version', 'no-tls', 'tls-broken'),
        },
        { from: 'timeout', to: 'again', count: counter('retransmittedPackets') },
        { from: 'nak', to: 'again', count: counter('sequenceNaksReceived', 'sequenceNaksSent') },
        { from: 'again', to: 'err', count: step('recovering') },
        { from: 'nak', to: 'err', count: step('recovering') },
        { from: 'err', to: 'new', count: step('recovered') },
        { from: 'new', to: 'on', count: step('recovered') },
        { from: 'new', to: 'over', count: step('slot-freed') },
      ],
    },
  },
  {
    title: '9. Hot and cold path',
    about: 'How long it takes here: a median now, and averages since the dashboard is there.',
    chart: {
      columns: 2,
      boxes: [
        { id: 'poll', label: 'ibv_poll_cq', at: [0, 0], count: messagesIn },
        { id: 'work', label: 'the handler works', at: [0, 1], count: messagesIn },
        { id: 'post', label: 'ibv_post_send', at: [0, 2], count: messagesOut },
        { id: 'acknowledged', label: 'acknowledged', at: [0, 3], count: messagesOut },
        ...cold.boxes,
      ],
      arrows: [
        { from: 'poll', to: 'work' },
        { from: 'work', to: 'post' },
        { from: 'post', to: 'acknowledged', count: messagesOut, text: latency },
        { from: 'acknowledged', to: 'poll', way: 'left', count: messagesIn },
        ...cold.arrows.map((arrow, i) => ({ ...arrow, text: stepTime(COLD_TIMES[i] ?? 'rts') })),
      ],
      frames: [
        { title: 'hot: each message', of: ['poll', 'acknowledged'] },
        { title: 'cold: each connection', of: ['tls', 'rts'] },
      ],
    },
  },
];
