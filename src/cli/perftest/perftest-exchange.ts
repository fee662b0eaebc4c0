/** What the ends of a measurement tell each other: one swap of messages after the other, each end in its order. */
import type { PathMtu } from '../../verbs/mtu.js';
import type { PerftestMeeting } from './perftest-meeting.js';
import {
  type BandwidthReport,
  checkVersion,
  formatMtu,
  formatNumber,
  formatReport,
  formatVersion,
  MTU_BYTES,
  type PerftestRecord,
  parseMtu,
  parseReport,
  VERSION_BYTES,
} from './perftest-wire.js';

/** What both ends agree on. */
export interface PerftestTerms {
  readonly mtu: PathMtu;
  /** Small messages are spread over so many bytes. */
  readonly cycleBytes: number;
}

const CYCLE_BYTES = 4096;
const CACHE_LINE_BYTES = 64;

export class PerftestExchange {
  readonly isServer: boolean;
  readonly #meeting: PerftestMeeting;

  constructor(meeting: PerftestMeeting) {
    this.#meeting = meeting;
    this.isServer = meeting.isServer;
  }

  /** Version and terms: what comes before there is a queue pair. */
  async agree(mtu: PathMtu): Promise<PerftestTerms> {
    checkVersion(await this.#swap(formatVersion(), VERSION_BYTES));
    const cycle = await this.#swap(formatNumber(CYCLE_BYTES), 4);
    await this.#swap(formatNumber(CACHE_LINE_BYTES), 4);
    const theirs = parseMtu(await this.#swap(formatMtu(mtu), MTU_BYTES));
    return {
      mtu: theirs < mtu ? theirs : mtu,
      cycleBytes: Math.max(cycle.readUInt32BE(), CYCLE_BYTES),
    };
  }

  async swapRecords(own: PerftestRecord, times: number): Promise<PerftestRecord> {
    let theirs = await this.#swapRecord(own);
    for (let i = 1; i < times; i++) theirs = await this.#swapRecord(own);
    return theirs;
  }

  /** A record that says nothing yet. */
  async swapBlank(): Promise<void> {
    const { recordBytes } = this.#meeting;
    await this.#swap(Buffer.alloc(recordBytes), recordBytes);
  }

  async swapReports(own: BandwidthReport): Promise<BandwidthReport> {
    const numbers: Buffer[] = [];
    for (const number of formatReport(own)) numbers.push(await this.#swap(number, number.length));
    return parseReport(numbers);
  }

  async #swapRecord(own: PerftestRecord): Promise<PerftestRecord> {
    const { recordBytes } = this.#meeting;
    return this.#meeting.parseRecord(await this.#swap(this.#meeting.formatRecord(own), recordBytes));
  }

  async #swap(own: Buffer, theirBytes: number): Promise<Buffer> {
    if (!this.isServer) await this.#meeting.send(own);
    const theirs = await this.#meeting.receive(theirBytes);
    if (this.isServer) await this.#meeting.send(own);
    return theirs;
  }
}
