/**
 * What the commands write to standard output: with --json one object a line and nothing else, without it lines for
 * people. Colours only where somebody sees them: on a terminal, and not against NO_COLOR.
 */

export interface JsonEvent {
  readonly event: string;
  readonly [key: string]: unknown;
}

type Paint = (text: string) => string;

export interface Style {
  readonly bold: Paint;
  readonly dim: Paint;
  readonly red: Paint;
  readonly green: Paint;
  readonly yellow: Paint;
  readonly cyan: Paint;
  /** One colour for each client, so that the eye can follow it. */
  readonly client: (number: number, text: string) => string;
}

export interface Output {
  readonly json: boolean;
  readonly style: Style;
  /** Written with --json only. */
  event(event: JsonEvent): void;
  /** Written without --json only. */
  line(text?: string): void;
}

export function createOutput(json: boolean, stream: NodeJS.WriteStream = process.stdout): Output {
  const style = createStyle(!json && coloured(stream));
  const write = (text: string): void => void stream.write(`${text}\n`);
  return {
    json,
    style,
    event: (event) => {
      if (json) write(JSON.stringify(event));
    },
    line: (text = '') => {
      if (!json) write(text);
    },
  };
}

/** See no-color.org: any value that is not empty counts. */
function coloured(stream: NodeJS.WriteStream): boolean {
  const { NO_COLOR: noColor, TERM: term } = process.env;
  return stream.isTTY === true && (noColor === undefined || noColor === '') && term !== 'dumb';
}

const CLIENT_COLOURS = [36, 35, 33, 32, 34, 96, 95, 93, 92, 94];

export function createStyle(enabled: boolean): Style {
  const paint =
    (on: number, off: number): Paint =>
    (text) =>
      enabled ? `\x1b[${on}m${text}\x1b[${off}m` : text;
  return {
    bold: paint(1, 22),
    dim: paint(2, 22),
    red: paint(31, 39),
    green: paint(32, 39),
    yellow: paint(33, 39),
    cyan: paint(36, 39),
    client: (number, text) => paint(CLIENT_COLOURS[(number - 1) % CLIENT_COLOURS.length] ?? 36, 39)(text),
  };
}
