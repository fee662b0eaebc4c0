/**
 * Whether JSON names something twice. `JSON.parse` keeps the last of two and other parsers the first, so that two
 * readers of one frame could see different frames.
 */

/** `text` is valid JSON, and `value` what it parses to. */
export const hasUniqueKeys = (text: string, value: unknown): boolean =>
  countColons(text) === countKeys(value);

/** Each member of an object has one colon outside of strings, and nothing else has any. */
function countColons(text: string): number {
  let colons = 0;
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const char = text[i];
    if (inString && char === '\\') i++;
    else if (char === '"') inString = !inString;
    else if (char === ':' && !inString) colons++;
  }
  return colons;
}

/** Frames are small, and so is the depth of what fits into one. */
function countKeys(value: unknown): number {
  let keys = 0;
  const open: unknown[] = [value];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (typeof next !== 'object' || next === null) continue;
    if (!Array.isArray(next)) keys += Object.keys(next).length;
    for (const inner of Object.values(next)) open.push(inner);
  }
  return keys;
}
