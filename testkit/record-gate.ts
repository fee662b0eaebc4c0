/** A gate for one direction of a TLS connection: closes before a record of a given length, and keeps what comes from then on. */

const HEADER_BYTES = 5;
/** TLS 1.3: the true type of a record, and the tag. */
const SEALED_BYTES = 1 + 16;

/** Length of the record in which TLS 1.3 carries so many bytes of one write. */
export const recordBytes = (bytes: number): number => HEADER_BYTES + bytes + SEALED_BYTES;

export class RecordGate {
  /** Lengths of the records that did not pass. */
  readonly held: number[] = [];
  readonly #closesAt: number;
  #rest = Buffer.alloc(0);

  constructor(closesAt: number) {
    this.#closesAt = closesAt;
  }

  /** Takes what comes, and returns what passes of it. */
  pass(data: Buffer): Buffer {
    this.#rest = Buffer.concat([this.#rest, data]);
    const passed: Buffer[] = [];
    for (let record = this.#next(); record !== null; record = this.#next()) {
      if (this.held.length > 0 || record.length === this.#closesAt) this.held.push(record.length);
      else passed.push(record);
    }
    return Buffer.concat(passed);
  }

  #next(): Buffer | null {
    if (this.#rest.length < HEADER_BYTES) return null;
    const length = HEADER_BYTES + this.#rest.readUInt16BE(3);
    if (this.#rest.length < length) return null;
    const record = this.#rest.subarray(0, length);
    this.#rest = this.#rest.subarray(length);
    return record;
  }
}
