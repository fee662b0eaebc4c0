/**
 * Text that a peer wrote, made fit for a message or a log line: no control, formatting or line-breaking characters
 * (terminal escapes, bidirectional overrides), no lone surrogates, and a bounded length.
 */

const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}\s]+/gu;

/** Runs of unprintable characters become one space; more than `maxChars` characters end in an ellipsis. */
export function cleanText(text: string, maxChars: number): string {
  const clean = text.replace(UNPRINTABLE, ' ').trim();
  if (clean.length <= maxChars) return clean;
  return `${clean.slice(0, maxChars - 1).replace(/[\ud800-\udbff]$/, '')}…`;
}
