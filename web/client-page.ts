/**
 * One client in detail, under `#client-3`: latencies over time, the window of PSNs, retransmissions and NAKs as they happen. What is
 * kept of all clients is a minute, so that a page that is opened has something to show.
 */
import type { ConnectionSnapshot } from '../src/observe/server-snapshot.js';
import { Chart, type Columns, push } from './charts.js';
import { factsOf, inFlight, makeStates, showState } from './clients.js';
import { byId, make, microsText, numberText, rows, setText } from './page.js';

const WINDOW_CELLS = 64;
/** Counters that say that something was sent again, or asked for again. */
const AGAIN = ['retransmittedPackets'];
const NAKS = [
  'sequenceNaksSent',
  'sequenceNaksReceived',
  'rnrNaksSent',
  'rnrNaksReceived',
  'fatalNaksSent',
  'fatalNaksReceived',
];

interface History {
  readonly latency: Columns;
  readonly window: Columns;
  again: number;
  naks: number;
}

interface Page {
  readonly id: number;
  readonly states: HTMLElement;
  readonly facts: HTMLElement;
  readonly counters: HTMLElement;
  readonly cells: HTMLElement;
  readonly where: HTMLElement;
  readonly latency: Chart;
  readonly window: Chart;
}

const histories = new Map<number, History>();
let page: Page | undefined;

export function showClientPage(at: number, connections: readonly ConnectionSnapshot[]): void {
  for (const connection of connections) remember(at / 1000, connection);
  for (const id of histories.keys())
    if (!connections.some((connection) => connection.id === id)) histories.delete(id);
  const [, wanted] = /^#client-(\d+)$/.exec(location.hash) ?? [];
  const shown = connections.find(({ id }) => id === Number(wanted));
  const section = byId('client');
  section.hidden = wanted === undefined;
  if (wanted === undefined) {
    page = undefined;
    section.replaceChildren();
  } else if (shown !== undefined) {
    if (page?.id !== shown.id) page = makePage(section, shown);
    show(page, shown);
  } else if (page === undefined) {
    section.replaceChildren(make('p', `There is no client ${wanted} (any more).`), backLink());
  }
}

function remember(at: number, pair: ConnectionSnapshot): void {
  let history = histories.get(pair.id);
  const again = sum(pair, AGAIN);
  const naks = sum(pair, NAKS);
  if (history === undefined) {
    history = { latency: [[], [], [], []], window: [[], [], [], []], again, naks };
    histories.set(pair.id, history);
  }
  const { latency } = pair;
  push(history.latency, [at, latency?.p50 ?? null, latency?.p90 ?? null, latency?.p99 ?? null]);
  push(history.window, [at, inFlight(pair), grown(again, history.again), grown(naks, history.naks)]);
  history.again = again;
  history.naks = naks;
}

/** Nothing where it did not grow; after a recovery a queue pair counts from 0. */
const grown = (now: number, before: number): number | null => (now > before ? now - before : null);

const sum = ({ counters }: ConnectionSnapshot, names: readonly string[]): number =>
  names.reduce((total, name) => total + (counters[name] ?? 0), 0);

function makePage(section: HTMLElement, { id, peer }: ConnectionSnapshot): Page {
  const title = make('h2', `client ${id}: ${peer}`);
  title.id = 'client-title';
  const states = makeStates();
  const facts = make('table');
  const cells = make('div', '', 'window');
  cells.setAttribute('role', 'img');
  cells.setAttribute('aria-label', 'the window of packet sequence numbers');
  for (let i = 0; i < WINDOW_CELLS; i++) cells.append(make('i'));
  const where = make('p', '', 'dim');
  const charts = make('div', '', 'charts');
  const [latencyBox, windowBox] = [make('div', '', 'chart'), make('div', '', 'chart')];
  const counters = make('table');
  const [left, middle, right] = [make('div'), make('div'), make('div')];
  left.append(make('h3', 'Queue pair'), facts);
  middle.append(make('h3', 'What it counts'), counters);
  right.append(make('h3', 'Window of PSNs'), cells, where);
  const columns = make('div', '', 'columns');
  columns.append(left, right, middle);
  const latencyPart = make('div');
  latencyPart.append(make('h3', 'How long the client’s device takes to acknowledge'), latencyBox);
  const windowPart = make('div');
  windowPart.append(make('h3', 'Packets under way, sent again, and NAKs'), windowBox);
  charts.append(latencyPart, windowPart);
  section.replaceChildren(title, backLink(), states, columns, charts);
  return {
    id,
    states,
    facts,
    counters,
    cells,
    where,
    latency: new Chart(
      latencyBox,
      `latencies of client ${id} over the last minute`,
      [
        { label: 'p50', colour: '--sent' },
        { label: 'p90', colour: '--received' },
        { label: 'p99', colour: '--waiting' },
      ],
      200,
      { axes: true, value: microsText },
    ),
    window: new Chart(
      windowBox,
      `packets of client ${id} under way, sent again, and NAKs over the last minute`,
      [
        { label: 'under way', colour: '--sent' },
        { label: 'sent again', colour: '--waiting', points: true },
        { label: 'NAKs', colour: '--bad', points: true },
      ],
      200,
      { axes: true, value: numberText },
    ),
  };
}

function backLink(): HTMLElement {
  const link = make('a', 'all clients');
  link.href = '#clients';
  return link;
}

function show(
  { states, facts, counters, cells, where, latency, window }: Page,
  pair: ConnectionSnapshot,
): void {
  showState(states, pair.state);
  rows(facts, factsOf(pair));
  const counted = Object.entries(pair.counters).filter(([name]) => name !== 'rxBytes' && name !== 'txBytes');
  rows(
    counters,
    counted.sort((a, b) => b[1] - a[1]).map(([name, count]) => [name, numberText(count)]),
  );
  showWindow(cells, where, pair);
  const history = histories.get(pair.id);
  if (history === undefined) return;
  latency.show(history.latency);
  window.show(history.window);
}

/** The packets around the oldest one that is not acknowledged: a quarter of the cells is behind it. */
function showWindow(cells: HTMLElement, where: HTMLElement, pair: ConnectionSnapshot): void {
  const waiting = inFlight(pair);
  const behind = WINDOW_CELLS / 4;
  const acknowledged = pair.progress?.acknowledged ?? 0;
  for (const [i, cell] of [...cells.children].entries()) {
    const past = i < behind && behind - i <= acknowledged;
    cell.className = past ? 'sent' : i >= behind && i - behind < waiting ? 'waiting' : '';
  }
  const next = pair.progress?.sent ?? 0;
  setText(
    where,
    pair.progress === null
      ? 'this device does not tell how far its queue pairs have come'
      : `oldest unacknowledged: first PSN + ${numberText(acknowledged)}; next to send: first PSN + ${numberText(next)}`,
  );
}
