/**
 * What options may be, checked when they are given: one sentence that names the option and says what it must be. An
 * option that does not exist is refused, because a typo in `clientCa` would turn client authentication off.
 *
 * Invariant: nothing but names, kinds and short numbers of what was given is repeated: it may be a key.
 */
import type { AdmissionLimits } from '../session/connect-gate.js';
import { usageError } from '../verbs/errors.js';
import type { ClientTerms } from './client-terms.js';
import type { ConnectOptions } from './connect-options.js';
import type { ListenOptions } from './listen-options.js';
import type { CommonOptions, MemoryRights } from './options.js';
import type { ConnectionPathOptions } from './path-options.js';
import { pemFault } from './pem.js';

/** What the value must be, or `undefined` when it is that. */
type Rule = (value: unknown) => string | undefined;
export type Rules<Options> = { readonly [Name in keyof Required<Options>]: Rule };

/** The most that a timer takes. */
export const MAX_MILLIS = 2 ** 31 - 1;

export const integer =
  (min: number, max: number): Rule =>
  (value) =>
    Number.isInteger(value) && (value as number) >= min && (value as number) <= max
      ? undefined
      : `an integer from ${min} to ${max}`;
const atLeastOne: Rule = (value) =>
  Number.isInteger(value) && (value as number) >= 1 ? undefined : 'an integer of 1 or more';
export const truth: Rule = (value) => (typeof value === 'boolean' ? undefined : 'true or false');
const callback: Rule = (value) => (typeof value === 'function' ? undefined : 'a function');
const filled: Rule = (value) =>
  typeof value === 'string' && value.trim() !== '' ? undefined : 'a text that is not empty';
const pem =
  (block: 'CERTIFICATE' | 'PRIVATE KEY'): Rule =>
  (value) =>
    pemFault(value, block);
const encryption: Rule = (value) => (value === 'aes-256-gcm' ? undefined : "'aes-256-gcm', or left out");
const device: Rule = (value) => {
  const isDevice = typeof value === 'object' && value !== null && 'allocPd' in value;
  return isDevice || filled(value) === undefined ? undefined : 'an open device or the name of one';
};
export const signal: Rule = (value) => (value instanceof AbortSignal ? undefined : 'an AbortSignal');
const inside =
  <Options>(rules: Rules<Options>, name: string): Rule =>
  (value) => {
    if (!isPlain(value)) return 'an object';
    checkEach(value, rules, `${name}.`);
    return undefined;
  };

const ADMISSION: Rules<AdmissionLimits> = {
  maxPerAddress: atLeastOne,
  connectsPerSecond: atLeastOne,
  burst: atLeastOne,
  maxHandshakes: atLeastOne,
  maxPerIdentity: atLeastOne,
  backlog: atLeastOne,
};

const RIGHTS: Rules<MemoryRights> = { read: truth, write: truth };

/** Header and tag of a fragment take 40 bytes of a slot; the peer refuses what its frames cannot tell. */
const SIZES = {
  receiveSlots: integer(1, 65_536),
  slotBytes: integer(64, 2 ** 31),
  maxMessageBytes: integer(0, 2 ** 30),
  sendQueueBytes: integer(0, 2 ** 40),
  bufferBytes: integer(0, 2 ** 40),
};

const PATH: Rules<ConnectionPathOptions> = {
  port: integer(1, 255),
  gidIndex: integer(0, 0xffff),
  trafficClass: integer(0, 255),
  flowLabel: integer(0, 0xfffff),
  hopLimit: integer(1, 255),
  timeout: integer(1, 31),
  retryCount: integer(0, 7),
  minRnrTimer: integer(0, 31),
  peerAddress: (value) => (value === 'session' || value === 'any' ? undefined : "'session' or 'any'"),
};

const COMMON: Rules<CommonOptions> = {
  ...SIZES,
  path: inside(PATH, 'path'),
  encryption,
  device,
  handshakeDeadlineMillis: integer(1, MAX_MILLIS),
  recoveryMillis: integer(0, MAX_MILLIS),
  keepAliveMillis: integer(0, MAX_MILLIS),
  onStep: callback,
  revealPsns: truth,
};

const LISTEN: Rules<ListenOptions> = {
  ...COMMON,
  host: filled,
  port: integer(0, 65_535),
  cert: pem('CERTIFICATE'),
  key: pem('PRIVATE KEY'),
  clientCa: pem('CERTIFICATE'),
  slots: integer(1, 65_536),
  authorize: callback,
  onAudit: callback,
  admission: inside(ADMISSION, 'admission'),
};

const CONNECT: Rules<ConnectOptions> = {
  ...COMMON,
  host: filled,
  port: integer(1, 65_535),
  ca: pem('CERTIFICATE'),
  cert: pem('CERTIFICATE'),
  key: pem('PRIVATE KEY'),
  servername: filled,
  signal,
};

const TERMS: Rules<ClientTerms> = {
  ...SIZES,
  maxConnections: integer(0, Number.MAX_SAFE_INTEGER),
  rights: inside(RIGHTS, 'rights'),
  encryption,
};

const CERTIFICATES: Rules<Pick<ListenOptions, 'cert' | 'key' | 'clientCa'>> = {
  cert: LISTEN.cert,
  key: LISTEN.key,
  clientCa: LISTEN.clientCa,
};

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT. */
export function checkListen(options: unknown, handler: unknown): asserts options is ListenOptions {
  checkOptions('listen', options, LISTEN);
  requireBoth(options, 'listen needs');
  if (typeof handler !== 'function') {
    throw usageError(`listen(options, handler): handler must be a function, not ${nameOf(handler)}`);
  }
}

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT. */
export function checkConnect(options: unknown): asserts options is ConnectOptions {
  checkOptions('connect', options, CONNECT);
  if ((options['cert'] === undefined) !== (options['key'] === undefined)) {
    requireBoth(options, 'connect needs');
  }
}

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT. */
export function checkCertificates(certificates: unknown): void {
  checkOptions('setCertificates', certificates, CERTIFICATES);
  requireBoth(certificates, 'setCertificates needs');
}

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT: `authorize` returned something else than terms. */
export function checkTerms(terms: unknown): asserts terms is ClientTerms {
  if (!isPlain(terms)) {
    throw usageError(`authorize must return true, false or terms, not ${nameOf(terms)}`);
  }
  checkEach(terms, TERMS, '');
}

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT for an option that does not exist, or is not what it must be. */
export function checkOptions(
  what: string,
  options: unknown,
  rules: Readonly<Record<string, Rule>>,
): asserts options is Record<string, unknown> {
  if (!isPlain(options)) throw usageError(`${what} takes an object with options, not ${nameOf(options)}`);
  checkEach(options, rules, '');
}

function checkEach(
  values: Readonly<Record<string, unknown>>,
  rules: Readonly<Record<string, Rule>>,
  prefix: string,
): void {
  for (const [name, value] of Object.entries(values)) {
    const rule = Object.hasOwn(rules, name) ? rules[name] : undefined;
    if (rule === undefined) throw usageError(unknownOption(prefix, name, Object.keys(rules)));
    const wanted = value === undefined ? undefined : rule(value);
    if (wanted !== undefined) throw usageError(`${prefix}${name} must be ${wanted}, not ${nameOf(value)}`);
  }
}

function requireBoth({ cert, key }: Readonly<Record<string, unknown>>, who: string): void {
  if (cert === undefined) throw usageError(`${who} cert: a certificate as PEM text`);
  if (key === undefined) throw usageError(`${who} key: the private key of cert, as PEM text`);
}

function unknownOption(prefix: string, name: string, known: readonly string[]): string {
  const nearest = known
    .map((candidate) => ({ candidate, distance: editDistance(name.toLowerCase(), candidate.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance)[0];
  const isNear = nearest !== undefined && nearest.distance <= Math.max(1, Math.floor(name.length / 3));
  const hint = isNear ? `did you mean ${prefix}${nearest.candidate}?` : `there are: ${known.join(', ')}`;
  return `there is no option ${prefix}${name.slice(0, 40)}; ${hint}`;
}

/** Single characters to insert, delete or replace (Levenshtein). */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (const [i, char] of [...a.slice(0, 40)].entries()) {
    const next = [i + 1];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (char === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

const isPlain = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value);

/** What was given instead, without what it holds. */
export function nameOf(value: unknown): string {
  if (value === undefined || value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'number') return String(value);
  if (typeof value === 'bigint') return 'a bigint';
  if (typeof value === 'string') {
    if (value === '') return 'an empty text';
    return /^-?\d{1,15}(\.\d{1,6})?$/.test(value)
      ? `the text '${value}' (write it without quotes)`
      : 'this text';
  }
  if (typeof value === 'function') return 'a function';
  if (Array.isArray(value)) return 'an array';
  return typeof value === 'symbol' ? 'a symbol' : 'this object';
}
