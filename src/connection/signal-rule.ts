/** The option `signal`, of calls and of connections. */
import type { Rule } from '../verbs/option-check.js';

export const signal: Rule = (value) => (value instanceof AbortSignal ? undefined : 'an AbortSignal');
