/** The dashboard: asks its server for snapshots and news, and shows them. */
import type { ServerSnapshot } from '../src/observe/server-snapshot.js';
import { Chart, type Columns, push } from './charts.js';
import { showClientPage } from './client-page.js';
import { showClients } from './clients.js';
import { prepareControls, showControls } from './controls.js';
import { makeFlows, showFlows } from './flows.js';
import { byId, bytesText, make, numberText, rows, setText } from './page.js';

const MAX_NEWS = 20;
const MAX_SLOTS_SHOWN = 100;
const KINDS: Readonly<Record<string, string>> = {
  pds: 'protection domains',
  mrs: 'memory regions',
  mws: 'memory windows',
  cqs: 'completion queues',
  channels: 'completion channels',
  qps: 'queue pairs',
  srqs: 'shared receive queues',
  ahs: 'address handles',
  cmIds: 'rdma_cm connections',
  slots: 'slots',
  controlChannels: 'TLS sessions',
};

interface News {
  readonly at: number;
  readonly kind: string;
  readonly text: string;
}

interface Totals {
  readonly bytes: number;
  readonly packets: number;
  readonly messages: number;
  readonly drops: number;
}

const RATES = ['bytes', 'packets', 'messages', 'drops'] as const;

const charts = new Map<string, Chart>();
const columns = new Map<string, Columns>();
let before: (Totals & { readonly at: number }) | undefined;

prepareControls();
makeFlows();
for (const name of RATES) {
  const colour = name === 'drops' ? '--waiting' : '--sent';
  const line = [{ label: name, colour }];
  const chart = new Chart(byId(`${name}-line`), `${name} a second, over the last minute`, line, 34, {
    axes: false,
    value: numberText,
  });
  charts.set(name, chart);
  columns.set(name, [[], []]);
}

const source = new EventSource('events');
source.addEventListener('open', () => byId('news').replaceChildren());
source.addEventListener('snapshot', ({ data }) => show(JSON.parse(data) as ServerSnapshot));
source.addEventListener('news', ({ data }) => tell(JSON.parse(data) as News[]));
source.addEventListener('error', () => {
  document.body.classList.add('lost');
  setText(byId('lost'), 'the server does not answer any more');
});

function show(snapshot: ServerSnapshot): void {
  document.body.classList.remove('lost');
  setText(byId('lost'), '');
  setText(byId('about'), `${snapshot.address}, device ${snapshot.device}`);
  setText(byId('target'), snapshot.address);
  showSlots(snapshot.slots);
  showRates(snapshot);
  showControls(snapshot);
  showClients(snapshot.connections, snapshot.canControl);
  showClientPage(snapshot.at, snapshot.connections);
  showFlows(snapshot);
  const { counters, objects } = snapshot;
  rows(byId('reasons'), largest(dropsOf(counters)));
  rows(byId('counters'), largest(Object.entries(counters).filter(([name]) => !name.startsWith('drop_'))));
  rows(
    byId('objects'),
    Object.entries(objects).map(([kind, count]) => [KINDS[kind] ?? kind, numberText(count)]),
  );
}

function showSlots({ used, total }: ServerSnapshot['slots']): void {
  setText(byId('slots-used'), `${used} of ${total}`);
  const slots = byId('slots');
  const count = Math.min(total, MAX_SLOTS_SHOWN);
  while (slots.children.length < count) slots.append(make('i'));
  for (const [i, slot] of [...slots.children].entries()) slot.className = i < used ? 'used' : '';
}

function showRates(snapshot: ServerSnapshot): void {
  const now = totalsOf(snapshot);
  setText(byId('drops'), numberText(now.drops));
  if (before !== undefined) {
    const seconds = Math.max(0.05, (snapshot.at - before.at) / 1000);
    for (const name of RATES) {
      const rate = Math.max(0, now[name] - before[name]) / seconds;
      const column = columns.get(name) ?? [[], []];
      push(column, [snapshot.at / 1000, rate]);
      charts.get(name)?.show(column);
      if (name !== 'drops')
        setText(byId(name), name === 'bytes' ? `${bytesText(rate)}/s` : `${numberText(rate)} /s`);
    }
  }
  before = { ...now, at: snapshot.at };
}

function totalsOf({ counters, connections }: ServerSnapshot): Totals {
  return {
    bytes: (counters['rxBytes'] ?? 0) + (counters['txBytes'] ?? 0),
    packets: (counters['rxPackets'] ?? 0) + (counters['txPackets'] ?? 0),
    messages: connections.reduce((total, { messagesIn, messagesOut }) => total + messagesIn + messagesOut, 0),
    drops: dropsOf(counters).reduce((total, [, count]) => total + count, 0),
  };
}

const dropsOf = (counters: Readonly<Record<string, number>>): [string, number][] =>
  Object.entries(counters)
    .filter(([name]) => name.startsWith('drop_'))
    .map(([name, count]) => [name.slice('drop_'.length), count]);

const largest = (entries: [string, number][]): [string, string][] =>
  entries.sort((a, b) => b[1] - a[1]).map(([name, count]) => [name, numberText(count)]);

function tell(news: readonly News[]): void {
  const list = byId('news');
  for (const { at, kind, text } of news) {
    const item = make('li', '', kind);
    item.append(make('time', new Date(at).toLocaleTimeString('en-GB')), text);
    list.prepend(item);
  }
  while (list.children.length > MAX_NEWS) list.lastElementChild?.remove();
}
