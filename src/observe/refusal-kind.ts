/** Sorts the reasons for which peers were refused into few kinds, so that they can be counted. */

/** The first that matches counts. Stable: dashboards and alarms name them. */
const KINDS = [
  ['no-slot', /^all \d+ slots/],
  ['closing', /server is closing/],
  ['deadline', /within \d+ ms/],
  ['certificate', /\bcertificate\b/],
  ['tls-version', /offers no TLS 1\.3/],
  ['overload', /too many/],
  ['no-tls', /does not speak TLS|does not speak queuepair/],
  ['protocol', /broke the session protocol/],
  ['hung-up', /hung up|hangs up|closed the session|dropped the connection|said bye/],
  ['resumption', /session could take up/],
] as const;

export type RefusalKind = (typeof KINDS)[number][0] | 'other';

export const REFUSAL_KINDS: readonly RefusalKind[] = [...KINDS.map(([kind]) => kind), 'other'];

export const refusalKind = (reason: string): RefusalKind =>
  KINDS.find(([, pattern]) => pattern.test(reason))?.[0] ?? 'other';
