/**
 * What a dashboard may do to its server, for those who know the token: refuse new clients, let them in again, end one connection.
 *
 * Invariants: nothing is done for a request without the token, which is compared in constant time; a browser sends it only
 * because the page's own script says so, so no other page can use it. What was asked and refused is told.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import * as v from 'valibot';
import type { Server } from '../../connection/server/server.js';

const MAX_BODY_BYTES = 1024;

const Order = v.variant('action', [
  v.strictObject({ action: v.literal('drain') }),
  v.strictObject({ action: v.literal('admit') }),
  v.strictObject({ action: v.literal('disconnect'), connection: v.pipe(v.number(), v.integer()) }),
]);

export interface ControlAnswer {
  readonly status: 200 | 400 | 401 | 404;
  readonly text: string;
}

export class Control {
  readonly #server: Server;
  readonly #digest: Buffer;

  constructor(server: Server, token: string) {
    this.#server = server;
    this.#digest = digestOf(token);
  }

  async answer(request: IncomingMessage): Promise<ControlAnswer> {
    const [, given = ''] = /^Bearer (\S+)$/.exec(request.headers.authorization ?? '') ?? [];
    if (!timingSafeEqual(digestOf(given), this.#digest))
      return { status: 401, text: 'this is not the token' };
    const order = v.safeParse(Order, parse(await bodyOf(request)));
    if (!order.success) return { status: 400, text: 'the order is not one of drain, admit, disconnect' };
    return this.#carryOut(order.output);
  }

  #carryOut(order: v.InferOutput<typeof Order>): ControlAnswer {
    if (order.action !== 'disconnect') {
      this.#server.drain(order.action === 'drain');
      const text = order.action === 'drain' ? 'new clients are refused' : 'new clients are let in';
      return { status: 200, text };
    }
    const connection = [...this.#server.connections].find(({ id }) => id === order.connection);
    if (connection === undefined) return { status: 404, text: `there is no client ${order.connection}` };
    // It ends in order, which may take as long as the client does.
    void connection.close();
    return { status: 200, text: `client ${order.connection} is being disconnected` };
  }
}

const digestOf = (token: string): Buffer => createHash('sha256').update(token).digest();

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Empty for one that is too long. */
async function bodyOf(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) {
    text += chunk as string;
    if (text.length > MAX_BODY_BYTES) return '';
  }
  return text;
}
