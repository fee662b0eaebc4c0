/**
 * What is left of a rendezvous that both ends do without: who the peer is and where, as plain data. The next meeting needs another
 * one.
 *
 * Invariant: it holds the rendezvous of before only until that is freed.
 */
import type { PeerIdentity } from '../../session/peer-identity.js';
import type { Terms } from '../../session/terms.js';
import { internalError } from '../../verbs/errors.js';
import { hostPort } from '../../verbs/host-port.js';
import type { Rendezvous, RendezvousEnd } from './rendezvous.js';

const END: RendezvousEnd = { error: undefined };

export class PartedRendezvous implements Rendezvous {
  readonly peer: PeerIdentity | null;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
  #before: Rendezvous | null;

  constructor(before: Rendezvous) {
    this.peer = before.peer;
    this.remoteAddress = before.remoteAddress;
    this.remotePort = before.remotePort;
    this.localAddress = before.localAddress;
    this.localPort = before.localPort;
    this.#before = before;
    void before.close().then(() => {
      this.#before = null;
    });
  }

  get peerName(): string {
    return `the peer ${hostPort(this.remoteAddress, this.remotePort)}`;
  }

  get end(): RendezvousEnd {
    return END;
  }

  get isParted(): boolean {
    return true;
  }

  meet(): Promise<Terms> {
    return Promise.reject(internalError('a meeting over a session that was left', undefined));
  }

  watch(): void {}

  unwatch(): void {}

  part(): void {}

  ask(): void {}

  fail(): void {}

  drop(): void {}

  async close(): Promise<void> {
    await this.#before?.close();
  }
}
