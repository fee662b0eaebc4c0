/**
 * How soon V8 compiles what this program runs. Until then messages go through its interpreter, ten times as slow; by default that lasts for
 * thousands of them where TurboFan is the only compiler that is asked. docs/performance.md has figures. A library changes no options of the
 * process that it is part of; this is the program's own process.
 *
 * Invariant: V8 is given no option that it does not know, as it would complain on standard error.
 */
import { setFlagsFromString } from 'node:v8';

/** By the first number of Node.js's version. From 24 on V8 asks Maglev, which compiles soon by itself. */
const FLAGS: Readonly<Record<string, string>> = {
  20: '--interrupt-budget=16000',
  22: '--invocation-count-for-turbofan=500',
};

/** `undefined` where V8 compiles soon enough by itself, or where nothing is known. */
export const tierUpFlag = (nodeVersion: string): string | undefined => FLAGS[nodeVersion.split('.')[0] ?? ''];

/** For what is called for the first time from now on. Called before all code is loaded, it would have V8 compile the loading too. */
export function tierUpEarly(): void {
  if (process.versions['bun'] !== undefined) return;
  const flag = tierUpFlag(process.versions.node);
  if (flag !== undefined) setFlagsFromString(flag);
}
