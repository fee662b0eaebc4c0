/** The program of a victim's process: makes the victim that it was told to, and carries out calls until it is alone. */
import type { AnswerMessage, CallMessage, VictimSetup } from './calls.js';
import { createVictim } from './kinds.js';

/** A process that was forgotten does not stay. */
const LIFE_MILLIS = 30 * 60_000;

const setup = JSON.parse(process.argv[2] ?? '') as VictimSetup;
const victim = createVictim(setup) as Record<string, ((...args: unknown[]) => unknown) | undefined>;

process.on('disconnect', () => process.exit(0));
setTimeout(() => process.exit(3), LIFE_MILLIS).unref();
process.on('message', (message) => void carryOut(message as CallMessage));

async function carryOut({ id, method, args }: CallMessage): Promise<void> {
  let answer: AnswerMessage;
  try {
    const value = method === 'ready' ? undefined : await victim[method]?.(...args);
    answer = { id, ok: true, value };
  } catch (error) {
    answer = {
      id,
      ok: false,
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    };
  }
  process.send?.(answer);
}
