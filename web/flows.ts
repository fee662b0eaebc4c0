/** The flows on the page. A part is lit for a moment when it ran; for those who cannot see it, it is the current step. */
import type { ServerSnapshot } from '../src/observe/server-snapshot.js';
import { FLOWS, type Flow, type Group, type Part } from './flow-list.js';
import { byId, make, numberText, setText } from './page.js';

const LIT_MILLIS = 1500;

interface Shown {
  readonly part: Part;
  readonly item: HTMLElement;
  readonly value: HTMLElement;
  count: number | undefined;
  litUntil: number;
}

const shown: Shown[] = [];

export function makeFlows(): void {
  byId('flow-list').replaceChildren(...FLOWS.map(makeFlow));
}

export function showFlows(snapshot: ServerSnapshot): void {
  const now = performance.now();
  for (const one of shown) showPart(one, snapshot, now);
}

function makeFlow({ title, about, groups }: Flow): HTMLElement {
  const card = make('article', '', 'card flow');
  card.append(make('h3', title), make('p', about, 'dim'), ...groups.flatMap(makeGroup));
  return card;
}

function makeGroup({ title, unordered, parts }: Group): HTMLElement[] {
  const list = make('ol', '', unordered === true ? 'parts' : '');
  list.append(...parts.map(makePart));
  return title === undefined ? [list] : [make('h4', title), list];
}

function makePart(part: Part): HTMLElement {
  const item = make('li', '', part.from === undefined ? '' : `from-${part.from}`);
  const value = make('span', '');
  item.append(make('span', part.label), value);
  shown.push({ part, item, value, count: undefined, litUntil: 0 });
  return item;
}

function showPart(one: Shown, snapshot: ServerSnapshot, now: number): void {
  const { part, item, value } = one;
  const count = part.count?.(snapshot);
  // What ran before the page was opened is not news.
  if (count !== undefined && one.count !== undefined && count > one.count) one.litUntil = now + LIT_MILLIS;
  one.count = count;
  item.classList.toggle('done', count === undefined || count > 0);
  if (now < one.litUntil) item.setAttribute('aria-current', 'step');
  else item.removeAttribute('aria-current');
  setText(value, part.text?.(snapshot) ?? (count === undefined ? '✓' : numberText(count)));
}
