/** Certificates and keys as programs have them: PEM as text or bytes, one or several. */

/** PEM, as text or as bytes of text. */
export type Pem = string | Uint8Array;
/** One PEM file, or several that are taken as one. */
export type PemSource = Pem | readonly Pem[];

/** All of it as one text. */
export function pemText(source: PemSource): string {
  if (typeof source === 'string') return source;
  if (source instanceof Uint8Array) return Buffer.from(source).toString('utf8');
  return source.map(pemText).join('\n');
}

/** What `value` must be, unless it is PEM that holds such a block. */
export function pemFault(value: unknown, block: 'CERTIFICATE' | 'PRIVATE KEY'): string | undefined {
  const wanted = `PEM with a "-----BEGIN ${block}-----" block, as text or bytes`;
  const parts: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (parts.length === 0) return wanted;
  for (const part of parts) {
    if (typeof part !== 'string' && !(part instanceof Uint8Array)) return wanted;
    if (!hasBlock(pemText(part), block)) return `${wanted} (read the file first, where this is its name)`;
  }
  return undefined;
}

/** `BEGIN EC PRIVATE KEY` and `BEGIN TRUSTED CERTIFICATE` are such blocks too. */
const hasBlock = (text: string, block: string): boolean =>
  text.split('-----').some((part) => part.startsWith('BEGIN ') && part.endsWith(block));
