/** A TCP connection in virtual time, and the TLS session over it: how it begins, and how it is lost at one end or both. */
import { createHash } from 'node:crypto';
import type { EventEmitter } from 'node:events';
import { Pipe } from './virtual-pipe.js';
import { type Place, RawSocket, VirtualSocket } from './virtual-socket.js';
import type { VirtualTime } from './virtual-time.js';

/** A server that takes connections. */
interface Acceptor extends EventEmitter {
  enter(socket: VirtualSocket): void;
}

/** Failures of a server's socket before TLS is up go to the server. */
const ignore = (): void => {};

export class TcpConnection {
  readonly client: VirtualSocket;
  readonly server: VirtualSocket;
  readonly toServer: Pipe;
  readonly toClient: Pipe;
  /** Whose certificate the client shows. */
  clientName: string | null = null;
  readonly clientPlace: Place;
  readonly serverPlace: Place;

  /** `number`: of all that there were. `onOver`: neither side has it any more. */
  constructor(time: VirtualTime, client: Place, server: Place, number: number, onOver: () => void) {
    const secret = createHash('sha256').update(`TLS connection ${number} of ${client.host}`).digest();
    this.clientPlace = client;
    this.serverPlace = server;
    this.toServer = new Pipe(time);
    this.toClient = new Pipe(time);
    const ended = (): void => {
      const isServerGone = this.server.destroyed || this.server._parent === undefined;
      if (this.client.destroyed && isServerGone) onOver();
    };
    this.client = new VirtualSocket(this, client, server, this.toServer, secret, ended);
    this.server = new VirtualSocket(this, server, client, this.toClient, secret, ended);
    this.server.on('error', ignore);
    this.toServer.target = this.server;
    this.toClient.target = this.client;
  }

  /** The server has the connection, and TLS begins. */
  beAccepted(listener: Acceptor): void {
    const raw = new RawSocket(this.server);
    this.server._parent = raw;
    listener.enter(this.server);
    listener.emit('connection', raw);
    if (this.server.destroyed) return;
    this.toClient.send({
      event: () => {
        if (this.client.destroyed) return;
        this.client.secure(null);
        this.toServer.send({
          event: () => {
            if (this.server.destroyed) return;
            this.server.off('error', ignore);
            this.server.secure(this.clientName);
            listener.emit('secureConnection', this.server);
          },
        });
        this.client.emit('secureConnect');
      },
    });
    this.server.once('error', (error) => {
      if (!this.server.isSecure) listener.emit('tlsClientError', error, this.server);
    });
  }

  /** Both ends learn that the connection is gone, or one of them alone: the other hears nothing any more. */
  reset(whoLearns: 'both' | 'client' | 'server'): void {
    this.toServer.breakOff();
    this.toClient.breakOff();
    if (whoLearns !== 'server') this.client.lose('ECONNRESET');
    if (whoLearns !== 'client') this.server.lose('ECONNRESET');
  }
}
