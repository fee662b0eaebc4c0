/** As echo-handler.ts, for a program that has something to do for every message: a hash of 64 KiB. */
import { createHash } from 'node:crypto';
import type { Connection } from '../../../src/connection/program/connection.js';

const WORK = Buffer.alloc(64 * 1024, 3);

export default async function work(connection: Connection): Promise<void> {
  for await (const { data } of connection) {
    createHash('sha256').update(data).update(WORK).digest();
    await connection.send(data);
  }
}
