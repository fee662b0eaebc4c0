/**
 * The data path of a connection: its verbs objects, the link of the moment, and what outlives links: messages to send
 * and to take, and one-sided operations.
 *
 *     prepare → connect → prove → open … disconnect → prepare → connect → prove → open … destroy
 */
import type { PeerFault } from '../../session/session-data.js';
import type { Terms } from '../../session/terms.js';
import type { Device, PortAttributes } from '../../verbs/device.js';
import { asRdmaError, closedError, type RdmaError } from '../../verbs/errors.js';
import type { PeerPath } from '../../verbs/peer-path.js';
import { qpStateName } from '../../verbs/qp-state.js';
import type { QueuePairProgress } from '../../verbs/queue-pair.js';
import { Cleanup } from '../common/cleanup.js';
import { type Clock, systemClock } from '../common/clock.js';
import { FIXED_NUMBERS } from '../common/fixed-numbers.js';
import { StepName, type StepReporter } from '../common/steps.js';
import { MessageFault, violation } from '../fragments/message-header.js';
import { Outbox } from '../fragments/outbox.js';
import { Opener, PIECES_PER_KEY, Sealer } from '../fragments/sealing.js';
import type { WorkTracker } from '../fragments/work-tracker.js';
import { Link, type LinkListener } from '../link/link.js';
import { COMPLETE, LinkProof } from '../link/link-proof.js';
import { type OwnEnd, ownParameters } from '../link/own-parameters.js';
import { postProof } from '../link/proof-messages.js';
import { ConnectionResources, firstReceives } from '../link/resources.js';
import { bringUp } from '../link/transitions.js';
import { cannotGrantNow, Grants, type GrantTerms } from '../memory/grants.js';
import { OneSidedOperations, outcomeUnknown } from '../memory/one-sided.js';
import type { MemoryRange } from '../memory/remote-buffer.js';
import { SealedMemory } from '../memory/sealed-memory.js';
import type { GivenUp, TransferOrder } from '../memory/transfer.js';
import { Transfers } from '../memory/transfers.js';
import type { Waiter } from '../messages/message-inbox.js';
import { MessageReceiver } from '../messages/message-receiver.js';
import { MessageSender } from '../messages/message-sender.js';
import { type Gates, joinGates } from '../rates/shared-rates.js';
import { StreamOutlet } from '../streams/stream-outlet.js';
import { type StreamId, StreamTable } from '../streams/stream-table.js';
import type { DataPathLimits } from '../terms/options.js';
import type { DataPathCensus } from './data-path-census.js';
import { type DataPathParts, IdleEnd, ReceiverEnd, SenderEnd, StreamsEnd } from './data-path-ends.js';
import type {
  DataPlane,
  DataPlaneListener,
  LinkFacts,
  LinkTerms,
  Prepared,
  PrepareOptions,
  ProgramListener,
  ProgramPlane,
} from './data-plane.js';
import { IdleWatch } from './idle-watch.js';
import { PeerCheck } from './peer-check.js';

interface OneSided {
  readonly operations: OneSidedOperations;
  readonly transfers: Transfers;
}

const NO_MEMORY = new Uint8Array(0);

export class DataPath implements DataPlane, ProgramPlane, DataPathParts, LinkListener {
  readonly receiver: MessageReceiver;
  readonly outbox = new Outbox();
  readonly streams: StreamTable;
  readonly first: typeof FIXED_NUMBERS.first;
  listener: DataPlaneListener | null = null;
  programListener: ProgramListener | null = null;
  readonly #outlet: StreamOutlet;
  readonly #device: Device;
  readonly #limits: DataPathLimits;
  readonly #reporter: StepReporter;
  readonly #revealPsns: boolean;
  #resources: ConnectionResources | undefined;
  #sender: MessageSender | undefined;
  #link: Link | undefined;
  #proof = new LinkProof();
  /** What `beat`, `ask` or `answer` sent is under way, and nothing else. */
  #isBeating = false;
  /** No session asks the peer whether it is there. */
  #isBrief = false;
  /** Of the link, in bytes. */
  #pathMtu = 0;
  /** Of the link that is coming up, when the connection is encrypted. */
  #sealer: Sealer | null = null;
  #sealedMemory: SealedMemory | undefined;
  readonly #peerCheck = new PeerCheck();
  readonly #clock: Clock;
  /** From the first message on. */
  #idle: IdleWatch | null = null;
  readonly #gates: Gates | null;
  /** Reads, writes and grants of the program: made for the first of them. */
  #oneSided: OneSided | undefined;
  #grants: Grants | undefined;
  /** Of the link that is open. */
  #openTracker: WorkTracker | null = null;
  /** Why it was destroyed. */
  #failure: RdmaError | undefined;
  #isDestroyed = false;

  constructor(
    device: Device,
    limits: DataPathLimits,
    reporter: StepReporter,
    revealPsns: boolean,
    clock: Clock = systemClock,
  ) {
    this.#device = device;
    this.#limits = limits;
    this.#reporter = reporter;
    this.#revealPsns = revealPsns;
    const { first } = FIXED_NUMBERS;
    this.first = first;
    this.streams = new StreamTable(new StreamsEnd(this, limits.streams));
    this.#clock = clock;
    this.#outlet = new StreamOutlet(this.streams, this);
    const { rates } = limits;
    this.#gates = rates === undefined ? null : joinGates(rates, clock);
    this.receiver = new MessageReceiver(new ReceiverEnd(this, limits, this.#gates?.fromClient ?? null));
  }

  /** @throws RdmaError ERR_RDMA_CLOSED before the objects exist and after they are gone. */
  get resources(): ConnectionResources {
    if (this.#resources === undefined) throw closedError('the connection');
    return this.#resources;
  }

  answered(): Promise<void> {
    return this.#link?.tracker.answered() ?? Promise.resolve();
  }

  census(): DataPathCensus {
    const { inbox } = this.receiver;
    return {
      requests: this.#link?.tracker.pending ?? 0,
      toSend: this.#sender?.pending ?? 0,
      unreadBytes: inbox.unreadBytes,
      receivers: inbox.waiters,
      streams: this.streams.size,
      operations: this.#oneSided?.operations.pending ?? 0,
      transfers: this.#oneSided?.transfers.open ?? 0,
      claims: this.#sealedMemory?.claims ?? 0,
      grants: this.#grants?.size ?? 0,
      bufferBytes: this.#resources?.bufferBytes ?? 0,
    };
  }

  /** @throws RdmaError ERR_RDMA_CLOSED before the objects exist. */
  get sender(): MessageSender {
    if (this.#sender === undefined) throw closedError('the connection');
    return this.#sender;
  }

  /**
   * Makes the objects, or a new queue pair for those that exist, and says what the peer must know of them; among it the
   * GID of the address at which the peer reaches this machine (`reachedAt`), where the device has that.
   *
   * @throws RdmaError of the verbs.
   */
  async prepare({ reachedAt, end }: PrepareOptions): Promise<Prepared> {
    const { port } = this.#limits.path;
    const attributes = await this.#device.queryPort(port);
    if (this.#resources === undefined) {
      this.#resources = await ConnectionResources.create(this.#device, this.#limits, this.#reporter);
      const gate = this.#gates?.toClient ?? null;
      this.#sender = new MessageSender(new SenderEnd(this, this.#resources, gate));
    } else {
      await this.#resources.renewQp();
    }
    this.#reporter.report(StepName.OBJECTS_CREATED, { qpn: this.#resources.qp.qpn });
    const parameters = await ownParameters(this.#ownEnd(this.#resources, attributes), reachedAt);
    const gids = (await this.#device.queryGids(port)).map(({ gid }) => gid);
    this.#peerCheck.note({ path: parameters.path, gids, isExclusive: attributes.isExclusive }, end);
    this.#tellQueuePair();
    return { ...parameters, memory: this.#resources.bufferMr?.bytes ?? NO_MEMORY };
  }

  /** What the peer may not tell of its queue pair. `sessionAddress`: of its end of the session. */
  async peerFault(peer: PeerPath, sessionAddress: string): Promise<PeerFault | undefined> {
    return this.#peerCheck.fault(peer, this.#limits.path.peerAddress === 'any' ? null : sessionAddress);
  }

  /** Whether messages and memory are sealed. */
  get isEncrypted(): boolean {
    return this.#sealedMemory !== undefined;
  }

  /** Brings the queue pair to RTS and posts the receives: the peer may send. */
  async connect(session: LinkTerms): Promise<LinkFacts> {
    const { resources } = this;
    const { peer } = session;
    this.#reporter.report(StepName.PARAMETERS_EXCHANGED, describePeer(session, this.#revealPsns));
    this.#device.annotate(
      `connection ${this.#reporter.connection}: QPN ${hex(resources.qp.qpn)} at ${this.#device.name}, ` +
        `QPN ${hex(peer.qpn)} at ${peer.gid}`,
    );
    const { rights, path } = this.#limits;
    const options = { path, rights, revealPsns: this.#revealPsns };
    await bringUp(resources.qp, session.own, peer, options, this.#reporter);
    this.#proof = new LinkProof();
    this.#isBeating = false;
    this.#isBrief = this.#limits.lifeline === 'brief' && session.terms.brief !== undefined;
    this.#pathMtu = Math.min(session.own.mtu, peer.mtu);
    this.#link = new Link(resources, this);
    const { qp, messageMr, firstSendBytes } = resources;
    this.receiver.attach(qp, messageMr, firstSendBytes, this.#useKeys(session), this.#isBrief);
    this.#link.take();
    this.#reporter.report(StepName.RECEIVES_POSTED, { receives: firstReceives(this.#limits) });
    this.#tellQueuePair();
    return { isEncrypted: this.isEncrypted };
  }

  async prove({ receive, received }: Terms): Promise<void> {
    const link = this.#link;
    if (link === undefined) throw closedError('the connection');
    const messages = {
      tracker: link.tracker,
      resources: this.resources,
      window: this.receiver.window,
      sealer: this.#sealer,
      sequence: received,
      pathMtu: this.#pathMtu,
      slotBytes: receive.slotBytes,
    };
    postProof(messages, this.#proof);
    await this.#proof.done((seen) => this.listener?.onProofSeen(seen));
    this.#forgetProof();
  }

  /**
   * Sends what waits.
   *
   * @throws RdmaError ERR_RDMA_PROTOCOL when the peer claims to have received what was never sent.
   */
  async open({ receive, received, messages, streams }: Terms): Promise<void> {
    const link = this.#link;
    if (link === undefined) throw closedError('the connection');
    this.sender.attach({
      tracker: link.tracker,
      peerSlots: receive.slots,
      peerSlotBytes: receive.slotBytes,
      peerReceived: received,
      terms: {
        maxMessageBytes: messages.maxBytes,
        messageWindowBytes: messages.windowBytes,
        streams: streams.open,
        streamWindowBytes: streams.windowBytes,
      },
      sealer: this.#sealer,
    });
    this.#openTracker = link.tracker;
    this.#oneSided?.operations.attach(link.tracker);
  }

  /**
   * Ends the link, after taking what had arrived. Resolves with the number of the fragment that would come next. Idempotent.
   *
   * @throws RdmaError ERR_RDMA_PROTOCOL when what had arrived breaks the rules.
   */
  async disconnect(cause: RdmaError): Promise<number> {
    await this.#endLink(cause);
    return this.receiver.received;
  }

  /** `onQuiet` is called when nothing more comes, and before what is under way ends. */
  async #endLink(cause: RdmaError, onQuiet?: () => void): Promise<void> {
    const link = this.#link;
    if (link === undefined) {
      onQuiet?.();
      return;
    }
    this.#link = undefined;
    this.#proof.fail(cause);
    try {
      await link.stop(outcomeUnknown(cause), onQuiet);
    } finally {
      this.#sender?.detach();
      this.receiver.detach();
      this.#openTracker = null;
      this.#oneSided?.operations.detach();
      this.#tellQueuePair();
      await this.#grants?.endWindows('the connection failed');
    }
  }

  beat(): void {
    if (this.#link?.tracker.pending !== 0) return;
    this.#isBeating = this.#sender?.tellLimit() ?? false;
  }

  askProgram(): void {
    const isAlone = this.#link?.tracker.pending === 0;
    const isSent = this.#sender?.ask() ?? false;
    if (isAlone) this.#isBeating = isSent;
  }

  answer(): void {
    const isAlone = this.#link?.tracker.pending === 0;
    const isSent = this.#sender?.tellLimit() ?? false;
    if (isAlone) this.#isBeating = isSent;
  }

  quit(): void {
    this.#sender?.quit(() => this.listener?.onQuitDone());
  }

  bye(): void {
    this.#sender?.bye(() => this.listener?.onByeDone());
  }

  tellClose(code: number): void {
    this.#sender?.close(code, () => this.listener?.onCloseTold());
  }

  endReceiving(): void {
    this.receiver.end();
  }

  /**
   * Frees everything. What waits ends with `error`, or in order if there is none. Of what is under way, that counts as done which
   * the peer had before it left. Resolves with the number of the fragment that would come next.
   *
   * @throws RdmaError ERR_RDMA_PROTOCOL when the peer claims to have received what was never sent, or that of the verb that failed
   *   first; all that can be freed is free then.
   */
  async destroy(error: RdmaError | undefined, peerReceived?: number): Promise<number> {
    this.#isDestroyed = true;
    this.#idle?.end();
    this.#gates?.leave();
    let violation: RdmaError | undefined;
    // What arrives now breaks no rule that anybody could still be told of.
    await this.#endLink(error ?? closedError('the connection'), () => {
      violation = this.#takeLastWord(peerReceived);
    }).catch(() => {});
    const fault = error ?? violation;
    const why = fault ?? closedError('the connection');
    this.#sender?.fail(why, fault === undefined);
    this.#failure = why;
    this.#oneSided?.operations.fail(why);
    this.#sealedMemory?.fail(why, peerReceived !== undefined && violation === undefined);
    if (fault === undefined) this.receiver.end();
    else this.receiver.fail(fault);
    this.#peerCheck.release();
    const cleanup = new Cleanup();
    await cleanup.step(() => this.#grants?.endAll('the connection has ended'));
    await cleanup.step(() => this.#resources?.destroy());
    this.listener?.onQueuePair(null);
    if (violation !== undefined) throw violation;
    cleanup.finish();
    return this.receiver.received;
  }

  /** The peer takes nothing from fragment `received` on, and had all before it. Returns what is wrong with that. */
  #takeLastWord(received: number | undefined): RdmaError | undefined {
    if (received === undefined) return undefined;
    try {
      // Requests are carried out in their order: a write before a fragment that was taken has been.
      const last = this.#sender?.conclude(received) ?? 0;
      this.#oneSided?.operations.carriedOut(last);
      return undefined;
    } catch (error) {
      return asRdmaError(error, 'the connection failed');
    }
  }

  // --- what programs ask for ----------------------------------------------------------------------------------------

  /** @throws RdmaError as `Connection.grant`. */
  async grant(id: number, bytes: Uint8Array, terms: GrantTerms): Promise<MemoryRange> {
    const link = this.#link;
    if (link === undefined) throw cannotGrantNow(this.#isDestroyed);
    const request = { ...terms, id, bytes };
    const range = await this.#theGrants.create(this.resources, link.tracker, request, this.isEncrypted);
    if (link === this.#link) return range;
    // The link ended between the window and here.
    await this.#theGrants.revoke(id, 'the connection failed');
    throw cannotGrantNow(this.#isDestroyed);
  }

  async revoke(id: number, reason: string): Promise<void> {
    await this.#grants?.revoke(id, reason);
  }

  send(request: number, tag: number, data: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      const done = (error: RdmaError | undefined): void => (error === undefined ? resolve() : reject(error));
      this.sender.send(tag, data, done, request);
    });
  }

  async withdraw(request: number): Promise<boolean> {
    return this.sender.withdraw(request);
  }

  receive(waiter: Waiter): void {
    this.receiver.inbox.wait(waiter);
  }

  async forget(request: number): Promise<boolean> {
    return this.receiver.inbox.forget(request);
  }

  transfer(request: number, order: TransferOrder): Promise<void> {
    return this.#transfers.run(request, order);
  }

  async cancel(request: number): Promise<GivenUp> {
    return this.#transfers.cancel(request);
  }

  async allocate(bytes: number): Promise<Uint8Array> {
    return this.resources.allocate(bytes);
  }

  listenToStreams(): void {
    this.#outlet.listenToStreams();
  }

  openStream(id: StreamId): void {
    this.#outlet.openStream(id);
  }

  writeStream(id: StreamId, data: Uint8Array): Promise<void> {
    return this.#outlet.writeStream(id, data);
  }

  endStream(id: StreamId): Promise<void> {
    return this.#outlet.endStream(id);
  }

  resetStream(id: StreamId, code: number): void {
    this.#outlet.resetStream(id, code);
  }

  readStream(id: StreamId, length: number): void {
    this.#outlet.readStream(id, length);
  }

  holdQuit(isHeld: boolean): void {
    this.#outlet.holdQuit(isHeld);
  }

  async progress(): Promise<QueuePairProgress | null> {
    return this.#resources?.currentQp?.progress ?? null;
  }

  async counters(): Promise<Readonly<Record<string, number>>> {
    return this.#resources?.currentQp?.counters() ?? {};
  }

  /** One that is complete says the same as any other. */
  #forgetProof(): void {
    if (this.#proof.isComplete) this.#proof = COMPLETE;
  }

  #noteActivity(): void {
    if (this.#isDestroyed) return;
    this.#idle ??= new IdleWatch(new IdleEnd(this, this.#clock));
    this.#idle.note();
  }

  #tellQueuePair(): void {
    const qp = this.#resources?.currentQp;
    const status = qp === undefined || qp.closed ? null : { qpn: qp.qpn, state: qpStateName(qp.state) };
    this.listener?.onQueuePair(status);
  }

  /** What a transfer needs, also of a connection that has ended meanwhile. */
  get #transfers(): Transfers {
    if (this.#oneSided !== undefined) return this.#oneSided.transfers;
    const operations = new OneSidedOperations();
    const { maxOperations } = this.#limits;
    const transfers = new Transfers({ maxOperations, operations, resources: () => this.resources });
    transfers.sealed = this.#sealedMemory ?? null;
    if (this.#openTracker !== null) operations.attach(this.#openTracker);
    if (this.#failure !== undefined) operations.fail(this.#failure);
    this.#oneSided = { operations, transfers };
    return transfers;
  }

  get #theGrants(): Grants {
    this.#grants ??= new Grants(this.#limits.rights, (id, reason) =>
      this.programListener?.onGrantEnded(id, reason),
    );
    return this.#grants;
  }

  // --- what its parts need --------------------------------------------------------------------------------------------

  get currentSender(): MessageSender | undefined {
    return this.#sender;
  }

  get currentResources(): ConnectionResources | undefined {
    return this.#resources;
  }

  get currentSealedMemory(): SealedMemory | undefined {
    return this.#sealedMemory;
  }

  breakLink(error: RdmaError): void {
    this.#link?.onBroken(error);
  }

  // --- what its link tells --------------------------------------------------------------------------------------------

  onFragment(slot: number, length: number): void {
    const isLimit = this.receiver.onFragment(slot, length);
    // The proof is no progress: a connection that has nothing else would recover for ever.
    if (!this.#proof.onArrived()) {
      this.#forgetProof();
      return;
    }
    if (this.#isBrief) this.listener?.onSpoken();
    if (isLimit) {
      this.listener?.onSignOfLife();
      return;
    }
    this.#noteActivity();
    this.listener?.onProgress();
  }

  onProgress(): void {
    if (!this.#proof.isProven) return;
    // Requests are answered in their order, and nothing was under way before it.
    if (this.#isBeating) {
      this.#isBeating = false;
      this.listener?.onSignOfLife();
      return;
    }
    this.#noteActivity();
    this.listener?.onProgress();
  }

  onFailure(error: RdmaError): void {
    this.#proof.fail(error);
    this.#tellQueuePair();
    this.listener?.onLinkFailure(error);
  }

  /** Keys for a new link; returns who opens what the peer sends on it, `null` when nothing is sealed. */
  #useKeys(link: LinkTerms): Opener | null {
    const { terms } = link;
    const isWanted = (this.#limits.encryption ?? terms.encryption) !== undefined;
    if (this.isEncrypted && !isWanted)
      throw violation(MessageFault.TERMS, 'it no longer wants the connection to be encrypted');
    if (!isWanted) return null;
    const { keys } = link;
    this.#sealer = new Sealer(keys.messages.own, PIECES_PER_KEY, this.first.sealedPiece);
    // These outlive the link: a write may be announced on a later one.
    this.#sealedMemory ??= new SealedMemory({
      keys: keys.memory,
      firstRequest: this.first.sealedRequest,
      maxMessageBytes: this.#limits.maxMessageBytes,
      peerMaxMessageBytes: terms.messages.maxBytes,
      send: (kind, data) => this.sender.sendSealed(kind, data),
      write: (transfer, sealed) => this.#transfers.move(transfer, sealed),
      find: (addr, length, right) =>
        this.resources.reachable(addr, length, right) ?? this.#grants?.reachable(addr, length, right),
    });
    if (this.#oneSided !== undefined) this.#oneSided.transfers.sealed = this.#sealedMemory;
    return new Opener(keys.messages.peer, PIECES_PER_KEY, this.first.sealedPiece);
  }

  #ownEnd(resources: ConnectionResources, port: PortAttributes): OwnEnd {
    const { receiver, streams } = this;
    const counts = { received: receiver.received, openStreams: streams.openLimit };
    return { device: this.#device, port, limits: this.#limits, resources, ...counts };
  }
}

function describePeer({ own, peer }: LinkTerms, revealPsns: boolean): Record<string, string | number> {
  const psns = revealPsns ? { localPsn: own.psn, remotePsn: peer.psn } : {};
  return { peerQpn: peer.qpn, peerGid: peer.gid, peerUdpPort: peer.udpPort, ...psns };
}

const hex = (value: number): string => `0x${value.toString(16).padStart(6, '0')}`;
