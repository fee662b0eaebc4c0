/** A card for each client: the state of its queue pair, and how far both directions have come. */
import type { ConnectionSnapshot } from '../src/observe/server-snapshot.js';
import { order } from './controls.js';
import { byId, make, microsText, numberText, rows, setText, svg } from './page.js';

const STATES = ['RESET', 'INIT', 'RTR', 'RTS', 'SQD', 'SQE', 'ERR'];
const USUAL = ['INIT', 'RTR', 'RTS'];
/** Packets of one turn of the ring. */
const TURN = 4096;
const PSN_MASK = 0xffffff;

interface Arc {
  readonly circle: SVGElement;
  readonly length: number;
}

interface Card {
  readonly card: HTMLElement;
  readonly peer: HTMLElement;
  readonly states: HTMLElement;
  readonly table: HTMLElement;
  readonly disconnect: HTMLElement;
  readonly ring: SVGElement;
  readonly arcs: Readonly<Record<'sent' | 'waiting' | 'received', Arc>>;
  readonly turns: SVGElement;
}

const cards = new Map<number, Card>();

export function showClients(connections: readonly ConnectionSnapshot[], canControl: boolean): void {
  for (const connection of connections) showClient(connection, canControl);
  for (const [id, { card }] of cards) {
    if (connections.some((connection) => connection.id === id)) continue;
    card.remove();
    cards.delete(id);
  }
  byId('nobody').hidden = connections.length > 0;
}

/** Packets that were sent and wait for their acknowledgement. */
export const inFlight = ({ progress }: ConnectionSnapshot): number =>
  progress === null ? 0 : (progress.sent - progress.acknowledged) & PSN_MASK;

function showClient(pair: ConnectionSnapshot, canControl: boolean): void {
  let card = cards.get(pair.id);
  if (card === undefined) {
    card = makeCard(pair.id);
    cards.set(pair.id, card);
    byId('pairs').append(card.card);
  }
  setText(card.peer, pair.peer);
  card.peer.title = pair.peer;
  card.disconnect.hidden = !canControl;
  showState(card.states, pair.state);
  showRing(card, pair);
  rows(card.table, factsOf(pair));
}

export function makeStates(): HTMLElement {
  const states = make('ol', '', 'states');
  states.setAttribute('aria-label', 'States of the queue pair');
  for (const state of STATES) states.append(make('li', state));
  return states;
}

/** The state that is lit is the current one for those who cannot see it, too. */
export function showState(states: HTMLElement, now: string): void {
  const passed = USUAL.indexOf(now);
  for (const badge of states.children) {
    const name = badge.textContent ?? '';
    const isPassed = USUAL.includes(name) && USUAL.indexOf(name) < passed;
    badge.className = name === 'ERR' ? 'err' : isPassed ? 'passed' : '';
    if (name === now) badge.setAttribute('aria-current', 'step');
    else badge.removeAttribute('aria-current');
  }
}

export function factsOf(pair: ConnectionSnapshot): [string, string][] {
  const entries: [string, string][] = [['queue pair', `0x${pair.qpn.toString(16).padStart(6, '0')}`]];
  if (pair.progress !== null) {
    entries.push(
      ['packets sent', numberText(pair.progress.sent)],
      ['unacknowledged', numberText(inFlight(pair))],
      ['packets received', numberText(pair.progress.received)],
    );
  }
  entries.push(['messages in, out', `${numberText(pair.messagesIn)}, ${numberText(pair.messagesOut)}`]);
  if (pair.latency !== null)
    entries.push(['latency p50, p99', `${microsText(pair.latency.p50)}, ${microsText(pair.latency.p99)}`]);
  if (pair.recoveries > 0) entries.push(['recoveries', numberText(pair.recoveries)]);
  if (pair.encrypted) entries.push(['payload', 'AES-256-GCM']);
  return entries;
}

function makeCard(id: number): Card {
  const card = make('article', '', 'card pair');
  const head = make('h3');
  const link = make('a', `client ${id}`);
  link.href = `#client-${id}`;
  const peer = make('span', '', 'dim');
  head.append(link, peer);
  const states = makeStates();
  const table = make('table');
  const ring = svg('svg', {
    class: 'ring',
    viewBox: '0 0 112 112',
    role: 'img',
    'aria-label': `progress of client ${id}`,
  });
  arc(ring, 48, 'ground');
  const waiting = arc(ring, 48, 'waiting');
  const sent = arc(ring, 48, 'sent');
  arc(ring, 35, 'ground');
  const received = arc(ring, 35, 'received');
  const turns = svg('text', { x: 56, y: 60 });
  ring.append(turns);
  const disconnect = make('button', 'Disconnect');
  disconnect.setAttribute('aria-label', `Disconnect client ${id}`);
  disconnect.addEventListener('click', () => void order({ action: 'disconnect', connection: id }));
  const actions = make('div', '', 'actions');
  actions.append(disconnect);
  card.append(head, states, table, ring, actions);
  return { card, peer, states, table, disconnect, ring, arcs: { sent, waiting, received }, turns };
}

function arc(ring: SVGElement, r: number, kind: string): Arc {
  const circle = svg('circle', { cx: 56, cy: 56, r, class: kind });
  ring.append(circle);
  return { circle, length: 2 * Math.PI * r };
}

function showRing({ ring, arcs, turns }: Card, pair: ConnectionSnapshot): void {
  const { progress } = pair;
  ring.style.visibility = progress === null ? 'hidden' : 'visible';
  if (progress === null) return;
  turn(arcs.sent, 0, progress.acknowledged % TURN);
  turn(arcs.waiting, progress.acknowledged, inFlight(pair));
  turn(arcs.received, 0, progress.received % TURN);
  setText(turns, `${numberText((progress.sent + progress.received) / TURN)} turns`);
}

/** From one share of a turn to another, also over the top. */
function turn({ circle, length }: Arc, from: number, packets: number): void {
  const share = Math.min(1, packets / TURN);
  circle.style.strokeDasharray = `${share * length} ${(1 - share) * length}`;
  circle.style.strokeDashoffset = String((-(from % TURN) / TURN) * length);
  circle.style.opacity = packets > 0 ? '1' : '0';
}
