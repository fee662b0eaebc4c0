/**
 * Shows a running server over HTTP on loopback: metrics for machines, and a page for people who would rather look than
 * read.
 *
 * Invariants: it listens on 127.0.0.1 only and answers only requests that name that host, so that no web page of a
 * stranger can read it through a browser; it can only be read; no PSN, key or payload is in what it shows.
 */
import { randomBytes } from 'node:crypto';
import {
  createServer,
  type Server as HttpServer,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Server } from '../connection/server.js';
import { RdmaError } from '../verbs/errors.js';
import { EventStream } from './dashboard/event-stream.js';
import { dashboardPage } from './dashboard/page.js';
import { type ServerMetrics, serverMetrics } from './server-metrics.js';

const HOST = '127.0.0.1';
const OWN_HOST = /^(127\.0\.0\.1|localhost)(:\d+)?$/i;

export class HttpObserver implements AsyncDisposable {
  readonly #http: HttpServer;
  readonly #metrics: ServerMetrics;
  readonly #events: EventStream;

  /** @throws RdmaError ERR_RDMA_ADDRESS. */
  static async start(server: Server, port: number): Promise<HttpObserver> {
    const observer = new HttpObserver(server, await serverMetrics(server));
    await new Promise<void>((resolve, reject) => {
      observer.#http.once('error', (cause: NodeJS.ErrnoException) => {
        const why =
          cause.code === 'EADDRINUSE' ? 'another program uses that port; choose another' : cause.message;
        reject(
          new RdmaError('ERR_RDMA_ADDRESS', `cannot show metrics on ${HOST}:${port}: ${why}`, { cause }),
        );
      });
      observer.#http.listen(port, HOST, resolve);
    });
    return observer;
  }

  private constructor(server: Server, metrics: ServerMetrics) {
    this.#metrics = metrics;
    this.#events = new EventStream(server);
    this.#http = createServer((request, response) => {
      this.#answer(request, response).catch((error: unknown) => response.destroy(error as Error));
    });
  }

  /** Where it is, without a slash at the end. */
  get url(): string {
    return `http://${HOST}:${(this.#http.address() as AddressInfo).port}`;
  }

  close(): Promise<void> {
    this.#events.close();
    this.#metrics.stop();
    return new Promise((resolve) => {
      this.#http.close(() => resolve());
      this.#http.closeAllConnections();
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (!OWN_HOST.test(request.headers.host ?? '')) {
      plain(response, 403, 'this server answers to 127.0.0.1 and localhost only');
      return;
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      plain(response, 405, 'this server can only be read');
      return;
    }
    // What stands behind the question mark is for others, such as a cache.
    switch (request.url?.split('?', 1)[0]) {
      case '/':
        page(response);
        return;
      case '/events':
        if (request.method !== 'GET' || !this.#events.add(response)) {
          plain(response, 503, 'too many are watching already');
        }
        return;
      case '/metrics':
        response.setHeader('content-type', this.#metrics.contentType);
        response.end(await this.#metrics.text());
        return;
      default:
        plain(response, 404, 'there is / for people and /metrics for machines');
    }
  }
}

function page(response: ServerResponse): void {
  const nonce = randomBytes(16).toString('base64');
  response.writeHead(200, {
    'content-type': 'text/html; charset=utf-8',
    'cache-control': 'no-store',
    'content-security-policy':
      `default-src 'none'; script-src 'nonce-${nonce}'; style-src 'nonce-${nonce}'; ` +
      "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'",
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
  });
  response.end(dashboardPage(nonce));
}

function plain(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' });
  response.end(`${text}\n`);
}
