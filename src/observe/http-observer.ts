/**
 * Shows a running server over HTTP on loopback: metrics for machines, and the dashboard.
 *
 * Invariants: it listens on 127.0.0.1 only and answers only requests that name that host; without a token it can only be read.
 */
import {
  createServer,
  type Server as HttpServer,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Server } from '../connection/server/server.js';
import { listenFault } from '../session/listen-fault.js';
import { RdmaError } from '../verbs/errors.js';
import { type Dashboard, type DashboardOptions, dashboard, plain } from './dashboard/dashboard.js';
import { type ServerMetrics, serverMetrics } from './server-metrics.js';

const HOST = '127.0.0.1';
const OWN_HOSTS = [HOST, 'localhost'];
const OWN_HOST = new RegExp(`^(${OWN_HOSTS.join('|').replaceAll('.', '\\.')})(:\\d+)?$`, 'i');

export type HttpObserverOptions = Pick<DashboardOptions, 'controlToken'>;

export class HttpObserver implements AsyncDisposable {
  readonly #http: HttpServer;
  readonly #metrics: ServerMetrics;
  readonly #dashboard: Dashboard;

  /** @throws RdmaError ERR_RDMA_ADDRESS. */
  static async start(server: Server, port: number, options: HttpObserverOptions = {}): Promise<HttpObserver> {
    const shown = dashboard(server, { ...options, hosts: OWN_HOSTS });
    const observer = new HttpObserver(await serverMetrics(server), shown);
    await new Promise<void>((resolve, reject) => {
      observer.#http.once('error', (cause) => {
        observer.#stop();
        const message = `cannot show metrics on ${HOST}:${port}: ${listenFault(cause)}`;
        reject(new RdmaError('ERR_RDMA_ADDRESS', message, { cause }));
      });
      observer.#http.listen(port, HOST, resolve);
    });
    return observer;
  }

  private constructor(metrics: ServerMetrics, shown: Dashboard) {
    this.#metrics = metrics;
    this.#dashboard = shown;
    this.#http = createServer((request, response) => {
      this.#answer(request, response).catch((error: unknown) => response.destroy(error as Error));
    });
  }

  /** Where it is, without a slash at the end. */
  get url(): string {
    return `http://${HOST}:${(this.#http.address() as AddressInfo).port}`;
  }

  close(): Promise<void> {
    this.#stop();
    return new Promise((resolve) => {
      this.#http.close(() => resolve());
      this.#http.closeAllConnections();
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #stop(): void {
    this.#dashboard.close();
    this.#metrics.stop();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    const isOwn = OWN_HOST.test(request.headers.host ?? '');
    if (isRead && isOwn && request.url?.split('?', 1)[0] === '/metrics') {
      response.setHeader('content-type', this.#metrics.contentType);
      response.end(await this.#metrics.text());
    } else {
      this.#dashboard(request, response, () =>
        plain(response, 404, 'there is / for people and /metrics for machines'),
      );
    }
  }
}
