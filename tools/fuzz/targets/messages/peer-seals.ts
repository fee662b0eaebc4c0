/** What the peer of an encrypted connection does with fragments: seals its own, opens ours, with keys of each link. */
import { createHash } from 'node:crypto';
import { HEADER_BYTES } from '../../../../src/connection/fragments/message-header.js';
import { Opener, Sealer, TAG_BYTES } from '../../../../src/connection/fragments/sealing.js';
import type { DirectionKeys as Keys } from '../../../../src/session/session-data.js';
import { must } from '../../target.js';

/** So few that keys are renewed in the middle of an input. */
const PIECES_PER_KEY = 5;

/** Our ends of a link. */
export interface OwnSeals {
  readonly sealer: Sealer | null;
  readonly opener: Opener | null;
}

export class PeerSeals {
  /** What is sealed has so many bytes more than its payload. */
  readonly overheadBytes: number;
  readonly #isEncrypted: boolean;
  #sealer: Sealer | null = null;
  #opener: Opener | null = null;

  constructor(isEncrypted: boolean) {
    this.#isEncrypted = isEncrypted;
    this.overheadBytes = HEADER_BYTES + (isEncrypted ? TAG_BYTES : 0);
  }

  /** A link comes up. */
  renew(link: number): OwnSeals {
    if (!this.#isEncrypted) return { sealer: null, opener: null };
    const [own, peer] = ['own', 'peer'].map((name) => keysOf(`${name} ${link}`)) as [Keys, Keys];
    this.#sealer = new Sealer(peer, PIECES_PER_KEY);
    this.#opener = new Opener(own, PIECES_PER_KEY);
    return { sealer: new Sealer(own, PIECES_PER_KEY), opener: new Opener(peer, PIECES_PER_KEY) };
  }

  /** As the peer seals a fragment; one that is too short for a header goes as it is. */
  seal(plain: Uint8Array): Uint8Array {
    if (this.#sealer === null || plain.length < HEADER_BYTES) return plain;
    const sealed = new Uint8Array(plain.length + TAG_BYTES);
    const header = plain.subarray(0, HEADER_BYTES);
    sealed.set(header);
    this.#sealer.seal(header, plain.subarray(HEADER_BYTES), sealed.subarray(HEADER_BYTES));
    return sealed;
  }

  /** The payload of what our side sends, as its peer reads it. */
  open(fragment: Uint8Array): Uint8Array {
    const payload = fragment.subarray(HEADER_BYTES);
    if (this.#opener === null) return payload;
    const plain = this.#opener.open(fragment.subarray(0, HEADER_BYTES), payload);
    must(plain !== undefined, 'what is sent can be opened, in the order of sending');
    return plain;
  }
}

const keysOf = (name: string): Keys => {
  const bytes = createHash('sha512').update(name).digest();
  return { key: bytes.subarray(0, 32), iv: bytes.subarray(32, 44) };
};
