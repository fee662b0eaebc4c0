/** Draws a flow as a chart of boxes and arrows, in SVG that grows with its card. Which parts are lit is decided in flows.ts. */
import type { Arrow, Box, Chart } from './flow-shapes.js';
import { svg } from './page.js';

export const WIDTH = 320;
const LINE = 13;
const PAD = 7;
const ROW_GAP = 20;
const COLUMN_GAP = 16;
const EDGE = 5;
const TITLE = 16;

/** Something on the page that can be lit, and the text beside it that changes. */
export interface Drawn {
  readonly element: SVGElement;
  readonly value: SVGElement | undefined;
}

interface Place {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
  readonly x: number;
  readonly y: number;
}

export interface DrawnChart {
  readonly picture: SVGElement;
  readonly boxes: ReadonlyMap<string, Drawn>;
  readonly arrows: readonly { readonly arrow: Arrow; readonly drawn: Drawn }[];
}

export function drawChart(title: string, { columns, boxes, arrows, frames = [] }: Chart): DrawnChart {
  const rows = rowsOf(boxes, frames.length > 0);
  const width = (WIDTH - 2 * EDGE) / columns;
  const places = new Map(boxes.map((box) => [box.id, placeOf(box, rows, width)] as const));
  const last = rows.at(-1) ?? { top: 0, height: 0 };
  const picture = pictureOf(title, last.top + last.height + EDGE + 3);
  const drawnArrows = arrows.map((arrow) => {
    const drawn = drawArrow(arrow, get(places, arrow.from), get(places, arrow.to), frames.length > 0);
    picture.append(drawn.element);
    return { arrow, drawn };
  });
  // Over the arrows, so that they do not cross out its title.
  for (const { title: name, of } of frames)
    picture.append(
      frameAround(
        name,
        of.map((id) => get(places, id)),
      ),
    );
  const drawnBoxes = new Map<string, Drawn>();
  for (const box of boxes) {
    const drawn = drawBox(box, get(places, box.id));
    picture.append(drawn.element);
    drawnBoxes.set(box.id, drawn);
  }
  return { picture, boxes: drawnBoxes, arrows: drawnArrows };
}

/** Parts of it are items of a list for those who cannot see where they stand. */
export function pictureOf(title: string, height: number): SVGElement {
  return svg('svg', {
    class: 'diagram',
    viewBox: `0 0 ${WIDTH} ${Math.ceil(height)}`,
    role: 'list',
    'aria-label': title,
  });
}

interface Row {
  readonly top: number;
  readonly height: number;
}

function rowsOf(boxes: readonly Box[], hasFrames: boolean): Row[] {
  const heights: number[] = [];
  for (const box of boxes) {
    const [, row] = box.at;
    heights[row] = Math.max(heights[row] ?? 0, heightOf(box));
  }
  let top = hasFrames ? TITLE + EDGE : EDGE;
  return [...heights].map((height = 0) => {
    const row = { top, height };
    top += height + ROW_GAP + (hasFrames ? PAD : 0);
    return row;
  });
}

const heightOf = ({ label, isPlain }: Box): number =>
  (label.split('\n').length + (isPlain === true ? 0 : 1)) * LINE + PAD;

function placeOf(box: Box, rows: readonly Row[], width: number): Place {
  const [column, row] = box.at;
  const { top, height } = rows[row] ?? { top: 0, height: 0 };
  const left = EDGE + column * width + COLUMN_GAP / 2;
  const right = EDGE + (column + (box.span ?? 1)) * width - COLUMN_GAP / 2;
  return { left, right, top, bottom: top + height, x: (left + right) / 2, y: top + height / 2 };
}

function get(places: ReadonlyMap<string, Place>, id: string): Place {
  const place = places.get(id);
  if (place === undefined) throw new Error(`the chart has no box ${id}`);
  return place;
}

function drawBox({ label, kind, isPlain }: Box, place: Place): Drawn {
  const { left, right, top, bottom, x, y } = place;
  const element = svg('g', { class: 'part box', role: 'listitem' });
  const points = `${left - 6},${y} ${left + 6},${top} ${right - 6},${top} ${right + 6},${y} ${right - 6},${bottom} ${left + 6},${bottom}`;
  const isChoice = kind === 'choice';
  const size = { x: left, y: top, width: right - left, height: bottom - top, rx: kind === 'end' ? 12 : 5 };
  element.append(isChoice ? svg('polygon', { points }) : svg('rect', size));
  const lines = label.split('\n');
  const first = y - ((lines.length + (isPlain === true ? 0 : 1)) * LINE) / 2 + 10;
  for (const [i, line] of lines.entries()) element.append(textAt(line, x, first + i * LINE));
  if (isPlain === true) return { element, value: undefined };
  const value = textAt('', x, first + lines.length * LINE, 'value');
  element.append(value);
  return { element, value };
}

export function textAt(text: string, x: number, y: number, kind = ''): SVGElement {
  const element = svg('text', { x, y, class: kind });
  element.textContent = text;
  return element;
}

function frameAround(title: string, places: readonly Place[]): SVGElement {
  const least = (of: (place: Place) => number): number => Math.min(...places.map(of));
  const most = (of: (place: Place) => number): number => Math.max(...places.map(of));
  const [x, y] = [least(({ left }) => left) - 5, least(({ top }) => top) - TITLE];
  const frame = svg('g', { class: 'frame', role: 'presentation' });
  const width = most(({ right }) => right) + 5 - x;
  frame.append(svg('rect', { x, y, width, height: most(({ bottom }) => bottom) + 4 - y, rx: 6 }));
  frame.append(textAt(title, x + 6, y + 11));
  return frame;
}

type Point = readonly [number, number];

/** Down, across, or back up along the side that it names. */
function wayOf({ way }: Arrow, from: Place, to: Place, hasFrames: boolean): readonly Point[] {
  if (way === 'left' || way === 'right') {
    const isLeft = way === 'left';
    const side = isLeft ? Math.min(from.left, to.left) - 9 : Math.max(from.right, to.right) + 9;
    const start: Point = [isLeft ? from.left : from.right, from.y];
    return [start, [side, from.y], [side, to.y], [isLeft ? to.left : to.right, to.y]];
  }
  const isAhead = from.x < to.x;
  if (way === 'between') {
    const x = (from.right + to.left) / 2;
    return [
      [from.right, from.y],
      [x, from.y],
      [x, to.y],
      [to.left, to.y],
    ];
  }
  if (way === 'loop') {
    const [x, low] = [from.right + 6, from.bottom - 6];
    return [
      [from.right, from.top + 6],
      [x, from.top + 6],
      [x, low],
      [from.right, low],
    ];
  }
  if (way === 'side')
    return [
      [isAhead ? from.right : from.left, from.y],
      [to.x, from.y],
      [to.x, to.top],
    ];
  if (from.top === to.top)
    return [
      [isAhead ? from.right : from.left, from.y],
      [isAhead ? to.left : to.right, to.y],
    ];
  if (to.top < from.top)
    return [
      [from.x, from.top],
      [to.x, to.bottom],
    ];
  if (Math.abs(from.x - to.x) < 1)
    return [
      [from.x, from.bottom],
      [to.x, to.top],
    ];
  const between = to.top - (hasFrames ? TITLE + 4 : ROW_GAP / 2);
  return [
    [from.x, from.bottom],
    [from.x, between],
    [to.x, between],
    [to.x, to.top],
  ];
}

function drawArrow(arrow: Arrow, from: Place, to: Place, hasFrames: boolean): Drawn {
  const points = wayOf(arrow, from, to, hasFrames);
  const element = svg('g', { class: 'arrow', role: 'presentation' });
  element.append(...lineTo(points));
  if (arrow.label === undefined && arrow.text === undefined) return { element, value: undefined };
  const [[x, y] = [0, 0], [nextX, nextY] = [0, 0]] = points;
  const isDown = Math.abs(nextX - x) < 1;
  const label = isDown
    ? textAt(arrow.label ?? '', x + 5, (y + nextY) / 2 + 4, 'beside')
    : textAt(arrow.label ?? '', nextX > x ? x + 8 : x - 8, y - 3, nextX > x ? 'beside' : 'before');
  element.append(label);
  return { element, value: label };
}

/** A line through the points, and its head. */
export function lineTo(points: readonly Point[]): SVGElement[] {
  const [x, y] = points.at(-1) ?? [0, 0];
  const [beforeX, beforeY] = points.at(-2) ?? [0, 0];
  const [dx, dy] = [Math.sign(Math.round(x - beforeX)), Math.sign(Math.round(y - beforeY))];
  const head = [
    [x, y],
    [x - 6 * dx - 3 * dy, y - 6 * dy - 3 * dx],
    [x - 6 * dx + 3 * dy, y - 6 * dy + 3 * dx],
  ];
  return [
    svg('polyline', { points: points.map((point) => point.join()).join(' ') }),
    svg('polygon', { points: head.map((point) => point.join()).join(' ') }),
  ];
}
