/** The flows on the page. A part is lit for a moment when it ran; for those who cannot see it, it is the current step. */
import type { ServerSnapshot } from '../src/observe/server-snapshot.js';
import { type Drawn, drawChart } from './diagram.js';
import { FLOWS } from './flow-list.js';
import type { Flow, Part } from './flow-shapes.js';
import { byId, make, numberText, setText } from './page.js';
import { drawSequence } from './sequence.js';

const LIT_MILLIS = 1500;

interface Shown extends Drawn {
  readonly part: Part;
  /** An arrow: nothing is said of it but where it leads. */
  readonly isArrow: boolean;
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

function makeFlow({ title, about, chart, sequence }: Flow): HTMLElement {
  const card = make('article', '', 'card flow');
  card.append(make('h3', title), make('p', about, 'dim'));
  if (chart !== undefined) {
    const { picture, boxes, arrows } = drawChart(title, chart);
    card.append(picture);
    const parts = new Map(chart.boxes.map((box) => [box.id, box] as const));
    for (const { arrow, drawn } of arrows) {
      // It ran when what it leads to ran.
      const count = arrow.count ?? parts.get(arrow.to)?.count;
      watch({ ...arrow, ...(count === undefined ? {} : { count }) }, drawn, true);
    }
    for (const [id, drawn] of boxes) watch(parts.get(id) ?? {}, drawn, false);
  }
  if (sequence !== undefined) {
    const { picture, messages } = drawSequence(title, sequence);
    card.append(picture);
    for (const { message, drawn } of messages) watch(message, drawn, false);
  }
  return card;
}

function watch(part: Part, drawn: Drawn, isArrow: boolean): void {
  shown.push({ ...drawn, part, isArrow, count: undefined, litUntil: 0 });
}

function showPart(one: Shown, snapshot: ServerSnapshot, now: number): void {
  const { part, element, value, isArrow } = one;
  const count = part.count?.(snapshot);
  // What ran before the page was opened is not news.
  if (count !== undefined && one.count !== undefined && count > one.count) one.litUntil = now + LIT_MILLIS;
  one.count = count;
  const isLit = now < one.litUntil;
  element.classList.toggle('done', count === undefined || count > 0);
  element.classList.toggle('lit', isLit);
  if (isLit && !isArrow) element.setAttribute('aria-current', 'step');
  else element.removeAttribute('aria-current');
  if (value === undefined) return;
  const text = part.text?.(snapshot);
  if (text !== undefined) setText(value, text);
  else if (!isArrow) setText(value, count === undefined ? '✓' : numberText(count));
}
