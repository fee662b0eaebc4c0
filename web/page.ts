/** Making and finding elements. Texts enter the page as text only, never as markup: some of them come from peers. */

export function byId(id: string): HTMLElement {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`the page has no #${id}`);
  return element;
}

export function make<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  text = '',
  className = '',
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  if (text !== '') element.textContent = text;
  if (className !== '') element.className = className;
  return element;
}

export function svg(tag: string, attributes: Readonly<Record<string, string | number>>): SVGElement {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  return element;
}

/** Writes only what changed, so that a selection and a screen reader are left alone. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

export function rows(table: Element, entries: readonly (readonly [string, string])[]): void {
  const shown = entries.length === 0 ? [['none so far', ''] as const] : entries;
  while (table.children.length > shown.length) table.lastElementChild?.remove();
  for (const [i, [name, value]] of shown.entries()) {
    let row = table.children[i];
    if (row === undefined) {
      const head = make('th');
      head.scope = 'row';
      row = make('tr');
      row.append(head, make('td'));
      table.append(row);
    }
    setText(row.children[0] as Element, name);
    setText(row.children[1] as Element, value);
  }
}

/** With thin spaces between thousands. */
export const numberText = (value: number): string =>
  Math.round(value).toLocaleString('en-US').replaceAll(',', '\u202f');

export function bytesText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value.toFixed(unit === 0 || value >= 100 ? 0 : 1)} ${units[unit]}`;
}

export function microsText(micros: number): string {
  if (micros < 1000) return `${Math.round(micros)} µs`;
  return micros < 100_000 ? `${(micros / 1000).toFixed(1)} ms` : `${Math.round(micros / 1000)} ms`;
}

export const styleOf = (name: string): string =>
  getComputedStyle(document.documentElement).getPropertyValue(name).trim();
