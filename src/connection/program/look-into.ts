/**
 * How to look into connections: they say it themselves, once, as a table of all of them would be large. Programs have no way to it;
 * insides.ts has.
 */

/** What one is made of, whatever that is. */
export interface Parts {
  readonly lifeline: object;
  readonly dataPath: object;
}

type Look<Whole> = (whole: Whole) => Parts;

let look: Look<never> | undefined;

/** Called once, by connections. */
export function lookBy<Whole>(how: Look<Whole>): void {
  look = how;
}

export const partsOf = (whole: object): Parts | undefined => look?.(whole as never);
