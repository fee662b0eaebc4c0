/** Rules of control frames. Each carries its own sentence, because the library's default one repeats the refused value. */
import * as v from 'valibot';

export const TOKEN_RULE = 'must be a text of 64 lower-case hexadecimal digits';

export function integer(min: number, max: number) {
  const rule = `must be an integer from ${min} to ${max}`;
  return v.pipe(v.number(rule), v.integer(rule), v.minValue(min, rule), v.maxValue(max, rule));
}

export function text(maxChars: number) {
  const rule = `must be a text of at most ${maxChars} characters`;
  return v.pipe(v.string(rule), v.maxLength(maxChars, rule));
}
