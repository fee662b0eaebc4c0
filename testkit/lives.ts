/** Tests of what must hold for connections that keep their session and for those that leave it. */
import { test } from 'node:test';

export const LIVES = [{ lifeline: 'session' }, { lifeline: 'brief' }] as const;
export type Life = (typeof LIVES)[number];

/** The same test for both. `run` gives what it gets to both ends, as options. */
export function testLives(sentence: string, run: (life: Life) => Promise<void>): void {
  for (const life of LIVES) test(`${sentence} (${life.lifeline})`, () => run(life));
}
