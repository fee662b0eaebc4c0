/**
 * What runs in the browser. Texts enter the page as text only, never as markup: some of them come from peers.
 */
export const DASHBOARD_SCRIPT = String.raw`
'use strict';
const STATES = ['RESET', 'INIT', 'RTR', 'RTS', 'SQD', 'SQE', 'ERR'];
const USUAL = ['INIT', 'RTR', 'RTS'];
const TURN = 4096;
const POINTS = 240;
const KINDS = { pds: 'protection domains', mrs: 'memory regions', mws: 'memory windows', cqs: 'completion queues',
  channels: 'completion channels', qps: 'queue pairs', srqs: 'shared receive queues', ahs: 'address handles',
  cmIds: 'rdma_cm connections',
  slots: 'slots', controlChannels: 'TLS sessions' };
const byId = (id) => document.getElementById(id);
const cards = new Map();
/** Of circles. */
const lengths = new Map();
const lines = { bytes: [], packets: [], messages: [], drops: [] };
let before;

const number = (value) => Math.round(value).toLocaleString('en-US').replaceAll(',', '\u202f');
function bytesText(value) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) { value /= 1024; unit++; }
  return value.toFixed(unit === 0 || value >= 100 ? 0 : 1) + ' ' + units[unit];
}
function make(tag, text, className) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
}
function svg(tag, attributes) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}
function rows(table, entries) {
  table.replaceChildren(...entries.map(([name, value]) => {
    const row = make('tr');
    row.append(make('td', name), make('td', value));
    return row;
  }));
  if (entries.length === 0) table.append(make('td', 'none so far', 'dim'));
}
function drawLine(name, value) {
  const points = lines[name];
  points.push(value);
  if (points.length > POINTS) points.shift();
  const canvas = byId(name + '-line');
  const scale = window.devicePixelRatio || 1;
  const width = canvas.width = canvas.clientWidth * scale;
  const height = canvas.height = canvas.clientHeight * scale;
  const context = canvas.getContext('2d');
  const top = Math.max(...points, 1e-9);
  const style = getComputedStyle(document.documentElement);
  context.strokeStyle = style.getPropertyValue(name === 'drops' ? '--waiting' : '--sent');
  context.lineWidth = 1.5 * scale;
  context.beginPath();
  points.forEach((point, i) => {
    const x = width - (points.length - 1 - i) * (width / (POINTS - 1));
    const y = height - 2 * scale - (point / top) * (height - 4 * scale);
    if (i === 0) context.moveTo(x, y); else context.lineTo(x, y);
  });
  context.stroke();
}

function makeCard(id) {
  const card = make('div', undefined, 'card pair');
  const head = make('h3');
  const title = make('div', 'client ' + id);
  const peer = make('span', '', 'dim');
  head.append(title, peer);
  const states = make('div', undefined, 'states');
  for (const state of STATES) states.append(make('b', state, state));
  const table = make('table');
  const ring = svg('svg', { class: 'ring', viewBox: '0 0 112 112' });
  const arcs = {};
  for (const [name, r, kind] of [['sentGround', 48, 'ground'], ['waiting', 48, 'waiting'], ['sent', 48, 'sent'],
    ['receivedGround', 35, 'ground'], ['received', 35, 'received']]) {
    arcs[name] = svg('circle', { cx: 56, cy: 56, r, class: kind });
    lengths.set(arcs[name], 2 * Math.PI * r);
    ring.append(arcs[name]);
  }
  const turns = svg('text', { x: 56, y: 60 });
  ring.append(turns);
  card.append(head, states, table, ring);
  byId('pairs').append(card);
  return { card, peer, states, table, ring, arcs, turns };
}
/** From one share of a turn to another, also over the top. */
function arc(circle, from, packets) {
  const share = Math.min(1, packets / TURN);
  circle.style.strokeDasharray = share * lengths.get(circle) + ' ' + (1 - share) * lengths.get(circle);
  circle.style.strokeDashoffset = -(from % TURN) / TURN * lengths.get(circle);
  circle.style.opacity = packets > 0 ? 1 : 0;
}
function showPair(pair) {
  if (!cards.has(pair.id)) cards.set(pair.id, makeCard(pair.id));
  const { peer, states, table, ring, arcs, turns } = cards.get(pair.id);
  peer.textContent = pair.peer;
  peer.title = pair.peer;
  const passed = USUAL.indexOf(pair.state);
  for (const badge of states.children) {
    const name = badge.textContent;
    badge.className = name + (name === pair.state ? ' now' : USUAL.includes(name) && USUAL.indexOf(name) < passed ? ' passed' : '');
  }
  const progress = pair.progress;
  ring.style.visibility = progress ? 'visible' : 'hidden';
  const entries = [['queue pair', '0x' + pair.qpn.toString(16).padStart(6, '0')]];
  if (progress) {
    const waiting = (progress.sent - progress.acknowledged) & 0xffffff;
    arc(arcs.sent, 0, progress.acknowledged % TURN);
    arc(arcs.waiting, progress.acknowledged, waiting);
    arc(arcs.received, 0, progress.received % TURN);
    turns.textContent = number((progress.sent + progress.received) / TURN) + ' turns';
    entries.push(['packets sent', number(progress.sent)], ['unacknowledged', number(waiting)],
      ['packets received', number(progress.received)]);
  }
  entries.push(['messages in, out', number(pair.messagesIn) + ', ' + number(pair.messagesOut)]);
  if (pair.recoveries > 0) entries.push(['recoveries', number(pair.recoveries)]);
  if (pair.encrypted) entries.push(['payload', 'AES-256-GCM']);
  rows(table, entries);
}

function dropsOf(counters) {
  return Object.entries(counters).filter(([name]) => name.startsWith('drop_')).map(([name, count]) => [name.slice(5), count]);
}
function totals({ counters, connections }) {
  const sum = (pick) => connections.reduce((total, connection) => total + pick(connection), 0);
  return {
    bytes: (counters.rxBytes || 0) + (counters.txBytes || 0),
    packets: (counters.rxPackets || 0) + (counters.txPackets || 0),
    messages: sum(({ messagesIn, messagesOut }) => messagesIn + messagesOut),
    drops: dropsOf(counters).reduce((total, [, count]) => total + count, 0),
  };
}
function show(snapshot) {
  document.body.classList.remove('lost');
  const { slots, counters, objects, connections } = snapshot;
  byId('about').textContent = snapshot.address + ', device ' + snapshot.device;
  byId('target').textContent = snapshot.address;
  byId('clients').textContent = slots.used + ' of ' + slots.total;
  byId('slots').replaceChildren(...Array.from({ length: Math.min(slots.total, 100) }, (_, i) => make('i', undefined, i < slots.used ? 'used' : '')));
  const now = totals(snapshot);
  if (before) {
    const seconds = Math.max(0.05, (snapshot.at - before.at) / 1000);
    const rate = (name) => Math.max(0, now[name] - before[name]) / seconds;
    byId('bytes').textContent = bytesText(rate('bytes')) + '/s';
    byId('packets').textContent = number(rate('packets')) + ' /s';
    byId('messages').textContent = number(rate('messages')) + ' /s';
    for (const name of Object.keys(lines)) drawLine(name, rate(name));
  }
  byId('drops').textContent = number(now.drops);
  before = { ...now, at: snapshot.at };
  connections.forEach(showPair);
  for (const [id, { card }] of cards) {
    if (connections.some((connection) => connection.id === id)) continue;
    card.remove();
    cards.delete(id);
  }
  byId('nobody').hidden = connections.length > 0;
  const largest = (entries) => entries.sort((a, b) => b[1] - a[1]).map(([name, count]) => [name, number(count)]);
  rows(byId('reasons'), largest(dropsOf(counters)));
  rows(byId('counters'), largest(Object.entries(counters).filter(([name]) => !name.startsWith('drop_'))));
  rows(byId('objects'), Object.entries(objects).map(([kind, count]) => [KINDS[kind] || kind, number(count)]));
}
function tell(news) {
  const list = byId('news');
  for (const { at, kind, text } of news) {
    const item = make('li', undefined, kind);
    item.append(make('time', new Date(at).toLocaleTimeString('en-GB')), text);
    list.prepend(item);
  }
  while (list.children.length > 50) list.lastChild.remove();
}

const source = new EventSource('/events');
source.addEventListener('open', () => byId('news').replaceChildren());
source.addEventListener('snapshot', ({ data }) => show(JSON.parse(data)));
source.addEventListener('news', ({ data }) => tell(JSON.parse(data)));
source.addEventListener('error', () => document.body.classList.add('lost'));
`;
