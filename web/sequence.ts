/** Draws a flow between several parties: a line down for each, and what passes between them in its order. */
import { type Drawn, lineTo, pictureOf, textAt, WIDTH } from './diagram.js';
import type { Message, Sequence } from './flow-shapes.js';
import { svg } from './page.js';

const HEAD = 24;
const STEP = 32;
const EDGE = 36;

export interface DrawnSequence {
  readonly picture: SVGElement;
  readonly messages: readonly { readonly message: Message; readonly drawn: Drawn }[];
}

export function drawSequence(title: string, { parties, messages }: Sequence): DrawnSequence {
  const height = HEAD + messages.length * STEP + 14;
  const picture = pictureOf(title, height);
  const at = new Map(
    parties.map(
      (party, i) => [party, EDGE + (i * (WIDTH - 2 * EDGE)) / Math.max(1, parties.length - 1)] as const,
    ),
  );
  for (const [party, x] of at) {
    const line = svg('g', { class: 'party', role: 'presentation' });
    line.append(svg('line', { x1: x, x2: x, y1: HEAD - 4, y2: height - 4 }));
    line.append(svg('rect', { x: x - 32, y: 2, width: 64, height: 18, rx: 4 }), textAt(party, x, 15));
    picture.append(line);
  }
  const drawn = messages.map((message, i) => {
    const y = HEAD + (i + 1) * STEP - 6;
    const shown = drawMessage(message, at.get(message.from) ?? 0, at.get(message.to) ?? 0, y);
    picture.append(shown.element);
    return { message, drawn: shown };
  });
  return { picture, messages: drawn };
}

function drawMessage({ label, from, to }: Message, x: number, end: number, y: number): Drawn {
  const element = svg('g', {
    class: 'part message',
    role: 'listitem',
    'aria-label': `${from} to ${to}: ${label}`,
  });
  const middle = (x + end) / 2;
  const width = label.length * 6 + 10;
  const left = Math.max(1, Math.min(middle - width / 2, WIDTH - width - 1));
  element.append(svg('rect', { x: left, y: y - 17, width, height: 14, rx: 3 }));
  element.append(textAt(label, left + width / 2, y - 6));
  element.append(
    ...lineTo([
      [x, y],
      [end, y],
    ]),
  );
  return { element, value: undefined };
}
