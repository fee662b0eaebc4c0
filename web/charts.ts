/** Lines over time, drawn by uPlot. Each has a name for those who cannot see it; the figures stand beside it as text. */
import uPlot from 'uplot';
import { styleOf } from './page.js';

/** A minute of snapshots. */
export const POINTS = 240;

/** Columns of a chart: the times first. `null` where there was nothing. */
export type Columns = (number | null)[][];

/** Adds a row, and forgets the oldest one beyond `POINTS`. */
export function push(columns: Columns, row: readonly (number | null)[]): void {
  for (const [i, column] of columns.entries()) {
    column.push(row[i] ?? null);
    if (column.length > POINTS) column.shift();
  }
}

/** A canvas cannot resolve `light-dark()`: an element does. */
function colour(name: string): string {
  const probe = document.createElement('i');
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color || styleOf(name);
}

export interface Line {
  readonly label: string;
  /** A property of the style sheet. */
  readonly colour: string;
  readonly width?: number;
  readonly points?: boolean;
}

export class Chart {
  readonly #plot: uPlot;

  constructor(
    parent: HTMLElement,
    name: string,
    lines: readonly Line[],
    height: number,
    { axes, value }: { readonly axes: boolean; readonly value: (value: number) => string },
  ) {
    parent.setAttribute('role', 'img');
    parent.setAttribute('aria-label', name);
    const axis = { stroke: () => colour('--dim'), grid: { stroke: () => colour('--line'), width: 1 } };
    this.#plot = new uPlot(
      {
        width: Math.max(40, parent.clientWidth),
        height,
        legend: { show: axes },
        cursor: { show: axes },
        padding: axes ? [8, 8, 0, 0] : [2, 0, 2, 0],
        scales: { y: { range: (_, __, max) => [0, Math.max(max ?? 0, 1e-9)] } },
        axes: axes
          ? [axis, { ...axis, size: 70, values: (_, ticks) => ticks.map((tick) => value(tick)) }]
          : [{ show: false }, { show: false }],
        series: [
          { value: (_, at) => (at === null ? '' : new Date(at * 1000).toLocaleTimeString('en-GB')) },
          ...lines.map((line) => ({
            label: line.label,
            stroke: () => colour(line.colour),
            width: line.width ?? 1.5,
            points: { show: line.points ?? false, size: 5 },
            spanGaps: false,
            value: (_: uPlot, at: number | null) => (at === null ? '–' : value(at)),
          })),
        ],
      },
      [[], ...lines.map(() => [])] as unknown as uPlot.AlignedData,
      parent,
    );
    new ResizeObserver(() => {
      const width = Math.max(40, parent.clientWidth);
      if (width !== this.#plot.width) this.#plot.setSize({ width, height });
    }).observe(parent);
  }

  show(columns: Columns): void {
    this.#plot.setData(columns as uPlot.AlignedData);
  }
}
