/**
 * Drives a NIC: carries datagrams from its port into it, packets out of it, and wakes it at its deadlines. Work that
 * posts and datagrams leave behind is done once, after the code that runs at the moment and the promises that it
 * settled: a burst is sent as a batch, and an acknowledgement leaves together with what the program answers.
 *
 * Three ways to make progress, which may be mixed:
 * - `poll` drives the NIC from whoever calls it, without timers or promises. It never delivers events: those come from
 *   the event loop alone.
 * - After activity the event loop is kept turning for a moment, because the next packet is near and waking a sleeping
 *   process costs more than a round trip. Every turn serves timers and other sockets as usual. Where other processes
 *   want the processor it sleeps at once: turning would keep it from them, and the peer may be among them.
 * - After that the port wakes the event loop. An idle NIC has no timer, no turn of its own, and costs nothing.
 */
import { availableParallelism } from 'node:os';
import { performance } from 'node:perf_hooks';
import type { Cq } from '../roce/completion/cq.js';
import { type Datagram, isAcknowledgement } from '../roce/datagram.js';
import type { Nic } from '../roce/nic.js';
import { TransmitBatch } from '../roce/transmit-batch.js';
import type { PortListener, UdpPort } from './udp-port.js';

const BATCH_PACKETS = 64;
/** Datagrams that come in together share one reading of the clock, up to this many: it costs as much as a tenth of one. */
const BURST_DATAGRAMS = 16;
/** Timers have a resolution of 1 ms; waits shorter than this are spent in turns of the event loop instead. */
const SHORT_WAIT_MICROS = 200;
/** How long the event loop keeps turning after the last packet or post. */
const SPIN_MICROS = 200;
/** Of that, how long one turn may take when nothing comes. Turns cost more than looking for packets. */
const SPIN_TURN_MICROS = 25;
/** A look for packets that takes so long was interrupted: others want this processor, perhaps the peer itself. */
const INTERRUPTED_MICROS = 300;
/** How long the driver sleeps between packets after that, instead of turning. */
const REST_MICROS = 20_000;
/** With one processor, turning would take it from the peer that is waited for. */
const MAY_SPIN = availableParallelism() > 1;

/** After so many turns in a row in which something came, the port is asked in every turn and need not tell. */
const MANY_BUSY_TURNS = 16;
const NEVER = Number.POSITIVE_INFINITY;

/** µs of the monotonic clock. */
export const nowMicros = (): number => performance.now() * 1000;

export class Driver implements PortListener {
  readonly #nic: Nic;
  readonly #port: UdpPort;
  readonly #onProgress: () => boolean;
  readonly #batch = new TransmitBatch(BATCH_PACKETS);
  readonly #flush = (): void => this.#run();
  readonly #queueFlush = (): void => process.nextTick(this.#flush);
  readonly #wake = (): void => this.#onTimer();
  readonly #spin = (): void => this.#onSpin();
  readonly #maySpin: boolean;
  /** Turns of the event loop that this driver asked for. */
  wakeUps = 0;
  #flushQueued = false;
  #isPutOff = false;
  #isPolling = false;
  #hasTaken = false;
  #spinning: NodeJS.Immediate | null = null;
  #spinUntil = 0;
  #restUntil = 0;
  #timer: NodeJS.Timeout | null = null;
  #immediate: NodeJS.Immediate | null = null;
  #timerAt = NEVER;
  #receivedAt = 0;
  /** Datagrams of this turn that may still take `#receivedAt` for the time. */
  #clockIsGoodFor = 0;
  #hasWaiting = false;
  /** Turns in a row in which something came. */
  #busyTurns = 0;
  #stopped = false;

  /** `onProgress` is called after every piece of work, to deliver events; it returns whether there were any. */
  constructor(nic: Nic, port: UdpPort, onProgress: () => boolean) {
    this.#nic = nic;
    this.#port = port;
    this.#onProgress = onProgress;
    this.#maySpin = MAY_SPIN && port.canPoll;
    port.listener = this;
  }

  /** There is something to send or to report: soon. */
  kick(): void {
    if (this.#flushQueued) return;
    this.#flushQueued = true;
    // Not a microtask: those of the program come first.
    process.nextTick(this.#flush);
  }

  /**
   * Sends what was posted, takes what has arrived, wakes what is due. Does not wait, and delivers no events. When
   * something has completed in `cq`, what is to be sent now waits until the next call, or the end of the turn: the
   * program that polls will have posted its answer by then. A program amid taking the completions of another queue
   * makes nothing happen here, so that its answers to all of them leave together; each that it takes puts it off once.
   */
  poll(cq: Cq): void {
    // Inside the delivery of a datagram the NIC is amid things.
    if (this.#stopped || this.#isPolling) return;
    if (this.#hasTaken) {
      this.#hasTaken = false;
      if (this.#nic.completions > 0) return;
    }
    this.#isPolling = true;
    this.#clockIsGoodFor = 0;
    try {
      const nic = this.#nic;
      if (nic.wantsTransmit) this.#transmit();
      const hasReceived = this.#port.poll();
      const deadline = nic.nextDeadline();
      if (deadline !== NEVER && deadline <= (hasReceived ? this.#receivedAt : nowMicros())) {
        const now = nowMicros();
        this.#port.deliverKept();
        nic.handleTimeout(now);
        this.kick();
      }
      if (nic.wantsTransmit && cq.count === 0) this.#transmit();
    } finally {
      this.#isPolling = false;
    }
  }

  /** The program has taken completions. */
  noteTaken(): void {
    this.#hasTaken = true;
  }

  stop(): void {
    this.#stopped = true;
    if (this.#spinning !== null) clearImmediate(this.#spinning);
    this.#spinning = null;
    this.#cancelTimer();
  }

  onDatagram(datagram: Datagram): void {
    if (this.#stopped) return;
    // What had to wait came with those before it.
    if (this.#hasWaiting) this.#hasWaiting = false;
    else this.#noteArrival();
    this.#nic.receive(datagram, this.#receivedAt);
    this.kick();
  }

  #noteArrival(): void {
    if (this.#clockIsGoodFor === 0) {
      // Behind so many others that came with it, one has the time at which the port took them already.
      const arrival = this.#port.arrivalMicros ?? 0;
      this.#receivedAt = arrival > this.#receivedAt ? arrival : nowMicros();
      this.#clockIsGoodFor = BURST_DATAGRAMS;
    }
    this.#clockIsGoodFor--;
  }

  onWritable(): void {
    this.kick();
  }

  /** The acknowledgement behind a message: the program has the message first, and answers it. */
  mayWait(datagram: Datagram): boolean {
    this.#hasWaiting = this.#nic.completions > 0 && isAcknowledgement(datagram);
    return this.#hasWaiting;
  }

  #run(): void {
    this.#flushQueued = false;
    this.#clockIsGoodFor = 0;
    if (this.#stopped) return;
    // Who was told of an event may post something that can leave with the rest, which is put off for it once.
    if (this.#tell() && !this.#isPutOff) {
      this.#isPutOff = true;
      return;
    }
    this.#isPutOff = false;
    this.#transmit();
    this.#port.deliverKept();
    this.#tell();
    if (this.#maySpin) this.#keepSpinning();
    // Turns look at deadlines themselves.
    if (this.#spinning === null) this.#armTimer();
  }

  /** Delivers events. If there were any, or if one of those who were told threw, the rest is done after them. */
  #tell(): boolean {
    let told = true;
    try {
      told = this.#onProgress();
    } finally {
      if (told) this.#kickBehindProgram();
    }
    return told;
  }

  /**
   * What runs now may be a tick itself, and ticks that it queues come before the promises that it settles: so this goes
   * behind those first, and becomes a tick there.
   */
  #kickBehindProgram(): void {
    if (this.#flushQueued) return;
    this.#flushQueued = true;
    queueMicrotask(this.#queueFlush);
  }

  #keepSpinning(): void {
    const now = nowMicros();
    if (now < this.#restUntil) return;
    this.#spinUntil = now + SPIN_MICROS;
    this.#spinning ??= setImmediate(this.#spin);
  }

  #onSpin(): void {
    this.#spinning = null;
    if (this.#stopped) return;
    this.wakeUps++;
    let now = nowMicros();
    const endsAt = now + SPIN_TURN_MICROS;
    let hasReceived = false;
    while (now < endsAt) {
      hasReceived = this.#port.poll();
      if (hasReceived) break;
      if (this.#stopped) return;
      const before = now;
      now = nowMicros();
      if (now - before > INTERRUPTED_MICROS) this.#restUntil = now + REST_MICROS;
      if (this.#nic.nextDeadline() > now) continue;
      this.#nic.handleTimeout(now);
      this.kick();
      break;
    }
    if (this.#stopped) return;
    this.#busyTurns = hasReceived ? this.#busyTurns + 1 : 0;
    if (this.#busyTurns === MANY_BUSY_TURNS) this.#port.setTelling(false);
    if (now < this.#spinUntil && now >= this.#restUntil) {
      this.#spinning ??= setImmediate(this.#spin);
    } else {
      this.#port.setTelling(true);
      this.#armTimer();
    }
  }

  #transmit(): void {
    const nic = this.#nic;
    const batch = this.#batch;
    while (this.#port.writable && nic.wantsTransmit) {
      if (nic.pollTransmit(batch, nowMicros()) === 0) continue;
      nic.counters.txPackets += batch.count;
      nic.counters.txBytes += batch.wireBytes;
      this.#port.send(batch);
      batch.reset();
    }
  }

  #onTimer(): void {
    this.#timer = null;
    this.#immediate = null;
    this.#timerAt = NEVER;
    if (this.#stopped) return;
    this.wakeUps++;
    this.#nic.handleTimeout(nowMicros());
    this.#run();
  }

  #armTimer(): void {
    const deadline = this.#nic.nextDeadline();
    if (deadline >= this.#timerAt) return;
    this.#cancelTimer();
    this.#timerAt = deadline;
    const waitMicros = deadline - nowMicros();
    if (waitMicros < SHORT_WAIT_MICROS) this.#immediate = setImmediate(this.#wake);
    else this.#timer = setTimeout(this.#wake, Math.ceil(waitMicros / 1000));
  }

  #cancelTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#immediate !== null) clearImmediate(this.#immediate);
    this.#timer = null;
    this.#immediate = null;
    this.#timerAt = NEVER;
  }
}
