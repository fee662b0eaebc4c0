/**
 * The dashboard of a server as a request handler for HTTP servers of the program: a page for people who would rather look than read.
 *
 * Invariants: it answers only requests that name one of its hosts, so that no web page of a stranger can read it through a
 * browser; the page gets nothing from elsewhere, and runs its own script and style only; without a token it can only be read; no
 * PSN, key or payload is in what it shows.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Server } from '../../connection/server/server.js';
import { usageError } from '../../verbs/errors.js';
import { checkOptions, filled, nameOf, type Rules } from '../../verbs/option-check.js';
import { isAssetName, readAssets } from './assets.js';
import { Control } from './control.js';
import { EventStream } from './event-stream.js';

const SHORTEST_TOKEN = 16;
const LOOPBACK = ['127.0.0.1', 'localhost', '[::1]'];

const HEADERS = {
  'cache-control': 'no-store',
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
} as const;

export interface DashboardOptions {
  /** Where it is in your HTTP server, with a slash at both ends. Default `/`. */
  readonly path?: string;
  /**
   * Names of this machine, as browsers give them in `Host`, without a port. Default: those of the loopback. Your server must
   * ask who is there before it hands requests for other names to the dashboard.
   */
  readonly hosts?: readonly string[];
  /** Who knows it may drain the server and end connections; at least 16 characters. Default: nobody may. */
  readonly controlToken?: string;
}

const RULES: Rules<DashboardOptions> = {
  path: (value) =>
    typeof value === 'string' && value.startsWith('/') && value.endsWith('/')
      ? undefined
      : "a path with a slash at both ends, such as '/rdma/'",
  hosts: (value) =>
    Array.isArray(value) && value.every((host) => filled(host) === undefined)
      ? undefined
      : 'an array of names',
  controlToken: (value) =>
    typeof value === 'string' && value.length >= SHORTEST_TOKEN && /^\S+$/.test(value)
      ? undefined
      : `a text of at least ${SHORTEST_TOKEN} characters without spaces`,
};

/** For `createServer` of node:http, or for Express and its like. */
export interface Dashboard {
  (request: IncomingMessage, response: ServerResponse, next?: () => void): void;
  /** Ends the streams of those who watch, and listens no more. */
  close(): void;
}

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT; ERR_RDMA_NOT_SUPPORTED when the page was not built. */
export function dashboard(server: Server, options: DashboardOptions = {}): Dashboard {
  if (typeof server !== 'object' || server === null || !('connections' in server))
    throw usageError(
      `dashboard(server, options): server must be what listen resolved with, not ${nameOf(server)}`,
    );
  checkOptions(
    'dashboard',
    options,
    RULES as unknown as Record<string, (value: unknown) => string | undefined>,
  );
  const handler = new DashboardHandler(server, options);
  const handle = (request: IncomingMessage, response: ServerResponse, next?: () => void): void => {
    handler.answer(request, response, next).catch((error: unknown) => response.destroy(error as Error));
  };
  return Object.assign(handle, { close: () => handler.close() });
}

class DashboardHandler {
  readonly #path: string;
  readonly #hosts: ReadonlySet<string>;
  readonly #assets = readAssets();
  readonly #events: EventStream;
  readonly #control: Control | undefined;

  constructor(server: Server, { path = '/', hosts = LOOPBACK, controlToken }: DashboardOptions) {
    this.#path = path;
    this.#hosts = new Set(hosts.map((host) => host.toLowerCase()));
    this.#control = controlToken === undefined ? undefined : new Control(server, controlToken);
    this.#events = new EventStream(server, this.#control !== undefined);
  }

  close(): void {
    this.#events.close();
  }

  async answer(request: IncomingMessage, response: ServerResponse, next?: () => void): Promise<void> {
    // What stands behind the question mark is for others, such as a cache.
    const path = request.url?.split('?', 1)[0] ?? '';
    if (!`${path}/`.startsWith(this.#path)) {
      if (next === undefined) plain(response, 404, `the dashboard is at ${this.#path}`);
      else next();
      return;
    }
    if (!this.#hosts.has(hostOf(request))) {
      plain(response, 403, `this dashboard answers to ${[...this.#hosts].join(', ')} only`);
      return;
    }
    const name = path.slice(this.#path.length);
    if ((name === 'control' || name === 'events') && isFromElsewhere(request)) {
      plain(response, 403, 'a page from elsewhere asks nothing of this dashboard');
      return;
    }
    if (name === 'control' && request.method === 'POST') await this.#carryOut(request, response);
    else if (request.method !== 'GET' && request.method !== 'HEAD')
      plain(response, 405, 'this server can only be read');
    else this.#show(name, path, request, response);
  }

  #show(name: string, path: string, request: IncomingMessage, response: ServerResponse): void {
    if (path.length < this.#path.length) {
      response.writeHead(308, { location: this.#path }).end();
    } else if (isAssetName(name)) {
      const { type, bytes } = this.#assets[name];
      response.writeHead(200, { ...HEADERS, 'content-type': type }).end(bytes);
    } else if (name === 'events') {
      const refusal = request.method === 'GET' ? this.#events.add(response) : 'events are asked for by GET';
      if (refusal !== undefined) plain(response, 503, refusal);
    } else {
      plain(response, 404, 'there is nothing here');
    }
  }

  async #carryOut(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.#control === undefined) {
      plain(response, 405, 'this server can only be read: it was given no token');
      return;
    }
    const { status, text } = await this.#control.answer(request);
    this.#events.tell(status === 200 ? 'plain' : 'bad', `from the dashboard: ${text}`);
    plain(response, status, text);
  }
}

/** `[::1]` of `[::1]:9090`. */
const hostOf = ({ headers }: IncomingMessage): string =>
  (headers.host ?? '').replace(/:\d+$/, '').toLowerCase();

/** Browsers say so of each request; who has none of that is no browser, or an old one. */
const isFromElsewhere = ({ headers }: IncomingMessage): boolean => {
  const site = headers['sec-fetch-site'];
  return site !== undefined && site !== 'same-origin' && site !== 'none';
};

export function plain(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, {
    'content-type': 'text/plain; charset=utf-8',
    'x-content-type-options': 'nosniff',
  });
  response.end(`${text}\n`);
}
