/** What the scale benchmark's server does for each client where it has workers: sends messages back. */
import type { Connection } from '../../../src/connection/program/connection.js';

export default async function echo(connection: Connection): Promise<void> {
  for await (const { data } of connection) await connection.send(data);
}
