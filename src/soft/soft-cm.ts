/**
 * The communication manager of a soft device: drives the pure machine with the device's queue pair 1, clock and randomness,
 * and hands what it tells to ids, listeners and lookups.
 *
 * Invariants: nothing is told within the call that caused it, but from the event loop, in order; every id, listener and
 * lookup is counted in the device's census until it is closed; nothing is told of one that is.
 */
import { CmMachine } from '../roce/cm/cm-machine.js';
import type {
  CmHandle,
  CmLookupRequestEvent,
  CmMachineEvent,
  CmRequestEvent,
  CmSend,
} from '../roce/cm/cm-outputs.js';
import { serviceIdOf, servicePort } from '../roce/cm/wire/service-id.js';
import type { Datagram } from '../roce/datagram.js';
import type { Gsi, GsiOwner } from '../roce/gsi.js';
import type { Nic } from '../roce/nic.js';
import type { RandomU32 } from '../roce/random.js';
import { formatIp, type UdpAddress } from '../verbs/address.js';
import type { QKey, Qpn } from '../verbs/brands.js';
import {
  type CmAddress,
  type CmConnectRequest,
  type CmDatagramEvent,
  type CmDatagramLookup,
  type CmDatagramRequest,
  type CmEvent,
  type CmId,
  type CmListener,
  type CmListenOptions,
  type CmRequest,
  type CmService,
  type ConnectionManager,
  NO_DATA,
  PortSpace,
} from '../verbs/connection-manager.js';
import { closedError, RdmaError, usageError } from '../verbs/errors.js';
import { tell } from '../verbs/listeners.js';
import type { LiveObjects } from '../verbs/live-objects.js';
import type { PathMtu } from '../verbs/mtu.js';
import { PeerFlows } from './peer-flows.js';
import { ownAddress, peerAddress } from './soft-cm-addresses.js';
import { SoftCmId } from './soft-cm-id.js';
import { SoftCmListener } from './soft-cm-listener.js';
import { SoftCmLookup } from './soft-cm-lookup.js';
import type { CmNamed, SoftCmOwner } from './soft-cm-owner.js';
import { SoftCmServices } from './soft-cm-services.js';
import { nowMicros } from './turning.js';

const SERVICE_REFUSED = 2;

/** What the device lends its manager. */
export interface SoftCmHost {
  readonly name: string;
  readonly nic: Nic;
  readonly live: LiveObjects;
  /** There is something to send or to tell. */
  afterPost(): void;
}

export interface SoftCmOptions {
  readonly random: RandomU32;
  readonly maxMtu: PathMtu;
}

export class SoftCm implements ConnectionManager, GsiOwner, SoftCmOwner {
  readonly machine: CmMachine;
  readonly live: LiveObjects;
  readonly #host: SoftCmHost;
  readonly #end: { readonly device: string; readonly own: UdpAddress };
  readonly #services: SoftCmServices;
  readonly #gsi: Gsi;
  readonly #flows: PeerFlows;
  readonly #ids = new Map<CmHandle, SoftCmId>();
  readonly #listeners = new Map<CmHandle, SoftCmListener>();
  readonly #lookups = new Map<CmHandle, SoftCmLookup>();
  /** By queue pair: who waits for the first packet on it. */
  readonly #awaited = new Map<number, CmNamed>();
  #news: (() => void)[] = [];

  constructor(host: SoftCmHost, { random, maxMtu }: SoftCmOptions) {
    const { nic } = host;
    this.#host = host;
    this.live = host.live;
    this.#end = { device: host.name, own: nic.addresses[0] as UdpAddress };
    this.#services = new SoftCmServices(host.name, random);
    this.machine = new CmMachine({ random, addresses: nic.addresses, maxMtu });
    this.#flows = new PeerFlows(nic);
    this.#gsi = nic.openGsi(this);
  }

  // --- the contract -------------------------------------------------------------------------------------------------

  connect(request: CmConnectRequest, onEvent: (event: CmEvent) => void): CmId {
    const { remote, localHost, udpPort, mtu = 1024, portSpace, serviceId, ...parameters } = request;
    this.#checkQueuePair(request.qpn);
    const local = { host: formatIp(this.#end.own), port: this.#services.randomPort() };
    const id = new SoftCmId(this, local, remote, onEvent);
    this.#attempt(id, () => {
      const handle = this.machine.connect(
        {
          ...parameters,
          mtu,
          serviceId: serviceId ?? serviceIdOf(portSpace ?? PortSpace.TCP, remote.port),
          remote: peerAddress(this.#end, remote.host, udpPort),
          local: ownAddress(this.#end, localHost),
          sourcePort: local.port,
        },
        nowMillis(),
      );
      this.#ids.set(handle, id);
      id.handle = handle;
    });
    return id;
  }

  async listen(
    options: CmListenOptions & CmService,
    onRequest: (request: CmRequest) => void,
  ): Promise<CmListener> {
    const { port, portSpace = PortSpace.TCP, serviceId } = options;
    const service =
      serviceId === undefined ? this.#services.ofPort(portSpace, port) : this.#services.free(serviceId);
    return this.#listen(service, options, (event) => this.#onRequest(event as CmRequestEvent, onRequest));
  }

  lookUp(request: CmDatagramLookup, onEvent: (event: CmDatagramEvent) => void): () => void {
    const { remote, localHost, udpPort, trafficClass = 0, privateData, timeoutMillis } = request;
    const lookup = new SoftCmLookup(this, trafficClass, onEvent);
    this.#attempt(lookup, () => {
      const handle = this.machine.lookUp(
        {
          serviceId: serviceIdOf(PortSpace.UDP, remote.port),
          remote: peerAddress(this.#end, remote.host, udpPort),
          local: ownAddress(this.#end, localHost),
          trafficClass,
          privateData,
          timeoutMillis,
        },
        nowMillis(),
      );
      this.#lookups.set(handle, lookup);
      lookup.handle = handle;
    });
    return () => void lookup.close();
  }

  async listenDatagram(
    options: CmListenOptions,
    onRequest: (request: CmDatagramRequest) => void,
  ): Promise<CmListener> {
    const service = this.#services.ofPort(PortSpace.UDP, options.port);
    const tell = (event: CmRequestEvent | CmLookupRequestEvent): void =>
      onRequest(this.#datagramRequest(event));
    return this.#listen(service, options, tell, true);
  }

  // --- for the device ---------------------------------------------------------------------------------------------

  onGmp(mad: Uint8Array, { source, destination }: Datagram, now: number): void {
    this.machine.receive(mad, source, destination, now / 1000);
    this.#pump();
  }

  onTimeout(now: number): void {
    this.machine.handleTimeout(now / 1000);
    this.#pump();
  }

  /** The first packet came on a queue pair: as good as its peer's word. */
  onFirstPacket(qpn: number): void {
    const id = this.#awaited.get(qpn);
    if (id === undefined) return;
    this.stopAwaiting(id);
    this.run(id.handle, (handle, now) => this.machine.establish(handle, now));
  }

  /** Tells what has happened; returns whether there was anything. */
  deliver(): boolean {
    const news = this.#news;
    this.#news = [];
    for (const item of news) tell(deliverOne, item);
    return news.length > 0;
  }

  counters(): Readonly<Record<string, number>> {
    const { counters, dropped } = this.#gsi;
    return {
      gmpsReceived: counters.rxPackets,
      gmpsSent: counters.txPackets,
      gmpsUnsent: dropped,
      ...this.machine.counters.snapshot(),
    };
  }

  /** The device is closed: a last word to every peer. */
  end(): void {
    this.machine.end(nowMillis());
    this.#pump();
  }

  // --- for ids, listeners and lookups -----------------------------------------------------------------------------

  run(handle: CmHandle | null, act: (handle: CmHandle, now: number) => void): void {
    if (handle !== null) act(handle, nowMillis());
    this.#pump();
  }

  awaitFirstPacket(id: CmNamed, qpn: Qpn): void {
    this.#checkQueuePair(qpn);
    this.#awaited.set(qpn, id);
    id.awaitedQpn = qpn;
    this.#host.nic.findQp(qpn)?.awaitFirstPacket();
  }

  stopAwaiting(id: CmNamed): void {
    const { awaitedQpn } = id;
    if (awaitedQpn !== null && this.#awaited.get(awaitedQpn) === id) this.#awaited.delete(awaitedQpn);
    id.awaitedQpn = null;
  }

  forget(object: CmNamed): void {
    const { handle } = object;
    if (handle === null) return;
    const service = this.#listeners.get(handle)?.serviceId;
    if (service !== undefined) this.#services.release(service);
    this.#ids.delete(handle);
    this.#listeners.delete(handle);
    this.#lookups.delete(handle);
    this.stopAwaiting(object);
  }

  tellSoon(tell: () => void): void {
    this.#news.push(tell);
    this.#host.afterPost();
  }

  closedError(): RdmaError {
    return closedError(this.#host.name);
  }

  // --- the machine ------------------------------------------------------------------------------------------------

  /** Takes out what the machine has to send and to tell. To be called after everything that is done with it. */
  #pump(): void {
    for (let output = this.machine.takeOutput(); output !== undefined; output = this.machine.takeOutput()) {
      if (output.type === 'send') this.#send(output);
      else this.#noteEvent(output);
    }
    this.#gsi.armTimer(microsAfter(this.machine.nextDeadline));
    this.#host.afterPost();
  }

  #send({ mad, destination, trafficClass }: CmSend): void {
    this.#gsi.send(mad, this.#flows.to(destination, trafficClass));
  }

  #noteEvent(event: CmMachineEvent): void {
    if (event.type === 'released') return;
    if (event.type === 'request' || event.type === 'lookup-request') {
      this.#news.push(() => this.#tellRequest(event));
      return;
    }
    this.#news.push(() => {
      if (event.type === 'lookup-answer' || event.type === 'lookup-unreachable') {
        this.#lookups.get(event.id)?.onMachineEvent(event);
      } else {
        this.#ids.get(event.id)?.onMachineEvent(event);
      }
    });
  }

  /** A listener that was closed meanwhile takes no more. */
  #tellRequest(event: CmRequestEvent | CmLookupRequestEvent): void {
    const listener = this.#listeners.get(event.listener);
    if (listener !== undefined) listener.tell(event);
    else if (event.type === 'lookup-request') this.#answerLookup(event.id, SERVICE_REFUSED, 0, 0, NO_DATA);
    else this.run(event.id, (handle, now) => this.machine.close(handle, now));
  }

  #onRequest(event: CmRequestEvent, onRequest: (request: CmRequest) => void): void {
    const { id: handle, local, remote, path, peer } = event;
    const id = new SoftCmId(this, local, remote, null);
    id.handle = handle;
    this.#ids.set(handle, id);
    onRequest({ id, peer, path, onEvent: (listener) => id.listen(listener) });
  }

  #datagramRequest(event: CmRequestEvent | CmLookupRequestEvent): CmDatagramRequest {
    const { id, remote } = event as CmLookupRequestEvent;
    const answer = async (...of: [status: number, qpn: number, qkey: number, privateData: Uint8Array]) =>
      this.#answerLookup(id, ...of);
    return {
      remote,
      privateData: (event as CmLookupRequestEvent).privateData,
      accept: async (qpn: Qpn, qkey: QKey, privateData: Uint8Array) => {
        if (!(await answer(0, qpn, qkey, privateData))) throw tooLate(remote);
      },
      reject: async (privateData: Uint8Array) => {
        await answer(SERVICE_REFUSED, 0, 0, privateData);
      },
    };
  }

  /** False when the question is over. */
  #answerLookup(id: CmHandle, status: number, qpn: number, qkey: number, privateData: Uint8Array): boolean {
    let isHeard = false;
    this.run(id, (handle, now) => {
      isHeard = this.machine.answerLookup(handle, { status, qpn, qkey, privateData }, now);
    });
    return isHeard;
  }

  #listen(
    serviceId: bigint,
    { host, backlog }: CmListenOptions,
    tell: (event: CmRequestEvent | CmLookupRequestEvent) => void,
    forDatagrams = false,
  ): CmListener {
    const own = ownAddress(this.#end, host ?? undefined);
    const handle = this.machine.listen({ serviceId, address: own, forDatagrams, backlog });
    this.#services.take(serviceId);
    const address = { host: formatIp(own), port: Math.max(servicePort(serviceId), 0) };
    const listener = new SoftCmListener(this, handle, serviceId, address, tell);
    this.#listeners.set(handle, listener);
    return listener;
  }

  /** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT. */
  #checkQueuePair(qpn: Qpn): void {
    if (this.#host.nic.findQp(qpn) === undefined) {
      throw usageError(
        `${this.#host.name} has no queue pair with the number ${qpn}: give one of this device`,
      );
    }
  }

  /** What this device cannot do is told as an event; mistakes of the caller are thrown. */
  #attempt(object: SoftCmId | SoftCmLookup, start: () => void): void {
    try {
      start();
    } catch (error) {
      const isOfDevice = error instanceof RdmaError && error.fault === 'device';
      if (isOfDevice) {
        this.tellSoon(() => object.fail(error));
        return;
      }
      void object.close();
      throw error;
    }
    this.#pump();
  }
}

const deliverOne = (item: () => void): void => item();

const nowMillis = (): number => nowMicros() / 1000;

/** A time of the NIC at which the machine finds `millis` over: doubles that are multiplied and divided need not come back. */
const microsAfter = (millis: number): number => millis * 1000 + 1;

const tooLate = ({ host }: CmAddress): RdmaError =>
  new RdmaError(
    'ERR_RDMA_CONNECTION_LOST',
    `${host} does not wait for the datagram service any more: answer within 30 s, and once`,
  );
