/** The message in which a client of the demo says which file comes next. */

const PATTERN = /^the file (\S+) of (\d+) bytes comes next$/;
const MAX_BYTES = 200;

export const writeAnnouncement = (name: string, bytes: number): string =>
  `the file ${name} of ${bytes} bytes comes next`;

/** `undefined` when the message is none. */
export function readAnnouncement(data: Uint8Array): { name: string; bytes: number } | undefined {
  if (data.length > MAX_BYTES) return undefined;
  const [, name, bytes] = PATTERN.exec(Buffer.from(data).toString()) ?? [];
  return name === undefined ? undefined : { name, bytes: Number(bytes) };
}
