/**
 * Runs the server and the client of somebody else's tool. Such tools do not watch our life, so each runs under
 * `timeout`, which ends it even if this process is killed outright.
 */
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Child, type Command } from './child-group.js';

const LEAVE_MILLIS = 1000;
const LISTEN_MILLIS = 5000;
const LISTEN_LOOK_MILLIS = 20;
const TCP_LISTEN = '0A';
const TCP_TABLES = ['/proc/net/tcp', '/proc/net/tcp6'];

/** The path of a program, or `undefined` where it is not installed. */
export function findProgram(name: string): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

export async function freePort(host: string): Promise<number> {
  const server = createServer().listen(0, host);
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/**
 * Starts the server, waits until it listens on `port`, runs the client and returns what it printed.
 *
 * @throws Error that says which of the two failed and why.
 */
export async function runToolPair(
  server: Command,
  client: Command,
  port: number,
  deadlineMillis: number,
): Promise<string> {
  const serving = new Child('server', bounded(server, deadlineMillis), () => undefined);
  let asking: Child | undefined;
  try {
    await listening(port, serving);
    let output = '';
    asking = new Child('client', bounded(client, deadlineMillis), (text) => {
      output += text;
    });
    const exit = await asking.exited;
    if (exit.code !== 0) throw new Error(asking.explain(exit));
    return output;
  } catch (error) {
    serving.kill();
    asking?.kill();
    throw error;
  } finally {
    await serving.leave(LEAVE_MILLIS);
  }
}

function bounded({ file, args, env }: Command, deadlineMillis: number): Command {
  const seconds = String(Math.ceil(deadlineMillis / 1000));
  return {
    file: 'timeout',
    args: ['-k', '1', seconds, file, ...args],
    ...(env === undefined ? {} : { env }),
  };
}

/** Looks without connecting: these servers take the first connection for their client. */
async function listening(port: number, server: Child): Promise<void> {
  let left = false;
  void server.exited.then(() => {
    left = true;
  });
  for (let waited = 0; waited < LISTEN_MILLIS; waited += LISTEN_LOOK_MILLIS) {
    if (left) throw new Error(server.explain(await server.exited));
    if (isListening(port)) return;
    await sleep(LISTEN_LOOK_MILLIS);
  }
  throw new Error(`the server does not listen on port ${port}`);
}

export function isListening(port: number, tables: readonly string[] = TCP_TABLES): boolean {
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return tables.some((table) => {
    if (!existsSync(table)) return false;
    return readFileSync(table, 'utf8')
      .split('\n')
      .some((line) => {
        const [, local, , state] = line.trim().split(/\s+/);
        return state === TCP_LISTEN && local?.endsWith(wanted) === true;
      });
  });
}
