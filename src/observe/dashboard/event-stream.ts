/**
 * Server-sent events for the dashboard: a snapshot several times a second, and what happens in between. While nobody looks,
 * steps are counted and nothing else runs; what a browser does not take in time is left out.
 */
import type { ServerResponse } from 'node:http';
import type { Connection } from '../../connection/program/connection.js';
import { watchConnection } from '../../connection/program/connection-watch.js';
import { watchServer } from '../../connection/program/server-watch.js';
import type { Server } from '../../connection/server/server.js';
import { cleanText } from '../../session/clean-text.js';
import { shownName } from '../../session/peer-identity.js';
import { snapshotOf } from '../server-snapshot.js';
import { WatchedServer } from './watched-server.js';

const EVERY_MILLIS = 250;
const MAX_WATCHERS = 8;
const MAX_UNSENT_BYTES = 256 * 1024;
const MAX_NEWS = 50;
const MAX_TEXT_CHARS = 300;

interface News {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly kind: 'good' | 'bad' | 'plain';
  readonly text: string;
}

export class EventStream {
  readonly #watched: WatchedServer;
  readonly #canControl: boolean;
  readonly #watchers = new Set<ServerResponse>();
  #news: News[] = [];
  #timer: NodeJS.Timeout | undefined;
  #isLooking = false;
  readonly #stopWatching: () => void;
  #isClosed = false;

  constructor(server: Server, canControl: boolean) {
    this.#watched = new WatchedServer(server);
    this.#canControl = canControl;
    this.#stopWatching = watchServer(server, {
      onConnection: (connection) => this.#watch(connection),
      onDisconnection: ({ id }, error) =>
        error === undefined
          ? this.tell('plain', `client ${id} left in order`)
          : this.tell('bad', `client ${id} was lost: ${error.message}`),
      onRefused: ({ address, reason }) => this.tell('bad', `refused ${address}: ${reason}`),
    });
  }

  /** Returns why nobody else may watch, where that is so. */
  add(response: ServerResponse): string | undefined {
    if (this.#isClosed) return 'this dashboard was closed';
    if (this.#watchers.size >= MAX_WATCHERS) return 'too many are watching already';
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    this.#watchers.add(response);
    response.on('close', () => {
      this.#watchers.delete(response);
      if (this.#watchers.size > 0) return;
      clearInterval(this.#timer);
      this.#watched.endTiming();
    });
    this.#watched.beginTiming();
    response.write(this.#frame('news', this.#news));
    void this.#sendSnapshot();
    if (this.#watchers.size === 1) {
      this.#timer = setInterval(() => void this.#sendSnapshot(), EVERY_MILLIS);
    }
    return undefined;
  }

  close(): void {
    this.#isClosed = true;
    clearInterval(this.#timer);
    this.#stopWatching();
    this.#watched.close();
    for (const watcher of this.#watchers) watcher.end();
  }

  tell(kind: News['kind'], text: string): void {
    const news = { at: Date.now(), kind, text: cleanText(text, MAX_TEXT_CHARS) };
    this.#news = [...this.#news.slice(1 - MAX_NEWS), news];
    this.#send('news', [news]);
  }

  /** One after the other: a worker that is slow to answer makes them rare, and no line of them. */
  async #sendSnapshot(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    try {
      this.#send('snapshot', await snapshotOf(this.#watched, this.#canControl));
    } finally {
      this.#isLooking = false;
    }
  }

  #watch(connection: Connection): void {
    const { id, peer, remoteAddress } = connection;
    this.tell('good', `client ${id} connected: ${peer === null ? remoteAddress : shownName(peer.subject)}`);
    watchConnection(connection, {
      onReconnecting: (cause) => this.tell('bad', `client ${id} recovers: ${cause.message}`),
      onReconnected: () => this.tell('good', `client ${id} is back, with new PSNs and a new queue pair`),
    });
  }

  #send(event: string, data: unknown): void {
    const frame = this.#frame(event, data);
    for (const watcher of this.#watchers) {
      if (watcher.writableLength < MAX_UNSENT_BYTES) watcher.write(frame);
    }
  }

  #frame(event: string, data: unknown): string {
    return `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
  }
}
