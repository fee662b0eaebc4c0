/** Numbers as people read them. */

export function formatBytes(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  const units = ['KiB', 'MiB', 'GiB'];
  let value = bytes / 1024;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  const digits = value >= 100 || Number.isInteger(value) ? 0 : 1;
  return `${value.toFixed(digits)} ${units[unit]}`;
}

export function formatMillis(millis: number): string {
  if (millis < 10) return `${millis.toFixed(2)} ms`;
  if (millis < 1000) return `${millis.toFixed(0)} ms`;
  return `${(millis / 1000).toFixed(2)} s`;
}

/** 24-bit numbers of the wire: QPNs and PSNs. */
export const formatHex24 = (value: number): string => `0x${value.toString(16).padStart(6, '0')}`;

export const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

/** Enough of a hash for the eye. */
export const shortHash = (sha256: string): string => `${sha256.slice(0, 12)}…`;
