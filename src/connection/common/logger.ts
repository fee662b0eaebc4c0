/** The logger that programs may give: what pino, bunyan and their like have, with an object before the text. */

export interface Logger {
  debug(fields: object, text: string): void;
  info(fields: object, text: string): void;
  warn(fields: object, text: string): void;
  error(fields: object, text: string): void;
}
