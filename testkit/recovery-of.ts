/** Waiting for a recovery, in tests and tools: it comes, or the connection says why it does not. */
import { once } from 'node:events';
import type { Connection } from '../src/connection/program/connection.js';

/** Resolves when `connection` is up again the next time; rejects when it ends instead. */
export async function recoveryOf(connection: Connection): Promise<void> {
  const up = once(connection, 'reconnected').then(() => 'up' as const);
  const end = await Promise.race([up, connection.closed]);
  if (end === 'up') return;
  throw new Error(`the connection ended instead of recovering: ${end?.message ?? 'in order'}`, {
    cause: end,
  });
}
