/**
 * Whether the network interface of a port's address is up: it exists, has the address, is enabled and has a carrier.
 *
 * With the addon the kernel tells when to look again, so that an idle device costs nothing and yet hears of a cable that
 * is pulled. Without it a port looks when sending fails, and while it is down when it sends. `queryPort` looks as well, unless
 * somebody has looked just before: a server asks for every client.
 *
 * An address that is routed to this machine without belonging to an interface counts as down, although packets pass.
 */
import { networkInterfaces } from 'node:os';
import { loadAddon } from '../native/addon.js';
import type { PortLink } from './udp-port.js';

/** How often at most to look while packets are sent and ports are asked. */
const LOOK_MICROS = 20_000;

export class LinkWatch implements PortLink {
  onChange: (() => void) | null = null;
  readonly #ip: string;
  #isUp: boolean;
  #lookedAt = 0;

  constructor(ip: string) {
    this.#ip = ip;
    this.#isUp = hasAddress(ip);
    watch(this);
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  ask(): void {
    if (isTold() && performance.now() * 1000 - this.#lookedAt < LOOK_MICROS) return;
    this.check();
  }

  check(): void {
    this.#lookedAt = performance.now() * 1000;
    const isUp = hasAddress(this.#ip);
    if (isUp === this.#isUp) return;
    this.#isUp = isUp;
    this.onChange?.();
  }

  /** A packet has left, or could not. */
  onSent(isSent: boolean): void {
    if (isTold() || (isSent && this.#isUp)) return;
    if (performance.now() * 1000 - this.#lookedAt < LOOK_MICROS) return;
    this.check();
  }

  close(): void {
    this.onChange = null;
    unwatch(this);
  }
}

/** Node.js lists the addresses of interfaces that are enabled and have a carrier. */
function hasAddress(ip: string): boolean {
  // All of 127.0.0.0/8 belongs to the loopback interface, which lists one of it.
  const isLoopback = ip.startsWith('127.');
  for (const entries of Object.values(networkInterfaces())) {
    if (entries?.some((entry) => (isLoopback ? entry.internal : entry.address === ip))) return true;
  }
  return false;
}

// --- one watch of the addon for all ports of a thread -------------------------------------------------------------------

const watches = new Set<LinkWatch>();
/** What the addon calls its watch; 0 = none. */
let handle = 0;

const isTold = (): boolean => handle > 0;

function watch(link: LinkWatch): void {
  watches.add(link);
  const addon = loadAddon();
  if (handle > 0 || typeof addon === 'string') return;
  handle = Math.max(0, addon.watchLinks(() => checkAll()) ?? 0);
}

function unwatch(link: LinkWatch): void {
  watches.delete(link);
  const addon = loadAddon();
  if (watches.size > 0 || handle === 0 || typeof addon === 'string') return;
  addon.unwatchLinks(handle);
  handle = 0;
}

function checkAll(): void {
  for (const link of [...watches]) link.check();
}
