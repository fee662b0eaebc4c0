/** Texts in fixed fields: ASCII, filled up with zeros (names) or spaces (serial number, model, firmware). */

const SPACE = 0x20;
const LAST_PRINTABLE = 0x7e;
/** Of the specification; a field has 256 bytes. */
export const MAX_NQN_BYTES = 223;
export const NQN_FIELD_BYTES = 256;

/** The name in a field, or `undefined` where it is no name: too long, without end, or of characters that people cannot see. */
export function readNqn(bytes: Uint8Array, at: number): string | undefined {
  let text = '';
  for (let i = at; i < at + NQN_FIELD_BYTES; i++) {
    const code = bytes[i] ?? 0;
    if (code === 0) return text.length > 0 ? text : undefined;
    if (code <= SPACE || code > LAST_PRINTABLE || text.length === MAX_NQN_BYTES) return undefined;
    text += String.fromCharCode(code);
  }
  return undefined;
}

export function writeText(bytes: Uint8Array, at: number, length: number, text: string, fill = 0): void {
  for (let i = 0; i < length; i++) bytes[at + i] = i < text.length ? text.charCodeAt(i) & 0x7f : fill;
}

export const writePaddedText = (bytes: Uint8Array, at: number, length: number, text: string): void =>
  writeText(bytes, at, length, text, SPACE);

export const isNqn = (text: string): boolean =>
  /^nqn\.[\x21-\x7e]+$/.test(text) && text.length <= MAX_NQN_BYTES;
