/** What the doctor finds: each finding has a code for programs, a sentence for people, and what to do about it. */

/** Stable: scripts decide by them. */
export const FINDING_CODES = [
  'addon-missing',
  'addon-wrong',
  'addon-slow',
  'library-missing',
  'memlock-low',
  'device-missing',
  'device-failed',
  'address-not-here',
  'udp-port-taken',
  'port-down',
  'gid-missing',
  'packets-inexact',
  'clock-wrong',
  'certificate-missing',
  'certificate-unusable',
  'certificate-expired',
  'certificate-not-yet-valid',
  'certificate-expires-soon',
  'key-mismatch',
  'name-unknown',
  'no-route',
  'tcp-filtered',
  'tcp-refused',
  'tls-failed',
  'not-queuepair',
  'server-certificate-expired',
  'server-certificate-not-yet-valid',
  'server-authority-unknown',
  'server-name-wrong',
  'own-certificate-refused',
  'refused',
  'udp-blocked',
  'udp-blocked-to-peer',
  'udp-blocked-from-peer',
  'mtu-too-large',
  'failed',
] as const;
export type FindingCode = (typeof FINDING_CODES)[number];

export interface Finding {
  /** What was looked at: `addon`, `device`, `tcp`. */
  readonly check: string;
  /** `ok`: nothing to do; `warning`: it works, with less; `problem`: it does not work; `skipped`: could not be looked at. */
  readonly level: 'ok' | 'warning' | 'problem' | 'skipped';
  /** Of warnings and problems. */
  readonly code: FindingCode | null;
  readonly text: string;
  readonly advice: string | null;
}

export const ok = (check: string, text: string): Finding => ({
  check,
  level: 'ok',
  code: null,
  text,
  advice: null,
});

export const skipped = (check: string, text: string): Finding => ({
  check,
  level: 'skipped',
  code: null,
  text,
  advice: null,
});

export const warning = (check: string, code: FindingCode, text: string, advice: string): Finding => ({
  check,
  level: 'warning',
  code,
  text,
  advice,
});

export const problem = (check: string, code: FindingCode, text: string, advice: string): Finding => ({
  check,
  level: 'problem',
  code,
  text,
  advice,
});
