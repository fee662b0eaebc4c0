/**
 * Drives a NIC: carries datagrams from its port into it, packets out of it, and wakes it at its deadlines.
 *
 * Three ways to make progress, which may be mixed:
 * - `poll` drives the NIC from the program that calls it, without timers or promises. It never delivers events: those come
 *   from the event loop alone.
 * - After activity the event loop turns for a moment and looks for packets (turning.ts).
 * - After that the port wakes the event loop. An idle NIC has no timer, no turn of its own, and costs nothing.
 *
 * Sending and telling happen in the order of flush-order.ts.
 */
import type { Cq } from '../roce/completion/cq.js';
import { Datagram, isAcknowledgement, isResponse } from '../roce/datagram.js';
import type { Nic } from '../roce/nic.js';
import { TransmitBatch } from '../roce/transmit-batch.js';
import { ArrivalWatch } from './arrival-watch.js';
import { FlushOrder } from './flush-order.js';
import { nowMicros, Turning, type Waiting } from './turning.js';
import type { PortListener, UdpPort } from './udp-port.js';

const BATCH_PACKETS = 64;
/** Datagrams that come in together share one reading of the clock, up to this many: it costs as much as a tenth of one. */
const BURST_DATAGRAMS = 16;
/** Looks at the port in a row before timers and other sockets get their turn again. */
const MAX_RECEIVES_PER_TURN = 8;
/** A deadline that passed so long ago was passed by a process that stood still, and what was waited for has mostly come meanwhile. */
const HELD_UP_MICROS = 10_000;
/** Looks in a row then: they take what a socket's buffer of 4 MiB holds. */
const MAX_RECEIVES_HELD_UP = 256;
/** So many packets at once, sent or received, are many. */
const MANY_PACKETS = 8;
const NEVER = Number.POSITIVE_INFINITY;
const UNKNOWN = Number.NEGATIVE_INFINITY;

export class Driver implements PortListener, Waiting {
  readonly #nic: Nic;
  readonly #port: UdpPort;
  readonly #onProgress: () => boolean;
  readonly #batch = new TransmitBatch(BATCH_PACKETS);
  readonly #datagram = new Datagram();
  readonly #order = new FlushOrder(() => this.#run());
  readonly #watch: ArrivalWatch;
  readonly #turning: Turning;
  /** Read in place in every poll: a number that a call returns is garbage, and empty polls come a million times a second. */
  readonly #earliest: Float64Array;
  #hasTaken = false;
  /** A program is told of an event, and has not polled a queue in vain. */
  #isTelling = false;
  #receivedAt = Number.NEGATIVE_INFINITY;
  /** Packets came or left since the last wait. */
  #isActive = false;
  #stopped = false;

  /** `onProgress` is called after every piece of work, to deliver events; it returns whether there were any. */
  constructor(nic: Nic, port: UdpPort, onProgress: () => boolean) {
    this.#nic = nic;
    this.#earliest = nic.earliestDeadline;
    this.#port = port;
    this.#onProgress = onProgress;
    this.#watch = new ArrivalWatch(port);
    this.#turning = new Turning(this, port.canPoll);
    port.listener = this;
  }

  /** Turns of the event loop that this driver asked for. */
  get wakeUps(): number {
    return this.#turning.wakeUps;
  }

  /** There is something to send or to report: soon. */
  kick(): void {
    this.#order.request();
  }

  /** Sends what is due, as far as the port takes it. Tells nothing. */
  sendNow(): void {
    if (!this.#stopped) this.#transmit();
  }

  /**
   * Sends what was posted, takes what has arrived, wakes what is due. Does not wait, and delivers no events. When
   * something has completed in `cq`, what is to be sent now waits until the next call, or the end of the turn: the
   * program that polls will have posted its answer by then. A program amid taking the completions of another queue
   * makes nothing happen here, so that its answers to all of them leave together; each that it takes puts it off once. Nor does one
   * that is told of an event at its first look in vain: the driver has looked just before, and goes on behind it.
   */
  poll(cq: Cq): void {
    if (this.#stopped) return;
    const nic = this.#nic;
    if (this.#isTelling) {
      this.#isTelling = false;
      return;
    }
    if (this.#hasTaken) {
      this.#hasTaken = false;
      if (nic.completions > 0) return;
    }
    if (nic.wantsTransmit) this.#transmit();
    this.#takeIn(this.#watch.notePoll());
    const deadline = this.#earliest[0] as number;
    if (deadline !== NEVER) {
      const looked = this.#port.lookedMicros;
      if (deadline <= (looked === UNKNOWN ? nowMicros() : looked)) this.onDeadline(nowMicros());
    }
    if (nic.wantsTransmit && cq.count === 0) this.#transmit();
  }

  /** The program has taken completions. */
  noteTaken(): void {
    this.#hasTaken = true;
  }

  stop(): void {
    this.#stopped = true;
    this.#turning.stop();
  }

  onReadable(): void {
    for (let i = 0; i < MAX_RECEIVES_PER_TURN; i++) if (!this.#takeIn(1) || !this.#port.mayHaveMore) break;
  }

  onWritable(): void {
    this.kick();
  }

  look(): boolean {
    return this.#takeIn(1);
  }

  giveWay(): void {
    this.#port.giveWay?.();
  }

  nextDeadline(): number {
    return this.#nic.nextDeadline();
  }

  nextWake(): number {
    return this.#nic.nextWake();
  }

  /**
   * What was due before the look for packets is woken behind it: this process may have been held up since the look
   * before, and what was waited for may be here. Answers to thousands of queue pairs are more than a few looks take in.
   */
  onDeadline(now: number): void {
    const isHeldUp = now - this.#nic.nextDeadline() > HELD_UP_MICROS;
    const most = isHeldUp ? MAX_RECEIVES_HELD_UP : MAX_RECEIVES_PER_TURN;
    for (let looks = 0; looks < most && this.#takeIn(1); looks++);
    if (!this.#stopped) this.#nic.handleTimeout(now);
    this.kick();
  }

  setTurning(isTurning: boolean): void {
    this.#port.setTurning?.(isTurning);
  }

  setBusy(isBusy: boolean): void {
    this.#watch.setBusy(isBusy);
  }

  /** Returns whether anything had come. */
  #takeIn(looks: number): boolean {
    if (this.#stopped) return false;
    const port = this.#port;
    const count = port.receive(looks);
    if (count === 0) return false;
    this.#isActive = true;
    const looked = port.lookedMicros;
    this.#receivedAt = looked > this.#receivedAt ? looked : nowMicros();
    if (count >= MANY_PACKETS) this.#turning.noteMany(this.#receivedAt);
    port.read(count - 1, this.#datagram);
    if (count === 1) this.#nic.receive(this.#datagram, this.#receivedAt);
    else if (isAcknowledgement(this.#datagram)) this.#takeAnswersFirst(count);
    else this.#takeAll(count);
    this.kick();
    return true;
  }

  #takeAll(count: number): void {
    const datagram = this.#datagram;
    for (let i = 0; i < count; i++) {
      if (i > 0 && i % BURST_DATAGRAMS === 0) this.#receivedAt = nowMicros();
      this.#port.read(i, datagram);
      this.#nic.receive(datagram, this.#receivedAt);
    }
  }

  /**
   * A peer whose port joins packets sends the acknowledgement behind its answer, in one burst. The program has sent its
   * message before it gets the answer to it, and is told so in that order.
   */
  #takeAnswersFirst(count: number): void {
    const datagram = this.#datagram;
    let taken = 0;
    for (let i = 0; i < count; i++) {
      this.#port.read(i, datagram);
      if (!isResponse(datagram)) continue;
      this.#nic.receive(datagram, this.#receivedAt);
      taken++;
    }
    for (let i = 0; taken < count; i++) {
      this.#port.read(i, datagram);
      if (isResponse(datagram)) continue;
      this.#nic.receive(datagram, this.#receivedAt);
      taken++;
    }
  }

  #run(): void {
    this.#order.begin();
    if (this.#stopped) return;
    // A program that was told of an event may post something that can leave with the rest.
    if (this.#order.mayPutOff(this.#tell())) return;
    this.#transmit();
    if (this.#tell()) this.#isActive = true;
    // A deadline that nothing came of, as of a queue pair whose answer is here, is no reason to turn.
    if (this.#isActive) this.#turning.wait();
    else this.#turning.rest();
    this.#isActive = false;
  }

  /** Delivers events. If there were any, or if a listener threw, the rest is done after them. */
  #tell(): boolean {
    let told = true;
    this.#isTelling = true;
    try {
      told = this.#onProgress();
    } finally {
      this.#isTelling = false;
      if (told) this.#order.requestBehindProgram();
    }
    return told;
  }

  #transmit(): void {
    const nic = this.#nic;
    const batch = this.#batch;
    while (this.#port.writable && nic.wantsTransmit) {
      const now = nowMicros();
      if (nic.pollTransmit(batch, now) === 0) continue;
      if (batch.count >= MANY_PACKETS) this.#turning.noteMany(now);
      nic.counters.txPackets += batch.count;
      nic.counters.txBytes += batch.wireBytes;
      this.#port.send(batch);
      this.#isActive = true;
      batch.reset();
    }
  }
}
