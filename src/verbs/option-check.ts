/**
 * How options are checked when they are given: one sentence that names the option and says what it must be. An option
 * that does not exist is refused, because a typo in its name would leave out what was meant. Each room has rules of its own.
 *
 * Invariant: nothing but names, kinds and short numbers of what was given is repeated: it may be a key.
 */
import { usageError } from './errors.js';
import { nearestName } from './nearest-name.js';

/** What the value must be, or `undefined` when it is that. */
export type Rule = (value: unknown) => string | undefined;
export type Rules<Options> = { readonly [Name in keyof Required<Options>]: Rule };

/** The most that a timer takes. */
export const MAX_MILLIS = 2 ** 31 - 1;

export const integer =
  (min: number, max: number): Rule =>
  (value) =>
    Number.isInteger(value) && (value as number) >= min && (value as number) <= max
      ? undefined
      : `an integer from ${min} to ${max}`;
export const atLeastOne: Rule = (value) =>
  Number.isInteger(value) && (value as number) >= 1 ? undefined : 'an integer of 1 or more';
export const truth: Rule = (value) => (typeof value === 'boolean' ? undefined : 'true or false');
export const callback: Rule = (value) => (typeof value === 'function' ? undefined : 'a function');
/** By its name, as this room knows no class of hosts; one of another realm is a signal as well. */
export const signal: Rule = (value) =>
  Object.prototype.toString.call(value) === '[object AbortSignal]' ? undefined : 'an AbortSignal';
export const filled: Rule = (value) =>
  typeof value === 'string' && value.trim() !== '' ? undefined : 'a text that is not empty';
export const inside =
  <Options>(rules: Rules<Options>, name: string): Rule =>
  (value) => {
    if (!isPlain(value)) return 'an object';
    checkEach(value, rules, `${name}.`);
    return undefined;
  };

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT for an option that does not exist, or is not what it must be. */
export function checkOptions(
  what: string,
  options: unknown,
  rules: Readonly<Record<string, Rule>>,
): asserts options is Record<string, unknown> {
  if (!isPlain(options)) throw usageError(`${what} takes an object with options, not ${nameOf(options)}`);
  checkEach(options, rules, '');
}

export function checkEach(
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

function unknownOption(prefix: string, name: string, known: readonly string[]): string {
  const nearest = nearestName(name, known);
  const hint = nearest === undefined ? `there are: ${known.join(', ')}` : `did you mean ${prefix}${nearest}?`;
  return `there is no option ${prefix}${name.slice(0, 40)}; ${hint}`;
}

export const isPlain = (value: unknown): value is Record<string, unknown> =>
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
